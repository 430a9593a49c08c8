"""What the audit finds in the records themselves, in one pass that keeps no record in memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from gateway.adapters.tables import budget_windows, hourly_usage
from gateway.core.events import UsageEvent
from gateway.core.prices import CostLine, Meter, sum_lines
from gateway.core.usage import Certainty
from gateway.workers.audit_report import DIFFERENCES_MAX, Check
from gateway.workers.audit_state import RedisState, Window, parts_of, windows_of

CELL = ("team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty")
"""What the hourly sums are kept by, besides the hour."""

CULPRITS_MAX = 3


def milliseconds(moment: datetime) -> int:
    """``moment`` as Redis counts it."""
    return round(moment.timestamp() * 1000)


class Found:
    """Differences of one check; beyond a thousand only their number."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        """One more difference."""
        if len(self._texts) < DIFFERENCES_MAX:
            self._texts.append(text)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """The differences."""
        beyond = [f"and {self._more} more"] if self._more else []
        return (*self._texts, *beyond)


class Culprits:
    """Remembers which requests of a group have which cost, to explain a difference by request."""

    def __init__(self, wanted: Mapping[Any, int]) -> None:
        """``wanted`` is the difference, in nano-dollars, of each group that has one."""
        self._wanted = wanted
        self._found: dict[Any, list[str]] = defaultdict(list)

    def see(self, group: Any, request_id: str, cost_nano: int) -> None:
        """A record of ``group``."""
        wanted = self._wanted.get(group)
        if wanted is not None and cost_nano and abs(cost_nano) == abs(wanted):
            names = self._found[group]
            if len(names) < CULPRITS_MAX and request_id not in names:
                names.append(request_id)

    def explain(self, group: Any) -> str:
        """Who may be behind the difference of ``group``."""
        names = self._found.get(group)
        return f"; the difference is the cost of request {' or '.join(names)}" if names else ""


class Records:
    """Everything that is summed over the records. ``add`` each of them, then ask."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.count = 0
        self.cost_nano = 0
        self.spent: dict[Window, int] = defaultdict(int)
        self.spent_before: dict[Window, int] = defaultdict(int)
        """The same, of what was settled before the look at Redis."""
        self.limits: dict[Window, int] = {}
        """The highest limit that any request was admitted under."""
        self.lenient: set[Window] = set()
        """Windows that some requests were admitted to under less than ``strict``."""
        self._cells: dict[tuple[Any, ...], list[int]] = {}
        self.same_moment: list[tuple[str, str]] = []
        """Records of the very millisecond of the look."""
        self._overruns, self._uncertain = Found(), Found()
        self._unlabelled = Found()
        self._priced = 0

    def add(self, row: Any) -> None:
        """Take one record."""
        self.count += 1
        self.cost_nano += row.cost_nano
        recorded_ms = milliseconds(row.recorded_at)
        if recorded_ms == self._now_ms:
            self.same_moment.append((row.request_id, row.kind))
        for part in parts_of(row.budget_windows):
            self.spent[part.window] += row.cost_nano
            if recorded_ms <= self._now_ms:
                self.spent_before[part.window] += row.cost_nano
            self.admitted(part.window, part.limit_nano, part.enforcement)
        self._add_cell(row)
        self._judge(row)

    def admitted(self, window: Window, limit_nano: int, enforcement: str) -> None:
        """A request was admitted to ``window`` under this limit."""
        self.limits[window] = max(self.limits.get(window, 0), limit_nano)
        if enforcement != "strict":
            self.lenient.add(window)

    def _add_cell(self, row: Any) -> None:
        hour = row.held_at.replace(minute=0, second=0, microsecond=0)
        cell = (hour, *(getattr(row, name) for name in CELL))
        if row.kind == "request":
            self._sum(cell, row.cost_nano, 1, row.input_tokens, row.output_tokens)
            return
        # A correction moves the hold that was charged as unknown to what it is known to be.
        self._sum((*cell[:-1], Certainty.UNKNOWN.value), -row.hold_nano, 0, 0, 0)
        cost = row.hold_nano + row.cost_nano
        self._sum(cell, cost, 0, row.input_tokens, row.output_tokens)

    def _sum(self, cell: tuple[Any, ...], *added: int) -> None:
        before = self._cells.setdefault(cell, [0, 0, 0, 0])
        for position, value in enumerate(added):
            before[position] += value

    def _judge(self, row: Any) -> None:
        """I2 and I9, which a record tells by itself."""
        cost = row.cost_nano + (row.hold_nano if row.kind == "correction" else 0)
        if cost > row.hold_nano:
            self._overruns.add(
                f"request {row.request_id}: cost {cost}, held were {row.hold_nano} nano-dollars"
            )
        if row.outcome == "expired":
            if row.certainty != Certainty.UNKNOWN:
                self._unlabelled.add(
                    f"request {row.request_id}: expired and charged, but marked {row.certainty}"
                )
            if row.cost_nano != row.hold_nano:
                self._uncertain.add(
                    f"request {row.request_id}: expired, charged {row.cost_nano} of the"
                    f" {row.hold_nano} nano-dollars that were held"
                )
        elif row.certainty == Certainty.EXACT and row.outcome == "settled" and row.price_id:
            self._priced += 1
            computed = _computed(row.cost_lines)
            if computed != cost:
                self._uncertain.add(
                    f"request {row.request_id}: recorded {cost} as exact, its lines come to"
                    f" {computed} nano-dollars"
                )

    # What is asked when all have been added

    def overruns(self) -> Check:
        """I2."""
        return Check(
            "I2",
            "cost <= hold",
            "no request has cost more than was held for it",
            self.count,
            self._overruns.all(),
            "Find out what bounded the request too low: the log says hold.overrun.",
        )

    def certainty(self) -> Check:
        """I9, as far as records tell it by themselves."""
        return Check(
            "I9",
            "labels are true",
            "an exact cost is what its lines come to; an expired request is charged its hold, and"
            " marked unknown",
            self.count,
            (*self._unlabelled.all(), *self._uncertain.all()),
            "Compare the record with the provider's bill; post a correction.",
        )

    def windows(self, connection: Connection) -> Check:
        """I5: the stored sums."""
        stored = {
            (row.budget_id, milliseconds(row.window_start)): row.spent_nano
            for row in connection.execute(select(budget_windows))
        }
        found = Found()
        for window in sorted({*stored, *self.spent}):
            if stored.get(window, 0) != self.spent.get(window, 0):
                found.add(
                    f"budget {window[0]} window {window[1]}: the sum says"
                    f" {stored.get(window, 0)}, the records {self.spent.get(window, 0)}"
                )
        return Check(
            "I5",
            "budget sums = records",
            "the stored sum of each budget window is that of its records",
            len(stored),
            found.all(),
            "Someone has changed SQL by hand: restore budget_windows from a backup.",
        )

    def rollups(self, connection: Connection) -> Check:
        """I8: the sums behind every report, at each level."""
        h = hourly_usage.c
        sums = (h.cost_nano, h.requests, h.input_tokens, h.output_tokens)
        found, compared = Found(), 0
        left = dict(self._cells)
        for row in connection.execute(select(h.hour, *(h[name] for name in CELL), *sums)):
            compared += 1
            cell, stored = tuple(row[: -len(sums)]), [int(value) for value in row[-len(sums) :]]
            expected = left.pop(cell, None)
            if stored != expected and any(stored) | bool(expected):
                found.add(_cell_differs(cell, stored, expected))
        for cell, expected in left.items():
            if any(expected):
                found.add(_cell_differs(cell, None, expected))
        return Check(
            "I8",
            "rollups = records",
            "the hourly sums of teams, clients and keys are those of their records",
            compared,
            found.all(),
            "Someone has changed SQL by hand: restore hourly_usage from a backup.",
        )


