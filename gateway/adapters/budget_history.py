"""What a budget was charged window by window, and how often it has refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from gateway.adapters.rollup_tables import hourly_refusals
from gateway.adapters.tables import budget_windows, clients


@dataclass(frozen=True, slots=True)
class PastWindow:
    """One window: nano-dollars charged to it by so many records."""

    start: datetime
    spent_nano: int
    records: int


@dataclass(frozen=True, slots=True)
class RefusedHour:
    """How often a budget refused a client in the hour that starts at ``hour``."""

    hour: datetime
    client_id: int
    client_name: str
    requests: int


def windows_of(engine: Engine, budget_id: int, limit: int) -> list[PastWindow]:
    """The last ``limit`` windows in which anything was recorded, newest first."""
    c = budget_windows.c
    query = select(c.window_start, c.spent_nano, c.records).where(c.budget_id == budget_id)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(c.window_start.desc()).limit(limit))
        return [PastWindow(row.window_start, int(row.spent_nano), int(row.records)) for row in rows]


def refusals_of(engine: Engine, budget_id: int, since: datetime, limit: int) -> list[RefusedHour]:
    """Whom the budget has refused by the hour since ``since``, newest first, at most ``limit``."""
    c = hourly_refusals.c
    query = (
        select(c.hour, c.client_id, clients.c.name, func.sum(c.requests).label("requests"))
        .join(clients, clients.c.id == c.client_id, isouter=True)
        .where(c.budget_id == budget_id, c.hour >= since)
        .group_by(c.hour, c.client_id, clients.c.name)
        .order_by(c.hour.desc(), c.client_id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [
            RefusedHour(row.hour, row.client_id, row.name or "", int(row.requests))
            for row in connection.execute(query)
        ]
