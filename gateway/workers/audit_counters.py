"""What the audit finds in the counters of Redis."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from gateway.adapters.epochs import Recorded
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.budgets import Enforcement
from gateway.core.money import usd_from_nano
from gateway.workers.audit_records import Records
from gateway.workers.audit_report import Check, Difference, Found, check
from gateway.workers.audit_state import Defined, RedisState, Window, name_of, parts_of
from gateway.workers.audit_waiting import Waiting
from gateway.workers.audit_witnesses import NAMED, Witnesses


def over_limits(defined: Defined, records: Records, state: RedisState) -> dict[Window, int]:
    """Nano-dollars by which windows of strict budgets are over the limit that was in force.

    A limit counts as it was when requests were admitted: it may be lowered afterwards.
    """
    over = {}
    for window in state.spent.keys() | records.windows.keys():
        row, sums = defined.rows.get(window[0]), records.windows.get(window)
        if not _is_strict(window, defined, records):
            continue
        limit = max(row.limit_nano if row is not None else 0, sums.limit if sums else 0)
        spent = state.spent.get(window, sums.spent if sums else 0)
        if spent + state.held.get(window, 0) > limit:
            over[window] = spent + state.held.get(window, 0) - limit
    return over


def _is_strict(window: Window, defined: Defined, records: Records) -> bool:
    row, sums = defined.rows.get(window[0]), records.windows.get(window)
    if row is None or row.enforcement != Enforcement.STRICT:
        return False
    return sums is None or not sums.lenient


def limits(
    defined: Defined,
    records: Records,
    state: RedisState,
    over: Mapping[Window, int],
    witnesses: Witnesses,
) -> Check:
    """I1. The counters decide, and the records where Redis has forgotten the window."""
    found = Found()
    for window in sorted(over):
        row, sums = defined.rows[window[0]], records.windows.get(window)
        limit = max(row.limit_nano, sums.limit if sums else 0)
        overran, still_open = witnesses.overran(window), witnesses.open(window)
        guessed = witnesses.not_exact_nano.get(window, 0)
        said = f"Over by ${usd_from_nano(over[window])}."
        if overran:
            said += f" Request {' and '.join(overran)} cost more than was held (I2)."
        elif guessed >= over[window]:
            said += (
                f" ${usd_from_nano(guessed)} of it are upper bounds of what is not known exactly:"
                " the provider's bill says whether it was overspent at all."
            )
        if still_open:
            said += f" In flight: {', '.join(still_open)}."
        found.add(
            Difference(
                defined.about(window),
                f"at most {limit}",
                limit + over[window],
                f"{said} Where I5 and I6 hold the counters are right, and no request is admitted"
                " until the window ends or the limit is raised.",
                window=name_of(window),
                requests=overran or still_open,
            )
        )
    strict = [w for w in state.spent if _is_strict(w, defined, records)]
    left_out = len(state.spent) - len(strict)
    notes = (f"{left_out:,} windows are of budgets that may be passed",) if left_out else ()
    says = "no strict budget is overspent"
    return check("I1", "spent + held <= limit", says, len(strict), found, notes)


def spent_differs(state: RedisState, expected: Mapping[Window, int]) -> dict[Window, int]:
    """Nano-dollars by which Redis differs from the records, of each window that differs."""
    return {
        window: spent - expected.get(window, 0)
        for window, spent in state.spent.items()
        if spent != expected.get(window, 0)
    }


def lost_counters(
    budgets: RedisBudgets, defined: Defined, state: RedisState, expected: Mapping[Window, int]
) -> list[Window]:
    """Windows that have been charged and not ended, and that Redis has no counters of."""
    charged = (window for window, nano in expected.items() if nano and window not in state.spent)
    return [
        window
        for window in defined.still_open(charged, state.now_ms)
        # Not where the window began after the names of all windows were read.
        if not budgets.redis.exists(budgets.keys.budget(*window))
    ]


def spent(
    defined: Defined,
    state: RedisState,
    expected: Mapping[Window, int],
    lost: list[Window],
    witnesses: Witnesses,
    ends_lost: tuple[str, ...],
) -> Check:
    """I5: what Redis says is spent is what the records sum to.

    ``ends_lost`` are requests that have ended in Redis and have no record (I3).
    """
    found = Found()
    for window, difference in sorted(spent_differs(state, expected).items()):
        exactly = witnesses.exactly(window)
        found.add(
            Difference(
                defined.about(window),
                expected.get(window, 0),
                state.spent[window],
                _why_spent_differs(difference, exactly, ends_lost),
                window=name_of(window),
                requests=exactly or (ends_lost[:NAMED] if difference > 0 else ()),
            )
        )
    for window in lost:
        found.add(
            Difference(
                defined.about(window),
                expected[window],
                None,
                "The records are right, and Redis has lost this window: run `faregate rebuild`.",
                window=name_of(window),
            )
        )
    says = "what Redis says is spent is what the records sum to"
    return check("I5", "counters = records", says, len(state.spent), found)


def _why_spent_differs(difference: int, exactly: tuple[str, ...], ends: tuple[str, ...]) -> str:
    if difference > 0 and ends:
        return (
            f"Redis may be right: {', '.join(ends[:NAMED])} ended and has no record (I3)."
            " Do not rebuild before its cost is known: the counter is all that has it."
        )
    named = f"request {' or '.join(exactly)}"
    if difference > 0 and exactly:
        why = f"The difference is the cost of {named}, as if it had been charged twice."
    elif exactly:
        why = f"The difference is the cost of {named}, which is recorded and not charged."
    else:
        why = "No single request explains it, and every end that Redis remembers is recorded."
    return f"{why} The records are right: `faregate rebuild` sets the counter to them."


def held(defined: Defined, state: RedisState) -> Check:
    """I6: what is held is the sum of open holds, and in flight is their number."""
    expected: dict[Window, int] = defaultdict(int)
    holders: dict[Window, dict[str, int]] = defaultdict(dict)
    for request_id, listed in state.open_holds.items():
        for part in parts_of(listed):
            expected[part.window] += part.held_nano
            holders[part.window][request_id] = part.held_nano
    found = Found()
    for window in sorted(state.held.keys() | expected.keys()):
        counted, sums = state.held.get(window, 0), expected.get(window, 0)
        if counted != sums:
            why, requests = _why_held_differs(state, holders[window], counted - sums)
            about = f"{defined.about(window)}, held"
            found.add(
                Difference(about, sums, counted, why, window=name_of(window), requests=requests)
            )
    numbers = Counter(state.owners.values())
    for client_id in sorted(state.in_flight):
        # A client that came after the names of all clients were read is not compared.
        counted, number = state.in_flight[client_id], numbers[client_id]
        if counted != number:
            requests = tuple(r for r, owner in state.owners.items() if owner == client_id)[:NAMED]
            why = _holds_are_right(f"Its open holds: {', '.join(requests) or 'none'}.", state)
            about = f"requests in flight of client {client_id}"
            found.add(Difference(about, number, counted, why, requests=requests))
    says = "what is held is the sum of the holds in flight, never negative"
    compared = len(state.held) + len(state.in_flight)
    return check("I6", "held = open holds", says, compared, found)


def _why_held_differs(
    state: RedisState, holders: Mapping[str, int], difference: int
) -> tuple[str, tuple[str, ...]]:
    exactly = [one for one, nano in holders.items() if nano == abs(difference)][:NAMED]
    if difference < 0 and exactly:
        said = f"The difference is what request {' or '.join(exactly)} holds, which is not counted."
    elif exactly:
        said = f"The difference is what request {' or '.join(exactly)} holds, as if it held twice."
    else:
        said = f"Its open holds: {', '.join(list(holders)[:NAMED]) or 'none'}."
    return _holds_are_right(said, state), tuple(exactly or list(holders)[:NAMED])


def _holds_are_right(said: str, state: RedisState) -> str:
    if state.strays:
        named = ", ".join(f"{one} ({how})" for one, how in list(state.strays.items())[:NAMED])
        said += f" Listed as open, and no open hold: {named}."
    return f"{said} The holds are right: `faregate rebuild` sets the counter to their sum."


def sequence(state: RedisState, recorded: Recorded, waiting: Waiting) -> Check:
    """I10. ``recorded`` was read before Redis was."""
    found = Found()
    rebuild = "Redis has lost something: the recorder rebuilds it, or run `faregate rebuild`."
    if recorded.epoch and recorded.epoch != state.epoch:
        found.add(Difference("epoch of Redis", recorded.epoch, state.epoch, rebuild))
    if recorded.late and recorded.late == state.epoch:
        said = "Usage of an earlier epoch was recorded after they had been set (I5)."
        found.add(Difference("counters of Redis", "set from all records", said, rebuild))
    if state.suspended:
        said = "Requests are refused until the counters are rebuilt, which the recorder does."
        found.add(Difference("admission", "open", f"suspended: {state.suspended}", said))
    if state.sequence < recorded.sequence:
        found.add(
            Difference(
                "newest change in Redis", f"at least {recorded.sequence}", state.sequence, rebuild
            )
        )
    for request_id, later in waiting.later_than(state.sequence):
        found.request(request_id, f"at most change {state.sequence}", f"change {later}", rebuild)
    for request_id, change, before in waiting.out_of_order():
        found.request(
            request_id,
            f"a change after {before}",
            f"change {change}",
            f"Its event came behind one of a later change. {rebuild}",
        )
    says = "Redis knows of every change that is recorded, and its events are in order"
    return check("I10", "the sequence never goes back", says, len(waiting) + 1, found)
