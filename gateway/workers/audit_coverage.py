"""What the audit finds about budgets within budgets (I8): parent = children + direct.

Proved request by request: each is charged, with the same cost, to every budget that it falls under,
in the window of its time. So what a team has spent is what its clients have, and so on.
"""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import orjson

from gateway.core.budgets import Scope, Window, WindowKind, window_at
from gateway.workers.audit_report import Check, Found, check
from gateway.workers.audit_state import Defined, milliseconds, windows_of

GRACE = timedelta(minutes=1)
"""How long a new budget may take to reach every gateway and every hold of an outage allowance; and
how far the clock of a gateway, which dates requests while Redis is away, may be off."""

_GRACE_MS = int(GRACE.total_seconds() * 1000)


class Coverage:
    """Every request is charged to every budget that it falls under. ``add`` each, then ask."""

    def __init__(self, defined: Defined) -> None:
        self._defined = defined.rows
        self._of: dict[tuple[int, int], list[Any]] = {}
        self._windows: dict[int, Window] = {}
        """The window that was met last, by budget."""
        self._compared = 0
        self._found = Found()

    def add(self, row: Any) -> None:
        """Take one record."""
        if row.kind != "request":
            return
        listed = dict(windows_of(row.budget_windows))
        if row.price_id is not None:
            self._covered(row, listed)
        for budget_id, start_ms in listed.items():
            self._compared += 1
            budget = self._defined.get(budget_id)
            if budget is not None:
                self._in_time(row, budget, start_ms)

    def _covered(self, row: Any, listed: dict[int, int]) -> None:
        owner = (row.team_id, row.client_id)
        applicable = self._of.get(owner)
        if applicable is None:
            applicable = [b for b in self._defined.values() if _is_on(b, *owner)]
            self._of[owner] = applicable
        for budget in applicable:
            if budget.id in listed or budget.created_at + GRACE > row.held_at:
                continue
            if budget.removed_at is not None and budget.removed_at - GRACE < row.held_at:
                continue
            if budget.model_pattern and not fnmatchcase(row.model, budget.model_pattern):
                continue
            if budget.tag and not _is_tagged(row, budget.tag):
                continue
            self._found.request(
                row.request_id,
                f"charged to budget {budget.name!r}",
                "not charged to it",
                "It falls under this budget, which has been charged too little. Find out which"
                " gateway admitted it, and whether it runs this version.",
            )

    def _in_time(self, row: Any, budget: Any, start_ms: int) -> None:
        at_ms = milliseconds(row.held_at)
        window = self._windows.get(budget.id)
        if window is None or window.start_ms != start_ms:
            window = window_at(WindowKind(budget.window), budget.time_zone, start_ms)
            self._windows[budget.id] = window
        begins_there = window.start_ms == start_ms
        if begins_there and window.start_ms - _GRACE_MS <= at_ms < window.end_ms + _GRACE_MS:
            return
        right = window_at(WindowKind(budget.window), budget.time_zone, at_ms)
        self._found.request(
            row.request_id,
            f"charged to {budget.name!r} from {right.start_ms} ms on",
            f"charged to {budget.name!r} from {start_ms} ms on",
            "It was made in another window of this budget than it was charged to. Compare the"
            " clocks and the time zone files of the gateways.",
        )

    def check(self) -> Check:
        """The invariant, once all records were added."""
        says = (
            "every request is charged to all budgets of its client, its team and the organization,"
            " in the window of its time"
        )
        return check("I8", "parents = children", says, self._compared, self._found)


def _is_tagged(row: Any, tag: str) -> bool:
    name, _, value = tag.partition("=")
    return bool(orjson.loads(row.tags).get(name) == value)


def _is_on(budget: Any, team_id: int, client_id: int) -> bool:
    if budget.scope == Scope.ORGANIZATION:
        return True
    if budget.scope == Scope.TEAM:
        return bool(budget.team_id == team_id)
    return bool(budget.client_id == client_id)
