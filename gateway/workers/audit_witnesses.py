"""Which requests may be behind what differs: the records of the windows in question, once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from gateway.adapters.tables import usage_records
from gateway.core.recorded_cost import final_cost
from gateway.core.usage import Certainty
from gateway.workers.audit_records import pages
from gateway.workers.audit_state import RedisState, Window, parts_of, windows_of
from gateway.workers.audit_waiting import Waiting

NAMED = 3
"""Requests that an explanation names."""


class Witnesses:
    """What is known of the requests of some windows."""

    def __init__(self, differences: Mapping[Window, int], over: Iterable[Window]) -> None:
        """``differences`` are the nano-dollars by which counters differ from the records;
        ``over`` are the windows in which more is spent and held than their limit."""
        self._differences = dict(differences)
        self._over = frozenset(over)
        self._exactly: dict[Window, list[str]] = defaultdict(list)
        self._overran: dict[Window, list[str]] = defaultdict(list)
        self._open: dict[Window, list[str]] = defaultdict(list)
        self.not_exact_nano: dict[Window, int] = defaultdict(int)
        """Of windows that are over: what is not known exactly, and charged at most."""

    def question(self, connection: Connection, state: RedisState, waiting: Waiting) -> None:
        """Read what there is to know. Does nothing where nothing is asked."""
        asked = self._differences.keys() | self._over
        if not asked:
            return
        c = usage_records.c
        columns = (c.request_id, c.kind, c.certainty, c.cost_nano, c.hold_nano, c.budget_windows)
        for row in pages(connection, select(*columns)):
            for window in windows_of(row.budget_windows):
                if window in asked:
                    self._see(window, row.request_id, row.cost_nano)
                    self._judge(window, row)
        for event in waiting.pending():
            for window in windows_of(event.budget_windows):
                if window in asked:
                    self._see(window, event.request_id, event.cost_nano)
                    self._judge(window, event)
        for request_id, listed in state.open_holds.items():
            for part in parts_of(listed):
                if part.window in self._over:
                    self._open[part.window].append(request_id)

    def _see(self, window: Window, request_id: str, cost_nano: int) -> None:
        wanted = self._differences.get(window)
        if wanted is not None and cost_nano and abs(cost_nano) == abs(wanted):
            _name(self._exactly[window], request_id)

    def _judge(self, window: Window, row: Any) -> None:
        if window not in self._over:
            return
        if row.kind == "correction":
            # What it corrects was charged as unknown, whatever it is now.
            self.not_exact_nano[window] -= row.hold_nano
        if row.certainty != Certainty.EXACT:
            self.not_exact_nano[window] += final_cost(row)
        if final_cost(row) > row.hold_nano:
            _name(self._overran[window], row.request_id)

    def exactly(self, window: Window) -> tuple[str, ...]:
        """Requests that cost exactly what a window differs by."""
        return tuple(self._exactly.get(window, ()))

    def overran(self, window: Window) -> tuple[str, ...]:
        """Requests that cost more than was held for them."""
        return tuple(self._overran.get(window, ()))

    def open(self, window: Window) -> tuple[str, ...]:
        """Requests in flight that hold a part of a window."""
        return tuple(self._open.get(window, ())[:NAMED])


def _name(names: list[str], request_id: str) -> None:
    if len(names) < NAMED and request_id not in names:
        names.append(request_id)
