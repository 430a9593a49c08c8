from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import DirectoryError
from gateway.adapters.directory_facts import team_facts
from gateway.adapters.directory_values import InTheWay, NotThere
from gateway.adapters.policy_loader import load_policy
from gateway.core.budgets import WindowKind
from gateway.core.policy import Sharing
from tests.adapters.directories import noted, small_directory


def test_a_team_is_found_by_its_name_and_by_its_id(engine: Engine) -> None:
    directory = small_directory(engine)
    row = directory.team("search")
    assert directory.team(row.id) == row
    assert directory.require_team("search") == row.id
    for absent in ("ads", 99):
        with pytest.raises(NotThere, match="faregate team list"):
            directory.team(absent)


def test_a_change_is_noted_from_what_to_what(engine: Engine) -> None:
    directory = small_directory(engine)
    before = team_facts(directory.team("search"))
    directory.change_team("search", Sharing.TEAM, name="find")
    after = team_facts(directory.team("find"))
    assert (after["name"], after["sharing"]) == ("find", "team")
    assert noted(engine) == [("change", "team", "find", before, after)]
    assert {client.team_name for client in load_policy(engine).clients.values()} == {"find"}


def test_names_are_one_to_a_team(engine: Engine) -> None:
    directory = small_directory(engine)
    directory.create_team("ads")
    with pytest.raises(InTheWay, match="'ads' exists already"):
        directory.change_team("search", name="ads")
    with pytest.raises(DirectoryError, match="nothing to change"):
        directory.change_team("search")


def test_a_team_with_clients_stays(engine: Engine) -> None:
    directory = small_directory(engine)
    with pytest.raises(InTheWay, match="has a client: remove them first"):
        directory.remove_team("search")
    directory.create_client("search", "web")
    with pytest.raises(InTheWay, match="has 2 clients"):
        directory.remove_team("search")


def test_a_removed_team_takes_its_budgets_along_and_leaves_its_name(engine: Engine) -> None:
    directory = small_directory(engine)
    directory.create_budget("b", limit_nano=1, window=WindowKind.DAY, team="search")
    directory.create_budget("all", limit_nano=1, window=WindowKind.DAY)
    directory.remove_client("bot")
    old = directory.team("search")
    directory.remove_team("search")
    assert [row.name for row in directory.budgets()] == ["all"]
    assert directory.teams() == []
    with pytest.raises(NotThere):
        directory.team(old.id)
    with pytest.raises(NotThere):
        directory.create_client("search", "web")
    assert directory.create_team("search") != old.id
    assert [entry[:3] for entry in noted(engine)[2:]] == [
        ("remove", "client", "bot"),
        ("remove", "budget", "b"),
        ("remove", "team", "search"),
        ("create", "team", "search"),
    ]
