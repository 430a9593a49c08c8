"""What the audit finds about single requests: what may have been sent, and how it ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, case, exists, func, select

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import intents, owned_objects, usage_records
from gateway.core.endings import hold_from
from gateway.core.objects import WorkState
from gateway.workers.audit_records import pages
from gateway.workers.audit_report import Check, Found, check
from gateway.workers.audit_state import RedisState, milliseconds, newer_events
from gateway.workers.audit_waiting import Waiting

ENDS_SAMPLE = 1000
"""Ends in Redis that are looked up in the records, where nothing else is wrong."""

_SCAN = 1000
_SCANS_MAX = 200
_ASKED_AT_ONCE = 500


def intentions(connection: Connection, state: RedisState, waiting: Waiting) -> Check:
    """I3: what was written down before it was sent is held, or recorded."""
    found, compared = Found(), 0
    recorded = exists().where(usage_records.c.request_id == intents.c.request_id)
    for row in pages(connection, select(intents).where(~recorded)):
        compared += 1
        _must_be_held(
            found,
            state,
            waiting,
            row.request_id,
            row.hold,
            "It may have been sent: SQL has its intent, Redis has no hold and nothing has its end."
            " SQL is right. Its gateway places it again where it lives; else `faregate rebuild`"
            " does, and it is charged as unknown when its lease ends.",
        )
    t = owned_objects.c
    work = select(t.kind, t.id, t.work).where(t.work_state == WorkState.OPEN.value)
    unheld: dict[str, str] = {}
    for row in pages(connection, work.where(t.work.is_not(None))):
        compared += 1
        fields = orjson.loads(row.work)
        request_id = str(fields.get("request_id"))
        if request_id not in state.open_holds:
            unheld[request_id] = row.work
    known = {row.request_id for row in rows_of(connection, sorted(unheld))}
    for request_id in sorted(unheld.keys() - known):
        _must_be_held(
            found,
            state,
            waiting,
            request_id,
            unheld[request_id],
            "It runs at the provider: SQL has the work, Redis has no hold and nothing has its end."
            " SQL is right: `faregate rebuild` holds it again.",
        )
    says = "every request that may have been sent, and all work that runs, has a hold or a record"
    return check("I3", "intents are held", says, compared, found)


def _must_be_held(
    found: Found,
    state: RedisState,
    waiting: Waiting,
    request_id: str,
    written: str,
    explanation: str,
) -> None:
    if request_id in state.open_holds or waiting.knows(request_id):
        return
    try:
        hold = hold_from(orjson.loads(written))
    except (ValueError, KeyError, TypeError) as error:
        found.request(request_id, "a hold", f"one that cannot be read: {error!r}", explanation)
        return
    # What was held in the millisecond of the look, or after it, need not have been seen.
    if hold.reserved_at_ms < state.now_ms:
        found.request(request_id, hold.amount_nano, None, explanation)


def ends(
    budgets: RedisBudgets,
    engine: Engine,
    connection: Connection,
    state: RedisState,
    waiting: Waiting,
    most: int | None,
) -> Check:
    """I3: what has ended in Redis has a record, or its event waits. Raises StoreDown.

    ``most`` is how many ends are looked at, None for all that Redis remembers.
    """
    try:
        compared, missing = _ends_without_record(budgets, connection, state, waiting, most)
        if missing:
            # Those that ended after the look: their events came after it, or are recorded now.
            missing -= set(newer_events(budgets, state))
            with engine.connect() as now:
                missing -= {row.request_id for row in rows_of(now, sorted(missing))}
    except RedisError as error:
        raise StoreDown(str(error)) from error
    found = Found()
    for request_id in sorted(missing):
        found.request(
            request_id,
            "a record",
            None,
            "Redis is right: it has ended, and its usage event was lost before it was recorded."
            " What it cost is in the counters alone, and `faregate rebuild` would take it out of"
            " them: look it up at the provider by its id first.",
        )
    says = "every end that Redis remembers has a record, or its event waits"
    return check("I3", "ends are recorded", says, compared, found)


def _ends_without_record(
    budgets: RedisBudgets,
    connection: Connection,
    state: RedisState,
    waiting: Waiting,
    most: int | None,
) -> tuple[int, set[str]]:
    prefix = budgets.keys.hold("")
    set_aside = {request_id for request_id, _ in state.set_aside}
    compared, cursor, scans = 0, 0, 0
    missing: set[str] = set()
    while True:
        cursor, names = budgets.redis.scan(cursor, match=f"{prefix}*", count=_SCAN)
        scans += 1
        with budgets.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(name, "state", "free")
            states = pipe.execute() if names else []
        # A call that came before its reserve closes the id too, and leaves no record: it is free.
        ended = {
            name.decode().removeprefix(prefix)
            for name, (said, free) in zip(names, states, strict=True)
            if said in (b"closed", b"expired") and free is None
        }
        compared += len(ended)
        known = {row.request_id for row in rows_of(connection, sorted(ended))}
        missing |= {one for one in ended - known - set_aside if not waiting.knows(one)}
        if cursor == 0 or (most is not None and (compared >= most or scans >= _SCANS_MAX)):
            return compared, missing


def endings(connection: Connection, state: RedisState, waiting: Waiting) -> Check:
    """I4: one ending each, at most one correction, and no hold beyond the end."""
    c = usage_records.c
    found = Found()
    requests = func.sum(case((c.kind == "request", 1), else_=0))
    number = func.count()
    suspects = (
        select(c.request_id, requests.label("requests"), number.label("records"))
        .group_by(c.request_id)
        .having((requests != 1) | (number > 2))
    )
    for row in pages(connection, suspects):
        if not waiting.knows(row.request_id):
            _ends_not_once(found, row.request_id, int(row.requests), row.records - row.requests)
    for batch in waiting.pending_ends():
        ends_of = defaultdict(list, batch)
        for row in rows_of(connection, sorted(ends_of)):
            ends_of[row.request_id].append((row.kind, row.outcome))
        for request_id, all_ends in ends_of.items():
            once = [outcome for kind, outcome in all_ends if kind == "request"]
            if len(once) != 1 or len(all_ends) > 2:
                _ends_not_once(found, request_id, len(once), len(all_ends) - len(once))
            elif len(all_ends) == 2 and once != ["expired"]:
                _corrected_in_vain(found, request_id, once[0])
            if request_id in state.open_holds:
                _open_beyond_end(found, request_id, "waits to be recorded")
    first = usage_records.alias("first")
    corrected = (
        select(c.request_id, first.c.outcome)
        .join(first, (first.c.request_id == c.request_id) & (first.c.kind == "request"))
        .where(c.kind == "correction", first.c.outcome != "expired")
    )
    for row in pages(connection, corrected):
        _corrected_in_vain(found, row.request_id, row.outcome)
    for row in rows_of(connection, sorted(state.open_holds)):
        if milliseconds(row.recorded_at) <= state.now_ms:
            _open_beyond_end(found, row.request_id, f"is {row.outcome}")
    total = connection.execute(select(func.count()).select_from(usage_records)).scalar_one()
    says = "every request has one record, at most one correction, and no hold after its end"
    return check("I4", "one ending each", says, int(total) + waiting.not_recorded(), found)


def _ends_not_once(found: Found, request_id: str, requests: int, corrections: int) -> None:
    found.request(
        request_id,
        "1 record, 0 or 1 correction",
        f"{requests} records, {corrections} corrections",
        "Each is charged. Compare them with the provider's bill: what was recorded twice is one"
        " too many, and a correction alone has lost what it corrects.",
    )


def _corrected_in_vain(found: Found, request_id: str, outcome: str) -> None:
    found.request(
        request_id,
        "expired",
        outcome,
        "It was corrected, and only what had expired may be: it is charged twice, or too little."
        " Compare both records with the provider's bill.",
    )


def _open_beyond_end(found: Found, request_id: str, how: str) -> None:
    found.request(
        request_id,
        "no hold",
        f"a hold that is open, of a request that {how}",
        "The record is right, and the hold would be charged once more when its lease ends:"
        " `faregate rebuild` closes it.",
    )


def rows_of(connection: Connection, request_ids: Sequence[str]) -> list[Any]:
    """Kind, outcome and time of every record of these requests."""
    c = usage_records.c
    rows: list[Any] = []
    for start in range(0, len(request_ids), _ASKED_AT_ONCE):
        batch = request_ids[start : start + _ASKED_AT_ONCE]
        query = select(c.request_id, c.kind, c.outcome, c.recorded_at)
        rows += connection.execute(query.where(c.request_id.in_(batch))).all()
    return rows
