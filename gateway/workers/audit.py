"""Proves, on a live deployment, that records, counters and sums are one and the same.

Redis is read first, as of one moment; SQL after it, in one snapshot. What was settled in
between is told apart by the time that the settle script stamped on it, so an audit of a busy
deployment is exact too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import budget_windows, hourly_usage, usage_records
from gateway.adapters.tables import budgets as budgets_table
from gateway.core.events import UsageEvent
from gateway.core.money import usd_from_nano
from gateway.core.usage import Certainty
from gateway.workers.audit_report import AuditReport, Charge, Check
from gateway.workers.audit_state import (
    RedisState,
    Window,
    parts_of,
    read_redis,
    still_open,
    windows_of,
)
from gateway.workers.audit_truth import compare_with_truth

_LOOKS_MAX = 20

_CELL = ("team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty")
"""What the hourly sums are kept by, besides the hour."""


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
    nobody can tell whether the counters have it."""
    state = read_redis(budgets)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        else:
            connection.exec_driver_sql("BEGIN")
        rows = _rows(connection)
        in_stream = {event.identity for event in state.waiting}
        if any(
            _milliseconds(row.recorded_at) == state.now_ms
            and (row.request_id, row.kind) not in in_stream
            for row in rows
        ):
            return None
        seen = {(row.request_id, row.kind) for row in rows}
        waiting = [event for event in state.waiting if event.identity not in seen]
        checks = [
            _held(state),
            _limits(connection, rows, state),
            _spent(budgets, connection, rows, waiting, state),
            _windows(connection, rows),
            _rollups(connection, rows),
            _endings(rows, waiting),
            _readable(state),
        ]
        if truth is not None:
            checks.append(compare_with_truth(connection, rows, waiting, truth))
    return AuditReport(
        tuple(checks),
        len(rows),
        len(waiting),
        len(state.open_holds),
        sum(r.cost_nano for r in rows),
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _rows(connection: Connection) -> Sequence[Any]:
    c = usage_records.c
    return connection.execute(
        select(
            c.request_id,
            c.kind,
            c.held_at,
            c.recorded_at,
            c.team_id,
            c.client_id,
            c.key_id,
            c.endpoint,
            c.model,
            c.service_tier,
            c.outcome,
            c.certainty,
            c.cost_nano,
            c.hold_nano,
            c.budget_windows,
            c.price_id,
            c.status,
            c.input_tokens,
            c.output_tokens,
        )
    ).all()


def _held(state: RedisState) -> Check:
    expected: dict[Window, int] = defaultdict(int)
    for listed in state.open_holds.values():
        for part in parts_of(listed):
            expected[part.window] += part.held_nano
    differences = [
        f"budget {w[0]} window {w[1]}: held {state.held.get(w, 0)}, open holds sum to"
        f" {expected.get(w, 0)} nano-dollars"
        for w in sorted(set(state.held) | set(expected))
        if state.held.get(w, 0) != expected.get(w, 0)
    ]
    return Check(
        "held = open holds",
        "what is held is the sum of the holds in flight, never negative",
        len(state.held),
        tuple(differences),
    )


def _limits(connection: Connection, rows: Sequence[Any], state: RedisState) -> Check:
    """A limit counts as it was when requests were admitted: it may be lowered afterwards."""
    limits: dict[Window, int] = {}
    lenient: set[Window] = set()
    admitted = [row.budget_windows for row in rows]
    admitted += [event.row["budget_windows"] for event in state.waiting]
    admitted += state.open_holds.values()
    for listed in admitted:
        for part in parts_of(listed):
            limits[part.window] = max(limits.get(part.window, 0), part.limit_nano)
            if part.enforcement != "strict":
                lenient.add(part.window)
    current = {
        row.id: (row.name, row.limit_nano, row.enforcement)
        for row in connection.execute(
            select(
                budgets_table.c.id,
                budgets_table.c.name,
                budgets_table.c.limit_nano,
                budgets_table.c.enforcement,
            )
        )
    }
    differences = []
    compared = 0
    for window, spent in state.spent.items():
        name, limit, enforcement = current.get(window[0], ("?", 0, "strict"))
        if enforcement != "strict" or window in lenient:
            continue
        compared += 1
        over = spent + state.held[window] - max(limit, limits.get(window, 0))
        if over > 0:
            differences.append(
                f"budget {name!r} window {window[1]}: over by ${usd_from_nano(over)}"
            )
    return Check(
        "spent + held <= limit", "no strict budget is overspent", compared, tuple(differences)
    )


def _spent(
    budgets: RedisBudgets,
    connection: Connection,
    rows: Sequence[Any],
    waiting: Iterable[UsageEvent],
    state: RedisState,
) -> Check:
    expected: dict[Window, int] = defaultdict(int)
    for row in rows:
        if _milliseconds(row.recorded_at) <= state.now_ms:
            for window in windows_of(row.budget_windows):
                expected[window] += row.cost_nano
    for event in waiting:
        for window in windows_of(event.row["budget_windows"]):
            expected[window] += event.row["cost_nano"]
    differences = [
        f"budget {w[0]} window {w[1]}: Redis says {spent}, records say {expected.get(w, 0)}"
        " nano-dollars spent"
        for w, spent in sorted(state.spent.items())
        if spent != expected.get(w, 0)
    ]
    differences += [
        f"budget {w[0]} window {w[1]}: Redis has no counters, records say {expected[w]}"
        " nano-dollars spent"
        for w in still_open(connection, set(expected) - set(state.spent), state.now_ms)
        # Not where the window began after the names of all windows were read.
        if expected[w] and not budgets.redis.exists(budgets.keys.budget(*w))
    ]
    return Check(
        "counters = records",
        "what Redis says is spent is what the records sum to",
        len(state.spent),
        tuple(differences),
    )


def _windows(connection: Connection, rows: Sequence[Any]) -> Check:
    expected: dict[Window, int] = defaultdict(int)
    for row in rows:
        for window in windows_of(row.budget_windows):
            expected[window] += row.cost_nano
    stored = {
        (row.budget_id, int(row.window_start.timestamp()) * 1000): row.spent_nano
        for row in connection.execute(select(budget_windows))
    }
    differences = [
        f"budget {w[0]} window {w[1]}: sum says {stored.get(w, 0)}, records {expected.get(w, 0)}"
        for w in sorted(set(stored) | set(expected))
        if stored.get(w, 0) != expected.get(w, 0)
    ]
    return Check(
        "budget sums = records",
        "the stored sum of each budget window is that of its records",
        len(stored),
        tuple(differences),
    )


def _rollups(connection: Connection, rows: Sequence[Any]) -> Check:
    h = hourly_usage.c
    sums = (h.cost_nano, h.requests, h.input_tokens, h.output_tokens)
    stored = {
        tuple(row[: -len(sums)]): tuple(int(value) for value in row[-len(sums) :])
        for row in connection.execute(select(h.hour, *(h[name] for name in _CELL), *sums))
    }
    expected: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def add(cell: tuple[Any, ...], *added: int) -> None:
        before = expected.get(cell, (0, 0, 0, 0))
        expected[cell] = tuple(a + b for a, b in zip(before, added, strict=True))

    for row in rows:
        hour = row.held_at.replace(minute=0, second=0, microsecond=0)
        cell = (hour, *(getattr(row, name) for name in _CELL))
        if row.kind == "request":
            add(cell, row.cost_nano, 1, row.input_tokens, row.output_tokens)
        else:
            # A correction moves the hold that was charged as unknown to what it is known to be.
            add((*cell[:-1], Certainty.UNKNOWN.value), -row.hold_nano, 0, 0, 0)
            add(cell, row.hold_nano + row.cost_nano, 0, row.input_tokens, row.output_tokens)
    differences = [
        f"hour {cell[0]:%Y-%m-%d %H:00} {cell[1:]}: rollup says {stored.get(cell)}, records"
        f" {expected.get(cell)} (cost, requests, input, output)"
        for cell in sorted({*stored, *expected}, key=str)
        if stored.get(cell) != expected.get(cell)
    ]
    return Check(
        "rollups = records",
        "the hourly sums behind every report are those of the records",
        len(stored),
        tuple(differences),
    )


def _readable(state: RedisState) -> Check:
    return Check(
        "every event is recorded",
        "no usage event waits that cannot be recorded, and none was set aside",
        len(state.waiting) + len(state.unreadable) + state.set_aside,
        (
            *state.unreadable,
            *([f"{state.set_aside} events were set aside"] if state.set_aside else []),
        ),
    )


def _endings(rows: Sequence[Any], waiting: Iterable[UsageEvent]) -> Check:
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        kinds[row.request_id].append(row.kind)
    for event in waiting:
        kinds[event.row["request_id"]].append(event.row["kind"])
    differences = [
        f"request {request_id}: records {sorted(found)}"
        for request_id, found in kinds.items()
        if found.count("request") != 1 or len(found) > 2
    ]
    differences += [
        f"request {row.request_id}: expired and charged, but marked {row.certainty}"
        for row in rows
        if row.outcome == "expired" and row.certainty != Certainty.UNKNOWN
    ]
    return Check(
        "one ending each",
        "every request has one record, and at most one correction",
        len(kinds),
        tuple(differences),
    )
