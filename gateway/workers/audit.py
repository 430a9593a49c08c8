"""Proves, on a live deployment, that records, counters and sums are one and the same.

Ten invariants, I1 to I10 (ARCHITECTURE.md lists them). Redis is read first, as of one moment; SQL
after it, in one snapshot. What was settled in between is told apart by the time that the settle
script stamped on it, so an audit of a busy deployment is exact too. Nothing is written, and no more
than a page of records is in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from gateway.adapters.epochs import recorded_state
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import usage_records
from gateway.core.events import UsageEvent
from gateway.workers import audit_counters as counters
from gateway.workers import audit_records as records_of
from gateway.workers import audit_requests as requests
from gateway.workers.audit_records import Culprits, Records
from gateway.workers.audit_report import AuditReport, Charge, Check
from gateway.workers.audit_state import RedisState, read_redis, windows_of
from gateway.workers.audit_truth import compare_with_truth

_LOOKS_MAX = 20
_PAGE = 2000

_COLUMNS = (
    "request_id",
    "kind",
    "held_at",
    "recorded_at",
    "team_id",
    "client_id",
    "key_id",
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
    "input_tokens",
    "output_tokens",
)


def run_audit(
    budgets: RedisBudgets, engine: Engine, truth: Sequence[Charge] | None = None
) -> AuditReport:
    """Compare everything with everything. Raises the stores' errors.

    ``truth`` adds the comparison with the provider's own charges.
    """
    for _ in range(_LOOKS_MAX):
        report = _look(budgets, engine, truth)
        if report is not None:
            return report
    raise StoreDown("the clock of the Redis server does not move on")


def _look(
    budgets: RedisBudgets, engine: Engine, truth: Sequence[Charge] | None
) -> AuditReport | None:
    """One audit; None where a settle bears the very millisecond of the snapshot, so that
    nobody can tell whether the counters have it, or where a rebuild came in between."""
    recorded = recorded_state(engine)
    state = read_redis(budgets)
    if state.epoch != recorded.epoch and recorded_state(engine).epoch != recorded.epoch:
        return None
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        else:
            connection.exec_driver_sql("BEGIN")
        records, coverage = Records(state.now_ms), requests.Coverage(connection)
        for row in _rows(connection):
            records.add(row)
            coverage.add(row)
        in_stream = {event.identity for event in state.waiting}
        if any(identity not in in_stream for identity in records.same_moment):
            return None
        waiting = _not_recorded(connection, state.waiting)
        records_of.admitted_since(records, state)
        expected = records_of.spent(records, waiting)
        culprits = _culprits(connection, state, expected, waiting)
        checks = [
            counters.limits(connection, records, state),
            records.overruns(),
            requests.intents(connection, state),
            requests.endings(connection, state, waiting),
            counters.spent(budgets, connection, state, expected, culprits),
            records.windows(connection),
            _readable(state),
            counters.held(state),
            requests.repetitions(budgets, connection, state),
            records.rollups(connection),
            coverage.check(),
            records.certainty(),
            counters.sequence(state, recorded),
        ]
        if truth is not None:
            checks.append(compare_with_truth(connection, _rows(connection), waiting, truth))
    return AuditReport(
        tuple(checks), records.count, len(waiting), len(state.open_holds), records.cost_nano
    )


def _rows(connection: Connection) -> Iterator[Any]:
    """All records, a page at a time."""
    columns = [usage_records.c[name] for name in _COLUMNS]
    paged = connection.execution_options(yield_per=_PAGE)
    return iter(paged.execute(select(*columns)))


def _not_recorded(connection: Connection, events: Sequence[UsageEvent]) -> list[UsageEvent]:
    """Those of ``events`` that SQL does not have."""
    ids = sorted({event.identity[0] for event in events})
    known = {(row.request_id, row.kind) for row in requests.rows_of(connection, ids)}
    return [event for event in events if event.identity not in known]


def _culprits(
    connection: Connection,
    state: RedisState,
    expected: dict[tuple[int, int], int],
    waiting: Sequence[UsageEvent],
) -> Culprits:
    """Who may be behind differences of the counters; the records are read once more for that."""
    differences = counters.spent_differs(state, expected)
    culprits = Culprits(differences)
    if not differences:
        return culprits
    for row in _rows(connection):
        for window in windows_of(row.budget_windows):
            culprits.see(window, row.request_id, row.cost_nano)
    for event in waiting:
        for window in windows_of(event.row["budget_windows"]):
            culprits.see(window, event.identity[0], event.row["cost_nano"])
    return culprits


def _readable(state: RedisState) -> Check:
    return Check(
        "I5",
        "every event is recorded",
        "no usage event waits that cannot be recorded, and none was set aside",
        len(state.waiting) + len(state.unreadable) + state.set_aside,
        (
            *state.unreadable,
            *([f"{state.set_aside} events were set aside"] if state.set_aside else []),
        ),
        "Read the stream of rejected events in Redis: each is a request that has no record.",
    )
