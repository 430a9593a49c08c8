"""What each budget has spent and holds in its current window, from Redis or from SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Engine, Row, select

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.tables import budget_windows
from gateway.core.budgets import Window, WindowKind, window_at


@dataclass(frozen=True, slots=True)
class BudgetState:
    """Nano-dollars of one window. ``held_nano`` is None where Redis was not asked."""

    window: Window
    spent_nano: int
    held_nano: int | None


def counted_states(
    budgets: RedisBudgets, rows: Sequence[Row[Any]], ago_ms: int = 0
) -> list[BudgetState]:
    """The state of each budget row as the gateways count it, now by the server's clock.

    With ``ago_ms`` it is that of the windows in which so many milliseconds ago was.
    Raises StoreDown, and CountersLost where Redis may have lost some: its zeros would be no zeros.
    """
    if not budgets.state().admits:
        raise CountersLost
    client = budgets.redis
    try:
        seconds, micros = client.time()
        windows = _windows(rows, seconds * 1000 + micros // 1000 - ago_ms)
        with client.pipeline(transaction=False) as pipe:
            for row, window in zip(rows, windows, strict=True):
                pipe.hmget(budgets.keys.budget(row.id, window.start_ms), ["spent", "held"])
            counters = pipe.execute()
    except RedisError as error:
        raise StoreDown(str(error)) from error
    return [
        BudgetState(window, int(spent or 0), int(held or 0))
        for window, (spent, held) in zip(windows, counters, strict=True)
    ]


def recorded_states(engine: Engine, rows: Sequence[Row[Any]], at: datetime) -> list[BudgetState]:
    """The state of each budget row as far as usage is recorded, in the windows of ``at``."""
    windows = _windows(rows, int(at.timestamp() * 1000))
    spent: dict[tuple[int, datetime], int] = {}
    with engine.connect() as connection:
        starts = {_moment(window.start_ms) for window in windows}
        query = select(budget_windows).where(budget_windows.c.window_start.in_(starts))
        for row in connection.execute(query):
            spent[(row.budget_id, row.window_start)] = row.spent_nano
    return [
        BudgetState(window, spent.get((row.id, _moment(window.start_ms)), 0), None)
        for row, window in zip(rows, windows, strict=True)
    ]


def _windows(rows: Sequence[Row[Any]], at_ms: int) -> list[Window]:
    return [window_at(WindowKind(row.window), row.time_zone, at_ms) for row in rows]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
