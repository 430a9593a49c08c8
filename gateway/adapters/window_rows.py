"""What each budget window has spent by the records, for a rebuild of the counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from gateway.adapters.epochs import note_counted
from gateway.adapters.tables import budget_windows, budgets
from gateway.core.budgets import FOREVER_MS, WindowKind, window_at

KEPT_MS = 3_456_000_000
"""How long counters outlive their window: 40 days, as in ``lua/reserve.lua``."""


@dataclass(frozen=True)
class Forget:
    """Tells when the counters of a budget window may go."""

    kinds: dict[int, Any]
    """Rows of ``budgets`` by id."""

    def of(self, window: tuple[int, int]) -> int:
        """When the counters of (budget id, window start in ms) may go, in ms; 0 for never."""
        row = self.kinds.get(window[0])
        if row is None:
            return 0
        end_ms = window_at(WindowKind(row.window), row.time_zone, window[1]).end_ms
        return end_ms + KEPT_MS if end_ms < FOREVER_MS else 0


def forget_times(engine: Engine) -> Forget:
    """When the counters of windows may go."""
    with engine.connect() as connection:
        return Forget({row.id: row for row in connection.execute(select(budgets))})


def spent_windows(
    engine: Engine, now_ms: int, epoch: int
) -> tuple[dict[tuple[int, int], int], Forget]:
    """Nano-dollars spent in each window that Redis still keeps, by budget id and start in ms.

    They are what the counters of ``epoch`` are set to, which is written down with them.
    """
    forget = forget_times(engine)
    spent = {}
    with engine.begin() as connection:
        note_counted(connection, epoch)
        for row in connection.execute(select(budget_windows)):
            window = (int(row.budget_id), int(row.window_start.timestamp() * 1000))
            goes_at = forget.of(window)
            if goes_at == 0 or goes_at > now_ms:
                spent[window] = int(row.spent_nano)
    return spent, forget
