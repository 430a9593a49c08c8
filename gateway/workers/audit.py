"""Proves, on a live deployment, that records, counters and sums are one and the same.

Ten invariants, I1 to I10 (ARCHITECTURE.md lists them). Redis is read first, as of one moment; SQL
after it, in one snapshot. What was settled in between is told apart by the time that the settle
script stamped on it, so an audit of a busy deployment is exact too. Nothing is changed, and no more
than a page of records is in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from time import sleep
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from gateway.adapters.epochs import recorded_state
from gateway.adapters.price_rows import stored_prices
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import usage_records
from gateway.core.events import USAGE_COLUMNS
from gateway.workers import audit_counters as counters
from gateway.workers import audit_repeats as repeats
from gateway.workers import audit_requests as requests
from gateway.workers import audit_rollups as rollups
from gateway.workers.audit_costs import Costs
from gateway.workers.audit_coverage import Coverage
from gateway.workers.audit_records import Records, pages
from gateway.workers.audit_report import AuditReport, Charge, Check, Found, check
from gateway.workers.audit_state import Defined, RedisState, read_redis
from gateway.workers.audit_truth import compare_with_truth
from gateway.workers.audit_waiting import Waiting, known_of
from gateway.workers.audit_witnesses import Witnesses

_LOOKS_MAX = 30
_PAUSE_SECONDS = 0.5
"""A rebuild freezes the counters for ten seconds at most."""

_COLUMNS = (
    "request_id",
    "kind",
    "held_at",
    "recorded_at",
    "team_id",
    "client_id",
    "endpoint",
    "model",
    "service_tier",
    "outcome",
    "certainty",
    "cost_nano",
    "hold_nano",
    "budget_windows",
    "price_id",
    "cost_lines",
    "tags",
    *USAGE_COLUMNS,
)


def run_audit(
    budgets: RedisBudgets, engine: Engine, truth: Sequence[Charge] | None = None
) -> AuditReport:
    """Compare everything with everything. Raises the stores' errors.

    ``truth`` adds the comparison with the provider's own charges.
    """
    for _ in range(_LOOKS_MAX):
        with closing(Waiting()) as waiting:
            report = _look(budgets, engine, waiting, truth)
        if report is not None:
            return report
    raise StoreDown("no moment was found at which the counters could be compared with SQL")


def _look(
    budgets: RedisBudgets, engine: Engine, waiting: Waiting, truth: Sequence[Charge] | None
) -> AuditReport | None:
    """One audit; None where a settle bears the very millisecond of the snapshot, so that
    nobody can tell whether the counters have it, or where a rebuild is at work."""
    recorded = recorded_state(engine)
    state = read_redis(budgets, waiting)
    if state.frozen:
        sleep(_PAUSE_SECONDS)
        return None
    if state.epoch != recorded.epoch and recorded_state(engine).epoch != recorded.epoch:
        return None
    with engine.connect() as connection:
        _hold_still(connection)
        waiting.compare(lambda ids: known_of(requests.rows_of(connection, ids)))
        defined = Defined(connection)
        records, coverage = Records(state.now_ms), Coverage(defined)
        costs = Costs(stored_prices(connection))
        for row in _rows(connection):
            records.add(row)
            coverage.add(row)
            costs.add(row)
        if any(not waiting.knows(*identity) for identity in records.same_moment):
            return None
        records.add_later(waiting, state)
        checks = [
            *_of_stores(budgets, engine, connection, state, waiting, defined, records),
            records.overruns(defined),
            requests.intentions(connection, state, waiting),
            requests.endings(connection, state, waiting),
            records.stored_sums(connection, defined),
            _readable(state, waiting),
            counters.held(defined, state),
            repeats.calls(budgets, connection, state),
            repeats.events(engine, connection),
            rollups.rollups(connection),
            rollups.owners(connection),
            coverage.check(),
            costs.check(),
            counters.sequence(state, recorded, waiting),
        ]
        if truth is not None:
            checks.append(
                compare_with_truth(connection, _rows(connection), waiting.pending(), truth)
            )
    checks.sort(key=lambda one: int(one.id.removeprefix("I")))
    return AuditReport(
        tuple(checks),
        records.count,
        waiting.not_recorded(),
        len(state.open_holds),
        records.cost_nano,
    )


def _hold_still(connection: Connection) -> None:
    """Read all that follows as of one moment, for as long as it takes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    else:
        connection.exec_driver_sql("BEGIN")


def _rows(connection: Connection) -> Iterator[Any]:
    """All records, a page at a time."""
    return pages(connection, select(*(usage_records.c[name] for name in _COLUMNS)))


def _of_stores(
    budgets: RedisBudgets,
    engine: Engine,
    connection: Connection,
    state: RedisState,
    waiting: Waiting,
    defined: Defined,
    records: Records,
) -> list[Check]:
    """What is compared between Redis and SQL, and explained by one another: parts of I1, I3, I5."""
    expected = records.spent(waiting)
    differences = counters.spent_differs(state, expected)
    lost = counters.lost_counters(budgets, defined, state, expected)
    over = counters.over_limits(defined, records, state)
    # A sample of the ends that Redis remembers; all of them where something must be explained.
    most = None if differences else requests.ENDS_SAMPLE
    ends = requests.ends(budgets, engine, connection, state, waiting, most)
    ends_lost = tuple(one.request_id for one in ends.differences if one.request_id)
    witnesses = Witnesses(differences, over)
    witnesses.question(connection, state, waiting)
    return [
        counters.limits(defined, records, state, over, witnesses),
        ends,
        counters.spent(defined, state, expected, lost, witnesses, ends_lost),
    ]


def _readable(state: RedisState, waiting: Waiting) -> Check:
    found = Found()
    aside = "It is charged in the counters and has no record: `faregate rebuild` would forget it."
    for request_id, why in state.unreadable:
        found.request(request_id, "an event that can be recorded", why, aside)
    for request_id, why in state.set_aside:
        found.request(request_id, "a record", f"set aside: {why}", aside)
    says = "no usage event waits that cannot be recorded, and none was set aside"
    compared = len(waiting) + len(state.unreadable) + len(state.set_aside)
    return check("I5", "every event is recorded", says, compared, found)
