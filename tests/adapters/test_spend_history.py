from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, update

from gateway.adapters.directory import Directory
from gateway.adapters.rollup_tables import daily_tags, daily_usage, hourly_refusals
from gateway.adapters.spend_history import (
    SpendHistory,
    first_days,
    hours_of_budget,
    refusing_hours,
    same_hours,
)
from gateway.adapters.tables import budgets, hourly_usage
from gateway.adapters.usage_rows import record
from gateway.core.budgets import WindowKind
from tests.adapters.recorded import event

NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)
DAY = NOW.replace(hour=0, minute=0)


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def spend(engine: Engine, number: int, cost: int, at: datetime, **who: Any) -> None:
    assert record(engine, [event(f"r{number}", cost, at=ms(at), **who)]) == 1


@pytest.fixture
def directory(engine: Engine) -> Directory:
    """Teams 1 and 2; clients 1 and 2 in the first, 3 in the second."""
    found = Directory(engine)
    found.initialise("acme")
    for team in ("one", "two"):
        found.create_team(team)
    for team, client in (("one", "a"), ("one", "b"), ("two", "c")):
        found.create_client(team, client)
    return found


@pytest.fixture
def spent(engine: Engine, directory: Directory) -> None:
    """What clients spent this hour and the one before."""
    spend(engine, 1, 10, HOUR, team_id=1, client_id=1, model="gpt-4o")
    spend(engine, 2, 200, HOUR, team_id=1, client_id=2, model="gpt-4o-mini")
    spend(engine, 3, 3000, HOUR - timedelta(minutes=1), team_id=2, client_id=3, model="gpt-4o")
    spend(engine, 4, 40_000, HOUR + timedelta(minutes=9), team_id=1, client_id=1, model="o3")


def budget(directory: Directory, **about: Any) -> Any:
    directory.create_budget("b", limit_nano=1, window=WindowKind.MONTH, **about)
    (row,) = directory.budgets()
    return row


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    ("about", "now", "before"),
    [
        ({}, 40_210, 3000),
        ({"team": "one"}, 40_210, 0),
        ({"team": "two"}, 0, 3000),
        ({"client": "a"}, 40_010, 0),
        ({"model_pattern": "gpt-4o*"}, 210, 3000),
        ({"client": "a", "model_pattern": "gpt-4o"}, 10, 0),
    ],
)
def test_the_hours_of_what_a_budget_covers(
    engine: Engine, directory: Directory, about: dict[str, Any], now: int, before: int
) -> None:
    found = hours_of_budget(engine, budget(directory, **about), NOW - timedelta(days=1), NOW)
    expected = {ms(HOUR): now, ms(HOUR - timedelta(hours=1)): before}
    assert found == {hour: nano for hour, nano in expected.items() if nano}


@pytest.mark.usefixtures("spent")
def test_only_the_hours_asked_for(engine: Engine, directory: Directory) -> None:
    row = budget(directory)
    assert set(hours_of_budget(engine, row, HOUR, NOW)) == {ms(HOUR)}
    before = HOUR - timedelta(minutes=1)
    assert set(hours_of_budget(engine, row, before, before)) == {ms(HOUR - timedelta(hours=1))}


@pytest.mark.usefixtures("spent")
def test_corrections_of_the_past_are_left_out(engine: Engine, directory: Directory) -> None:
    with engine.begin() as connection:
        connection.execute(
            update(hourly_usage).where(hourly_usage.c.model == "o3").values(certainty="adjusted")
        )
        connection.execute(
            update(daily_usage).where(daily_usage.c.client_id == 1).values(certainty="adjusted")
        )
    assert hours_of_budget(engine, budget(directory), HOUR, NOW) == {ms(HOUR): 210}
    assert same_hours(engine, [HOUR])[(1, 1)] == {HOUR: 10}
    assert (1, 1) not in first_days(engine)


