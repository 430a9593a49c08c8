from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from gateway.adapters.alert_subjects import names_of_subjects, standings, watched_budgets
from gateway.adapters.directory import Directory
from gateway.core.budgets import WindowKind, window_at
from tests.adapters.redis_world import World


@pytest.fixture
def directory(engine: Engine) -> Directory:
    """A team with a client, and a budget on each level."""
    found = Directory(engine)
    found.initialise("acme")
    found.create_team("research")
    found.create_client("research", "web")
    found.create_budget("all", limit_nano=1, window=WindowKind.TOTAL)
    found.create_budget("team", limit_nano=2, window=WindowKind.MONTH, team="research")
    found.create_budget("client", limit_nano=3, window=WindowKind.HOUR, client="web")
    return found


def test_budgets_say_what_they_are_on(engine: Engine, directory: Directory) -> None:
    found = [one.budget for one in watched_budgets(engine)]
    assert [(one.name, one.on, one.limit_nano, one.team_id, one.client_id) for one in found] == [
        ("all", "the organization", 1, None, None),
        ("team", "team research", 2, 1, None),
        # A client's budget is of its team too, so that rules on the team are about it.
        ("client", "client web", 3, 1, 1),
    ]
    directory.remove_budget("team")
    assert [one.budget.name for one in watched_budgets(engine)] == ["all", "client"]


def test_budgets_stand_where_redis_counts_them(
    engine: Engine, directory: Directory, world: World
) -> None:
    watched = watched_budgets(engine)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    start = window_at(WindowKind.MONTH, "UTC", now_ms).start_ms
    key = world.budgets.keys.budget(2, start)
    world.budgets.redis.hset(key, mapping={"spent": 5, "held": 6})
    found = standings(world.budgets, watched)
    assert [(one.budget.name, one.spent_nano, one.held_nano) for one in found] == [
        ("all", 0, 0),
        ("team", 5, 6),
        ("client", 0, 0),
    ]
    assert found[1].window.start_ms == start


def test_windows_that_have_just_ended_are_there_too(
    engine: Engine, directory: Directory, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.alert_subjects.LATE_MS", 3_600_000)
    found = standings(world.budgets, watched_budgets(engine), ended=True)
    of_client = [one for one in found if one.budget.name == "client"]
    present, before = of_client
    assert before.window.end_ms == present.window.start_ms
    # A window that is still open is there once.
    assert [one.budget.name for one in found].count("all") == 1


def test_names(engine: Engine, directory: Directory) -> None:
    assert names_of_subjects(engine) == {
        (0, 0): "organization acme",
        (1, 0): "team research",
        (1, 1): "client web",
    }
