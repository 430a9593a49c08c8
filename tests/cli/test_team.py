from __future__ import annotations

import pytest

from gateway.adapters.audit_log import entries
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.policy import Sharing
from tests.cli.rig import Faregate


def test_teams_are_created_and_listed(faregate: Faregate, budgets: RedisBudgets) -> None:
    before = faregate.directory.version()
    assert faregate.ask("team", "create", "sales")["name"] == "sales"
    assert budgets.policy_version() == faregate.directory.version() == before + 1
    teams = {team["name"]: team["clients"] for team in faregate.ask("team", "list")}
    assert teams == {"research": 1, "sales": 0}
    assert "research" in faregate.run("team", "list").stdout


def test_what_a_team_shares_is_set_changed_and_shown(
    faregate: Faregate, budgets: RedisBudgets
) -> None:
    def shared() -> dict[str, Sharing]:
        policy = load_policy(faregate.engine)
        assert policy.version == budgets.policy_version() == faregate.directory.version()
        return {client.name: client.sharing for client in policy.clients.values()}

    assert faregate.ask("team", "create", "sales", "--sharing", "team")["sharing"] == "team"
    faregate.run("client", "create", "bot", "--team", "sales")
    assert shared() == {"web": Sharing.CLIENT, "bot": Sharing.TEAM}
    changed = faregate.ask("team", "set", "research", "--sharing", "team")
    assert (changed["name"], changed["sharing"], changed["clients"]) == ("research", "team", 1)
    assert shared() == {"web": Sharing.TEAM, "bot": Sharing.TEAM}
    faregate.run("team", "set", "sales", "--sharing", "client")
    assert {t["name"]: t["sharing"] for t in faregate.ask("team", "list")} == {
        "research": "team",
        "sales": "client",
    }
    table = faregate.run("team", "list").stdout
    assert "the whole team" in table
    assert "each client its own" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_sharing_that_cannot_be_is_refused(sqlite_faregate: Faregate) -> None:
    version = sqlite_faregate.directory.version()
    refused = sqlite_faregate.refused("team", "set", "reserch", "--sharing", "team")
    assert "there is no team 'reserch'" in refused
    for words in (("team", "set", "research"), ("team", "create", "x", "--sharing", "all")):
        assert "--sharing" in sqlite_faregate.run(*words, code=2).stderr
    assert sqlite_faregate.directory.version() == version


def test_a_team_is_renamed_and_removed(faregate: Faregate, budgets: RedisBudgets) -> None:
    assert faregate.ask("team", "set", "research", "--name", "labs")["name"] == "labs"
    assert "has a client: remove them first" in faregate.refused("team", "remove", "labs")
    assert faregate.ask("client", "remove", "web") == {"name": "web", "state": "removed"}
    assert faregate.ask("team", "remove", "labs") == {"name": "labs", "state": "removed"}
    assert budgets.policy_version() == faregate.directory.version()
    assert faregate.ask("team", "list") == []
    log = entries(faregate.engine).entries
    assert [(entry.action, entry.subject_name) for entry in log[:2]] == [
        ("remove", "labs"),
        ("remove", "web"),
    ]
    assert {entry.actor.partition(":")[0] for entry in log[:3]} == {"cli"}
    assert log[0].actor.partition(":")[2], "which user ran the command"


def test_a_change_is_not_announced_to_a_redis_that_lost_its_counters(
    faregate: Faregate, budgets: RedisBudgets
) -> None:
    budgets.redis.flushall()
    result = faregate.run("team", "create", "sales")
    assert budgets.policy_version() is None
    assert "takes effect when the recorder has rebuilt it" in result.stderr


def test_a_redis_ahead_of_the_database_is_told(faregate: Faregate, budgets: RedisBudgets) -> None:
    budgets.publish(1000)
    assert "is an older copy" in faregate.run("team", "create", "sales").stderr


def test_a_silent_redis_is_told_and_the_change_is_made(
    sqlite_faregate: Faregate, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREGATE_REDIS_URL", f"redis://:opensesame@127.0.0.1:{free_port}")
    result = sqlite_faregate.run("team", "create", "sales")
    assert "Redis does not answer" in result.stderr
    assert "opensesame" not in result.stderr
    assert len(sqlite_faregate.directory.teams()) == 2


def test_a_team_twice_or_with_a_bad_name_is_refused(sqlite_faregate: Faregate) -> None:
    version = sqlite_faregate.directory.version()
    assert sqlite_faregate.refused("team", "create", "research") == (
        "team 'research' exists already"
    )
    assert "is not a name" in sqlite_faregate.refused("team", "create", "[bold]x")
    assert sqlite_faregate.directory.version() == version


def test_without_teams_the_next_step_is_shown(empty: Faregate) -> None:
    empty.run("init")
    result = empty.run("team", "list")
    assert result.stdout == ""
    assert "faregate team create NAME" in result.stderr
    assert empty.ask("team", "list") == []
