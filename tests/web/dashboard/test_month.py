"""This month: sums, forecast, and its chart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.usage_rows import record
from gateway.core.reports import Selection
from gateway.web.dashboard.month import PastHours, month_chart, read_month
from tests.adapters.recorded import event
from tests.databases import open_migrated

NOW = datetime(2026, 3, 3, 12, 30, tzinfo=UTC)
ALL = Selection(NOW, NOW)


def at(day: int, month: int = 3, hour: int = 6) -> int:
    return int(datetime(2026, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def opened(url: str, *events: Any) -> Engine:
    engine = open_migrated(url)
    record(engine, list(events))
    return engine


def test_a_month_is_summed_by_the_day(database_url: str) -> None:
    engine = opened(
        database_url,
        event("a", 100, at=at(3)),
        event("b", 20, at=at(2)),
        event("c", 3, at=at(1)),
        event("d", 7, at=at(28, 2)),
        event("e", 5, at=at(1, 2)),
        event("f", 999, at=at(31, 1)),
    )
    month = read_month(engine, ALL, PastHours(), NOW)
    assert (month.name, month.spent_nano, month.before_nano) == ("March", 123, 12)
    assert (month.today_nano, month.yesterday_nano) == (100, 20)
    assert month.days == (3, 23, 123)
    assert (month.days_before[0], month.days_before[-1]) == (5, 12)
    assert month.is_forecast
    assert month.expected_nano >= 123
    chart = month_chart(month)
    assert chart is not None
    spec = json.loads(chart.spec)
    assert len(spec["labels"]) == 31
    spent, expected, last = (one["values"] for one in spec["series"])
    assert spent[:4] == [3, 23, 123, None]
    assert (expected[1], expected[2], expected[-1]) == (None, 123, month.expected_nano)
    assert (last[27], last[28]) == (12, None)


def test_a_month_without_spending_has_no_forecast(sqlite_url: str) -> None:
    month = read_month(opened(sqlite_url), ALL, PastHours(), NOW)
    assert not month.is_forecast
    assert month_chart(month) is None


def test_the_newest_hours_are_read_each_time(sqlite_url: str) -> None:
    engine = opened(sqlite_url, event("a", 100, at=at(2)))
    past = PastHours()
    assert sum(past.hours(engine, ALL, NOW).values()) == 100
    record(engine, [event("b", 7, at=at(3, hour=12)), event("c", 50, at=at(1))])
    # What is older is looked at again only after a while.
    assert sum(past.hours(engine, ALL, NOW).values()) == 107
    assert sum(PastHours().hours(engine, ALL, NOW).values()) == 157


def test_selections_are_kept_apart(sqlite_url: str) -> None:
    engine = opened(sqlite_url, event("a", 1, at=at(2)), event("b", 20, at=at(2), team_id=2))
    past = PastHours()
    assert sum(past.hours(engine, ALL, NOW).values()) == 21
    assert sum(past.hours(engine, Selection(NOW, NOW, team_ids=(2,)), NOW).values()) == 20
