"""What was spent hour by hour, from the rollups: what forecasts and anomalies compare with.

Adjustments are left out: they correct the past, and no budget counts them.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Table, func, select

from gateway.adapters.rollup_tables import daily_tags, daily_usage, hourly_refusals
from gateway.adapters.tables import hourly_usage
from gateway.core.anomalies import Subject
from gateway.core.budgets import HOUR_MS
from gateway.core.forecast import HISTORY_MS
from gateway.core.reports import hour_of

_REREAD = timedelta(hours=1)


class SpendHistory:
    """The hours of budgets, of which only the newest are read each time.

    The rest is read again once an hour: usage may be recorded late.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[int, tuple[datetime, dict[int, int]]] = {}

    def hours(self, budget: Row[Any], now: datetime) -> dict[int, int]:
        """As ``hours_of_budget`` from as far back as forecasts look."""
        read_at, hours = self._known.get(budget.id, (now - _REREAD, {}))
        if now - read_at >= _REREAD:
            since = now - timedelta(milliseconds=HISTORY_MS)
            self._known[budget.id] = now, hours_of_budget(self._engine, budget, since, now)
        else:
            hours |= hours_of_budget(self._engine, budget, now - timedelta(hours=1), now)
        return dict(self._known[budget.id][1])


def hours_of_budget(
    engine: Engine, budget: Row[Any], since: datetime, now: datetime
) -> dict[int, int]:
    """What counts against a row of budgets cost by hour, from ``since`` to ``now``.

    By the start of the hour in milliseconds since 1970, in nano-dollars. What has a tag is summed
    by day alone: a day's cost is spread evenly over its hours, as far as they have come.
    """
    if budget.tag is not None:
        return _hours_of_tag(engine, budget, since, now)
    h = hourly_usage.c
    query = (
        select(h.hour, h.model, func.sum(h.cost_nano))
        .where(h.hour >= hour_of(since), h.hour <= now, *_on(hourly_usage, budget))
        .group_by(h.hour, h.model)
    )
    return _by_hour(engine, query, budget.model_pattern)


def _hours_of_tag(
    engine: Engine, budget: Row[Any], since: datetime, now: datetime
) -> dict[int, int]:
    d = daily_tags.c
    name, _, value = budget.tag.partition("=")
    query = (
        select(d.day, d.model, func.sum(d.cost_nano))
        .where(d.tag == name, d.value == value, d.day >= since - timedelta(days=1), d.day <= now)
        .where(*_on(daily_tags, budget))
        .group_by(d.day, d.model)
    )
    now_ms = int(now.timestamp() * 1000)
    hours: dict[int, int] = {}
    for day_ms, nano in _by_hour(engine, query, budget.model_pattern).items():
        passed = [day_ms + n * HOUR_MS for n in range(24) if day_ms + n * HOUR_MS <= now_ms]
        for place, hour_ms in enumerate(passed):
            hours[hour_ms] = nano * (place + 1) // len(passed) - nano * place // len(passed)
    return hours


def _by_hour(engine: Engine, query: Any, pattern: str | None) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    with engine.connect() as connection:
        for at, model, nano in connection.execute(query):
            if pattern is None or fnmatch.fnmatchcase(model, pattern):
                found[int(at.timestamp() * 1000)] += int(nano)
    return dict(found)


def _on(table: Table, budget: Row[Any]) -> list[ColumnElement[bool]]:
    found = [table.c.certainty != "adjusted"]
    if budget.client_id is not None:
        found.append(table.c.client_id == budget.client_id)
    elif budget.team_id is not None:
        found.append(table.c.team_id == budget.team_id)
    return found


def same_hours(engine: Engine, hours: Sequence[datetime]) -> dict[Subject, dict[datetime, int]]:
    """What every client, every team and the organization spent in each of ``hours``.

    An hour in which a subject spent nothing is left out.
    """
    h = hourly_usage.c
    query = (
        select(h.team_id, h.client_id, h.hour, func.sum(h.cost_nano))
        .where(h.hour.in_(hours), h.certainty != "adjusted")
        .group_by(h.team_id, h.client_id, h.hour)
    )
    found: dict[Subject, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    with engine.connect() as connection:
        for team_id, client_id, hour, nano in connection.execute(query):
            for subject in _subjects(team_id, client_id):
                found[subject][hour] += int(nano)
    return found


def first_days(engine: Engine) -> dict[Subject, datetime]:
    """The first day on which every client, every team and the organization spent anything."""
    d = daily_usage.c
    query = (
        select(d.team_id, d.client_id, func.min(d.day))
        .where(d.certainty != "adjusted")
        .group_by(d.team_id, d.client_id)
    )
    found: dict[Subject, datetime] = {}
    with engine.connect() as connection:
        for team_id, client_id, day in connection.execute(query):
            for subject in _subjects(team_id, client_id):
                found[subject] = min(found.get(subject, day), day)
    return found


def refusing_hours(engine: Engine, since: datetime) -> dict[int, set[datetime]]:
    """In which hours since ``since`` each budget has refused requests, by its id."""
    r = hourly_refusals.c
    query = select(r.budget_id, r.hour).where(r.hour >= since, r.budget_id != 0).distinct()
    found: dict[int, set[datetime]] = defaultdict(set)
    with engine.connect() as connection:
        for budget_id, hour in connection.execute(query):
            found[budget_id].add(hour)
    return found


def _subjects(team_id: int, client_id: int) -> set[Subject]:
    return {(team_id, client_id), (team_id, 0), (0, 0)}