def _cell_differs(
    cell: tuple[Any, ...], stored: Sequence[int] | None, expected: Sequence[int] | None
) -> str:
    return (
        f"hour {cell[0]:%Y-%m-%d %H:00} {cell[1:]}: rollup says {stored}, records {expected}"
        " (cost, requests, input, output)"
    )


def _computed(lines: str) -> int:
    """What the lines of a record come to, in nano-dollars; -1 where they cannot be read."""
    try:
        found = [CostLine(Meter(name), *rest) for name, *rest in json.loads(lines)]
        return sum_lines(found)
    except (ValueError, TypeError):
        return -1


def spent(records: Records, waiting: Sequence[UsageEvent]) -> dict[Window, int]:
    """What each budget window has been charged at the moment of the look at Redis."""
    expected: dict[Window, int] = defaultdict(int, records.spent_before)
    for event in waiting:
        for window in windows_of(event.row["budget_windows"]):
            expected[window] += event.row["cost_nano"]
    return expected


def admitted_since(records: Records, state: RedisState) -> None:
    """Note the limits of what no record tells of yet."""
    listed = [event.row["budget_windows"] for event in state.waiting]
    for text in (*listed, *state.open_holds.values()):
        for part in parts_of(text):
            records.admitted(part.window, part.limit_nano, part.enforcement)
