"""What the audit finds about single requests: intents, ends, and what they fall under."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, case, func, select

from gateway.adapters.intents import intents_without_record
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.tables import budgets as budgets_table
from gateway.adapters.tables import usage_records
from gateway.core.budgets import Scope
from gateway.core.events import UsageEvent
from gateway.workers.audit_records import Found, milliseconds
from gateway.workers.audit_report import Check
from gateway.workers.audit_state import RedisState, windows_of

SAMPLE = 500
"""Newest requests whose ends are looked up in Redis."""

REMEMBERED = timedelta(hours=25)
"""An hour less than Redis remembers an end for (``lua/_hold.lua``)."""

GRACE = timedelta(minutes=1)
"""How long a new budget may take to reach every gateway and every hold of an outage allowance."""

_ASKED_AT_ONCE = 500


def intents(connection: Connection, state: RedisState) -> Check:
    """I3: what was written down before it was sent is held, or recorded."""
    waiting = {event.identity[0] for event in state.waiting}
    found, compared = Found(), 0
    for hold in intents_without_record(connection):
        compared += 1
        known = hold.request_id in state.open_holds or hold.request_id in waiting
        if not known and hold.reserved_at_ms <= state.now_ms:
            found.add(
                f"request {hold.request_id}: may have been sent, and has neither a hold in Redis"
                f" nor a record; {hold.amount_nano} nano-dollars were held"
            )
    return Check(
        "I3",
        "intents are held",
        "every request that may have been sent has a hold or a record",
        compared,
        found.all(),
        "Run `faregate rebuild`: it holds them again, and they are charged as unknown.",
    )


def endings(connection: Connection, state: RedisState, waiting: Sequence[UsageEvent]) -> Check:
    """I4: one ending each, at most one correction, and no hold beyond the end."""
    c = usage_records.c
    requests = func.sum(case((c.kind == "request", 1), else_=0))
    suspects = (
        select(c.request_id).group_by(c.request_id).having((requests != 1) | (func.count() > 2))
    )
    coming: dict[str, list[str]] = defaultdict(list)
    for event in waiting:
        coming[event.identity[0]].append(event.identity[1])
    ids = {row.request_id for row in connection.execute(suspects)} | coming.keys()
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(connection, sorted(ids)):
        kinds[row.request_id].append(row.kind)
    found = Found()
    for request_id in sorted(ids):
        all_kinds = sorted(kinds[request_id] + coming[request_id])
        if all_kinds.count("request") != 1 or len(all_kinds) > 2:
            found.add(f"request {request_id}: records {all_kinds}")
    first = usage_records.alias("first")
    corrected = (
        select(c.request_id)
        .join(first, (first.c.request_id == c.request_id) & (first.c.kind == "request"))
        .where(c.kind == "correction", first.c.outcome != "expired")
    )
    for row in connection.execute(corrected):
        found.add(f"request {row.request_id}: corrected, and had not expired")
    for row in rows_of(connection, sorted(state.open_holds)):
        if milliseconds(row.recorded_at) <= state.now_ms:
            found.add(f"request {row.request_id}: is {row.outcome}, and its hold is still open")
    total = connection.execute(select(func.count()).select_from(usage_records)).scalar_one()
    return Check(
        "I4",
        "one ending each",
        "every request has one record, at most one correction, and no hold after its end",
        int(total) + len(waiting),
        found.all(),
        "Compare the records with the provider's bill; `faregate rebuild` closes their holds.",
    )


def repetitions(budgets: RedisBudgets, connection: Connection, state: RedisState) -> Check:
    """I7: the ends of the newest requests are remembered, so a repeated call changes nothing."""
    c = usage_records.c
    newest = (
        select(c.request_id, c.held_at)
        .where(c.kind == "request")
        .order_by(c.held_at.desc())
        .limit(SAMPLE)
    )
    rows = [
        row
        for row in connection.execute(newest)
        if milliseconds(row.held_at) >= state.epoch
        and state.now_ms - milliseconds(row.held_at) < REMEMBERED.total_seconds() * 1000
    ]
    with budgets.redis.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.hget(budgets.keys.hold(row.request_id), "state")
        states = pipe.execute()
    found = Found()
    for row, known in zip(rows, states, strict=True):
        if known not in (b"closed", b"expired"):
            said = "open" if known else "forgotten"
            found.add(f"request {row.request_id}: has a record, and its hold is {said} in Redis")
    return Check(
        "I7",
        "a repetition changes nothing",
        "the ends of the newest requests are remembered by Redis",
        len(rows),
        found.all(),
        "Run `faregate rebuild`: ends of an earlier epoch are looked up in the records.",
    )


class Coverage:
    """I8: every request is charged to every budget that it falls under."""

    def __init__(self, connection: Connection) -> None:
        self._budgets = list(connection.execute(select(budgets_table)))
        self._of: dict[tuple[int, int], list[Any]] = {}
        self._compared = 0
        self._found = Found()

    def add(self, row: Any) -> None:
        """Take one record."""
        if row.price_id is None or row.kind != "request":
            return
        owner = (row.team_id, row.client_id)
        applicable = self._of.get(owner)
        if applicable is None:
            applicable = self._of[owner] = [b for b in self._budgets if _is_on(b, *owner)]
        if not applicable:
            return
        self._compared += 1
        listed = {window[0] for window in windows_of(row.budget_windows)}
        for budget in applicable:
            if budget.id in listed or budget.created_at + GRACE > row.held_at:
                continue
            if budget.removed_at is not None and budget.removed_at - GRACE < row.held_at:
                continue
            if budget.model_pattern and not fnmatchcase(row.model, budget.model_pattern):
                continue
            self._found.add(
                f"request {row.request_id}: falls under budget {budget.name!r}, and was not charged"
                " to it"
            )

    def check(self) -> Check:
        """The invariant, once all records were added."""
        return Check(
            "I8",
            "parents = children",
            "every request is charged to all budgets of its client, its team and the organization",
            self._compared,
            self._found.all(),
            "Find out which gateway admitted it, and whether it runs this version.",
        )


def _is_on(budget: Any, team_id: int, client_id: int) -> bool:
    if budget.scope == Scope.ORGANIZATION:
        return True
    if budget.scope == Scope.TEAM:
        return bool(budget.team_id == team_id)
    return bool(budget.client_id == client_id)


def rows_of(connection: Connection, request_ids: Sequence[str]) -> list[Any]:
    """Kind, outcome and time of every record of these requests."""
    c = usage_records.c
    rows: list[Any] = []
    for start in range(0, len(request_ids), _ASKED_AT_ONCE):
        batch = request_ids[start : start + _ASKED_AT_ONCE]
        query = select(c.request_id, c.kind, c.outcome, c.recorded_at)
        rows += connection.execute(query.where(c.request_id.in_(batch))).all()
    return rows