def test_what_has_a_tag_is_spread_over_its_day(engine: Engine, directory: Directory) -> None:
    row = budget(directory)
    with engine.begin() as connection:
        connection.execute(update(budgets).values(tag="project=atlas"))
        who = {"team_id": 1, "client_id": 1, "key_id": 1, "endpoint": "e", "model": "m"}
        rest = {"service_tier": "default", "certainty": "exact"}
        for day, value, nano in (
            (DAY - timedelta(days=1), "atlas", 2405),
            (DAY, "atlas", 1300),
            (DAY, "other", 9999),
        ):
            values = {"day": day, "tag": "project", "value": value, "cost_nano": nano}
            connection.execute(insert(daily_tags).values(**values, **who, **rest))
    (row,) = directory.budgets()
    found = hours_of_budget(engine, row, NOW - timedelta(days=2), NOW)
    today = {hour: nano for hour, nano in found.items() if hour >= ms(DAY)}
    # Thirteen hours have begun, with 100 each; the rest of the day has not come.
    assert today == {ms(DAY + timedelta(hours=n)): 100 for n in range(13)}
    assert sum(found.values()) == 2405 + 1300
    assert max(found) == ms(HOUR)


def test_new_hours_are_read_each_time_and_old_ones_seldom(
    engine: Engine, directory: Directory
) -> None:
    row = budget(directory)
    history = SpendHistory(engine)
    spend(engine, 1, 5, HOUR - timedelta(hours=5))
    assert history.hours(row, NOW) == {ms(HOUR - timedelta(hours=5)): 5}
    spend(engine, 2, 7, HOUR)
    spend(engine, 3, 11, HOUR - timedelta(hours=4))
    later = NOW + timedelta(minutes=1)
    assert history.hours(row, later) == {ms(HOUR - timedelta(hours=5)): 5, ms(HOUR): 7}
    # What was recorded late is there an hour later at most.
    hours = history.hours(row, NOW + timedelta(hours=1))
    assert hours[ms(HOUR - timedelta(hours=4))] == 11


@pytest.mark.usefixtures("spent")
def test_who_spent_what_in_some_hours(engine: Engine) -> None:
    before = HOUR - timedelta(hours=1)
    assert same_hours(engine, [HOUR, before, HOUR - timedelta(days=7)]) == {
        (1, 1): {HOUR: 40_010},
        (1, 2): {HOUR: 200},
        (2, 3): {before: 3000},
        (1, 0): {HOUR: 40_210},
        (2, 0): {before: 3000},
        (0, 0): {HOUR: 40_210, before: 3000},
    }
    assert same_hours(engine, [before - timedelta(hours=1)]) == {}


def test_when_everybody_began(engine: Engine, directory: Directory) -> None:
    assert first_days(engine) == {}
    spend(engine, 1, 1, NOW, team_id=1, client_id=1)
    spend(engine, 2, 1, NOW - timedelta(days=3), team_id=1, client_id=2)
    spend(engine, 3, 1, NOW - timedelta(days=9), team_id=2, client_id=3)
    assert first_days(engine) == {
        (1, 1): DAY,
        (1, 2): DAY - timedelta(days=3),
        (1, 0): DAY - timedelta(days=3),
        (2, 3): DAY - timedelta(days=9),
        (2, 0): DAY - timedelta(days=9),
        (0, 0): DAY - timedelta(days=9),
    }


def test_which_budgets_refuse(engine: Engine, directory: Directory) -> None:
    with engine.begin() as connection:
        for budget_id, hour, code in (
            (7, HOUR, "insufficient_quota"),
            (7, HOUR - timedelta(hours=3), "insufficient_quota"),
            (0, HOUR, "rate_limit_exceeded"),
        ):
            who = {"team_id": 1, "client_id": 1, "budget_id": budget_id, "code": code}
            connection.execute(insert(hourly_refusals).values(hour=hour, requests=1, **who))
    assert refusing_hours(engine, NOW - timedelta(hours=2)) == {7: {HOUR}}
    every = refusing_hours(engine, NOW - timedelta(hours=4))
    assert every == {7: {HOUR, HOUR - timedelta(hours=3)}}
