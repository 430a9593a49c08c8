"""What the audit finds in the counters of Redis."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, select

from gateway.adapters.epochs import Recorded
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.tables import budgets as budgets_table
from gateway.core.money import usd_from_nano
from gateway.workers.audit_records import Culprits, Records
from gateway.workers.audit_report import Check
from gateway.workers.audit_state import RedisState, Window, parts_of, still_open

REBUILD = "Run `faregate rebuild`: it sets the counters to what the records say."


def limits(connection: Connection, records: Records, state: RedisState) -> Check:
    """I1. A limit counts as it was when requests were admitted: it may be lowered afterwards."""
    b = budgets_table.c
    current = {
        row.id: (row.name, row.limit_nano, row.enforcement)
        for row in connection.execute(select(b.id, b.name, b.limit_nano, b.enforcement))
    }
    differences = []
    compared = 0
    for window, spent in state.spent.items():
        name, limit, enforcement = current.get(window[0], ("?", 0, "strict"))
        if enforcement != "strict" or window in records.lenient:
            continue
        compared += 1
        over = spent + state.held[window] - max(limit, records.limits.get(window, 0))
        if over > 0:
            differences.append(
                f"budget {name!r} window {window[1]}: over by ${usd_from_nano(over)}"
            )
    return Check(
        "I1",
        "spent + held <= limit",
        "no strict budget is overspent",
        compared,
        tuple(differences),
        "Look for overruns (I2) in this window; new requests are refused until it ends.",
    )


def spent_differs(state: RedisState, expected: Mapping[Window, int]) -> dict[Window, int]:
    """Nano-dollars by which Redis differs from the records, of each window that differs."""
    return {
        window: spent - expected.get(window, 0)
        for window, spent in state.spent.items()
        if spent != expected.get(window, 0)
    }


def spent(
    budgets: RedisBudgets,
    connection: Connection,
    state: RedisState,
    expected: Mapping[Window, int],
    culprits: Culprits,
) -> Check:
    """I5: what Redis says is spent is what the records sum to."""
    differences = [
        f"budget {w[0]} window {w[1]}: Redis says {state.spent[w]}, records say"
        f" {expected.get(w, 0)} nano-dollars spent{culprits.explain(w)}"
        for w in sorted(spent_differs(state, expected))
    ]
    differences += [
        f"budget {w[0]} window {w[1]}: Redis has no counters, records say {expected[w]}"
        " nano-dollars spent"
        for w in still_open(connection, set(expected) - set(state.spent), state.now_ms)
        # Not where the window began after the names of all windows were read.
        if expected[w] and not budgets.redis.exists(budgets.keys.budget(*w))
    ]
    return Check(
        "I5",
        "counters = records",
        "what Redis says is spent is what the records sum to",
        len(state.spent),
        tuple(differences),
        REBUILD,
    )


def held(state: RedisState) -> Check:
    """I6: what is held is the sum of open holds, and in flight is their number."""
    expected: dict[Window, int] = defaultdict(int)
    holders: dict[Window, list[str]] = defaultdict(list)
    for request_id, listed in state.open_holds.items():
        for part in parts_of(listed):
            expected[part.window] += part.held_nano
            holders[part.window].append(request_id)
    differences = []
    for window in sorted(set(state.held) | set(expected)):
        found, sums = state.held.get(window, 0), expected.get(window, 0)
        if found != sums:
            named = ", ".join(holders[window][:3]) or "none"
            differences.append(
                f"budget {window[0]} window {window[1]}: held {found}, open holds sum to {sums}"
                f" nano-dollars ({len(holders[window])} requests: {named})"
            )
    numbers = Counter(state.owners.values())
    for client_id in sorted({*state.in_flight, *numbers}):
        found, sums = state.in_flight.get(client_id, 0), numbers[client_id]
        # A client that came after the names of all clients were read is not compared.
        if client_id in state.in_flight and found != sums:
            named = ", ".join(r for r, owner in state.owners.items() if owner == client_id)[:200]
            differences.append(
                f"client {client_id}: {found} requests in flight, {sums} holds are open"
                f" ({named or 'none'})"
            )
    return Check(
        "I6",
        "held = open holds",
        "what is held is the sum of the holds in flight, never negative",
        len(state.held) + len(state.in_flight),
        tuple(differences),
        REBUILD,
    )


def sequence(state: RedisState, recorded: Recorded) -> Check:
    """I10. ``recorded`` was read before Redis was."""
    differences = []
    if recorded.epoch and recorded.epoch != state.epoch:
        differences.append(f"Redis is in epoch {state.epoch}, the database in {recorded.epoch}")
    if state.sequence < recorded.sequence:
        differences.append(
            f"Redis is at change {state.sequence}, the records know of {recorded.sequence}"
        )
    last = 0
    for event in state.waiting:
        if event.sequence and event.sequence <= last:
            differences.append(
                f"request {event.identity[0]}: its event is change {event.sequence}, after {last}"
            )
        last = max(last, event.sequence)
    return Check(
        "I10",
        "the sequence never goes back",
        "Redis knows of every change that is recorded, and its events are in order",
        len(state.waiting) + 1,
        tuple(differences),
        "Redis has lost something: the recorder rebuilds it, or run `faregate rebuild`.",
    )
