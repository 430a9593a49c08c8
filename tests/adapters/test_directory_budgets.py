from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import DirectoryError
from gateway.adapters.directory_facts import budget_facts
from gateway.adapters.directory_values import InTheWay, NotThere
from gateway.core.budgets import Enforcement, WindowKind
from tests.adapters.directories import noted, small_directory

USD = 1_000_000_000


def test_a_budget_is_on_what_it_says(engine: Engine) -> None:
    directory = small_directory(engine)
    team, client = directory.require_team("search"), directory.require_client("bot")
    terms = {"limit_nano": USD, "window": WindowKind.DAY}
    directory.create_budget("all", **terms)
    directory.create_budget("team", team=team, **terms)
    directory.create_budget("client", client=client, **terms)
    places = [(row.scope, row.team_id, row.client_id) for row in directory.budgets()]
    assert places == [
        ("organization", None, None),
        ("team", team, None),
        ("client", None, client),
    ]
    # Of a client's budget it is told whose team it is in.
    assert directory.budget("client").client_team_id == team
    with pytest.raises(DirectoryError, match="not both"):
        directory.create_budget("both", team=team, client=client, **terms)


def test_a_change_is_noted_from_what_to_what(engine: Engine) -> None:
    directory = small_directory(engine)
    budget = directory.create_budget("b", limit_nano=USD, window=WindowKind.DAY, team="search")
    before = budget_facts(directory.budget(budget))
    directory.change_budget(
        budget, limit_nano=2 * USD, enforcement=Enforcement.SOFT, new_name="search a day"
    )
    after = budget_facts(directory.budget("search a day"))
    assert (before["limit_usd"], after["limit_usd"]) == ("1.00", "2.00")
    assert noted(engine)[1:] == [("change", "budget", "search a day", before, after)]
    directory.remove_budget(budget)
    assert noted(engine)[2:] == [("remove", "budget", "search a day", after, None)]
    with pytest.raises(NotThere):
        directory.budget(budget)


def test_names_are_one_to_a_budget(engine: Engine) -> None:
    directory = small_directory(engine)
    for name in ("a", "b"):
        directory.create_budget(name, limit_nano=USD, window=WindowKind.DAY)
    with pytest.raises(InTheWay, match="'b' exists already"):
        directory.change_budget("a", new_name="b")
    with pytest.raises(DirectoryError, match="nothing to change"):
        directory.change_budget("a")
