"""What the audit sums over the records, in one pass that keeps no record in memory.

What stays is one small entry per budget window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from gateway.adapters.tables import budget_windows
from gateway.core.budgets import Enforcement
from gateway.core.recorded_cost import final_cost
from gateway.workers.audit_report import Check, Difference, Found, check
from gateway.workers.audit_state import (
    Defined,
    RedisState,
    Window,
    milliseconds,
    name_of,
    parts_of,
    windows_of,
)
from gateway.workers.audit_waiting import Waiting

_PAGE = 2000


class Sums:
    """What the records say of one budget window. Amounts in nano-dollars."""

    __slots__ = ("before", "lenient", "limit", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self.before = 0
        """The same, of what was settled before the look at Redis."""
        self.limit = 0
        """The highest limit that any request was admitted under."""
        self.lenient = False
        """Whether some requests were admitted under less than ``strict``."""

    def admitted(self, limit_nano: int, enforcement: str) -> None:
        """A request was admitted under this limit."""
        self.limit = max(self.limit, limit_nano)
        self.lenient = self.lenient or enforcement != Enforcement.STRICT


class Records:
    """Everything that is summed over the records. ``add`` each of them, then ask."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.count = 0
        self.cost_nano = 0
        self.windows: dict[Window, Sums] = defaultdict(Sums)
        self.same_moment: list[tuple[str, str]] = []
        """Records of the very millisecond of the look."""
        self._overruns = Found()
        self._above: Counter[int] = Counter()
        """Charges above what a budget held that holds what it expects, by budget."""

    def add(self, row: Any) -> None:
        """Take one record."""
        self.count += 1
        self.cost_nano += row.cost_nano
        recorded_ms = milliseconds(row.recorded_at)
        if recorded_ms == self._now_ms:
            self.same_moment.append((row.request_id, row.kind))
        cost = final_cost(row)
        for part in parts_of(row.budget_windows):
            sums = self.windows[part.window]
            sums.spent += row.cost_nano
            if recorded_ms <= self._now_ms:
                sums.before += row.cost_nano
            sums.admitted(part.limit_nano, part.enforcement)
            if part.enforcement == Enforcement.EXPECTED and cost > part.held_nano:
                self._above[part.window[0]] += 1
        if cost > row.hold_nano:
            self._overruns.request(
                row.request_id,
                row.hold_nano,
                cost,
                "It cost more than was held for it. It is charged in full, so the record is right"
                " and its bound was too low: the log of its gateway says hold.overrun.",
            )

    def add_later(self, waiting: Waiting, state: RedisState) -> None:
        """Note the limits of what no record tells of yet."""
        for listed in (*state.open_holds.values(), *waiting.windows()):
            for part in parts_of(listed):
                self.windows[part.window].admitted(part.limit_nano, part.enforcement)

    # What is asked when all have been added

    def overruns(self, defined: Defined) -> Check:
        """I2."""
        notes = tuple(
            f"{number:,} charges were above what {_budget(defined, budget_id)} had held for them,"
            " as is declared: it holds what is expected, not the worst case"
            for budget_id, number in sorted(self._above.items())
        )
        says = "no request has cost more than was held for it"
        return check("I2", "cost <= hold", says, self.count, self._overruns, notes)

    def spent(self, waiting: Waiting) -> dict[Window, int]:
        """What each window had been charged at the moment of the look at Redis."""
        expected = {window: sums.before for window, sums in self.windows.items()}
        for event in waiting.pending():
            for window in windows_of(event.budget_windows):
                expected[window] = expected.get(window, 0) + event.cost_nano
        return expected

    def stored_sums(self, connection: Connection, defined: Defined) -> Check:
        """I5: the sums that SQL keeps of each budget window, from which a rebuild sets Redis."""
        found, compared = Found(), 0
        left = {window for window, sums in self.windows.items() if sums.spent}
        query = select(budget_windows).execution_options(yield_per=_PAGE)
        for row in connection.execute(query):
            compared += 1
            window = (int(row.budget_id), milliseconds(row.window_start))
            left.discard(window)
            expected = self.windows[window].spent if window in self.windows else 0
            if row.spent_nano != expected:
                found.add(_sum_differs(defined, window, expected, int(row.spent_nano)))
        for window in sorted(left):
            found.add(_sum_differs(defined, window, self.windows[window].spent, None))
        says = "the stored sum of each budget window is that of its records"
        return check("I5", "budget sums = records", says, compared, found)


def _budget(defined: Defined, budget_id: int) -> str:
    row = defined.rows.get(budget_id)
    return f"budget {row.name!r}" if row is not None else f"budget {budget_id}"


def _sum_differs(defined: Defined, window: Window, expected: int, found: int | None) -> Difference:
    return Difference(
        defined.about(window),
        expected,
        found,
        "The records are right where I4 and I9 hold, and the sum in budget_windows was changed"
        " by hand, or records were: compare them with a backup, and correct the one that differs"
        " from it before `faregate rebuild`, which sets the counters to these sums.",
        window=name_of(window),
    )


def pages(connection: Connection, query: Any) -> Iterator[Any]:
    """The rows of ``query``, a page in memory at a time."""
    return iter(connection.execute(query.execution_options(yield_per=_PAGE)))
