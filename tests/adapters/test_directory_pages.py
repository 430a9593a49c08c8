from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import Directory, now
from gateway.adapters.directory_pages import (
    Page,
    Slice,
    budgets_page,
    clients_page,
    keys_page,
    teams_page,
)
from gateway.core.budgets import Scope, WindowKind
from tests.adapters.directories import small_directory


def names(page: Page) -> list[str]:
    return [row.name for row in page.rows]


@pytest.fixture
def directory(engine: Engine) -> Directory:
    """Two teams with clients and budgets, and something removed of each."""
    found = small_directory(engine)
    for team in ("ads", "gone"):
        found.create_team(team)
    for client in ("web", "left"):
        found.create_client("ads", client)
    terms: dict[str, Any] = {"limit_nano": 1, "window": WindowKind.DAY}
    for name, place in (
        ("all", {}),
        ("of search", {"team": "search"}),
        ("of ads", {"team": "ads"}),
        ("of bot", {"client": "bot"}),
        ("of web", {"client": "web"}),
        ("of left", {"client": "left"}),
        ("removed", {}),
    ):
        found.create_budget(name, **terms, **place)
    found.create_key("left")
    found.remove_budget("removed")
    found.remove_client("left")
    found.remove_team("gone")
    return found


def test_a_list_goes_on_where_it_ended_whatever_happens_meanwhile(
    engine: Engine, directory: Directory
) -> None:
    directory.create_team("third")
    first = teams_page(engine, Slice(2))
    assert names(first) == ["search", "ads"]
    assert first.after is not None
    assert first.after == first.rows[-1].id
    assert first.after is not None
    directory.create_team("fourth")
    directory.remove_client("bot")
    directory.remove_team("search")
    second = teams_page(engine, Slice(2, first.after))
    assert (names(second), second.after) == (["third", "fourth"], None)
    assert names(teams_page(engine, Slice(2, 10**6))) == []


def test_teams_and_clients_are_found_by_what_is_asked(engine: Engine, directory: Directory) -> None:
    search, ads = (directory.require_team(name) for name in ("search", "ads"))
    assert names(teams_page(engine, Slice(), only=ads)) == ["ads"]
    assert names(teams_page(engine, Slice(), only=ads, name="search")) == []
    assert names(clients_page(engine, Slice())) == ["bot", "web"]
    assert names(clients_page(engine, Slice(), team_ids=(search, None))) == ["bot"]
    assert names(clients_page(engine, Slice(), team_ids=(search, ads))) == []
    assert names(clients_page(engine, Slice(), name="web")) == ["web"]


def test_keys_are_told_apart_by_their_state(engine: Engine, directory: Directory) -> None:
    live = directory.create_key("bot", expires_in=timedelta(days=1))
    endless, ended, both = (directory.create_key("web") for _ in range(3))
    directory.rotate_key(ended.id, timedelta(0))
    directory.rotate_key(both.id, timedelta(0))
    directory.revoke_key(both.id)
    at = now() + timedelta(seconds=1)

    def ids(**query: Any) -> set[int]:
        return {row.id for row in keys_page(engine, Slice(), at=at, **query).rows}

    assert ids(state="revoked") == {both.id}
    assert ids(state="expired") == {ended.id}
    assert {live.id, endless.id} <= ids(state="active")
    assert ids(client_id=directory.require_client("bot")) == {live.id}
    assert ids(team_ids=(directory.require_team("search"),)) == {live.id}
    assert ids() == ids(state="active") | {both.id, ended.id}
    later = at + timedelta(days=2)
    expired = keys_page(engine, Slice(), at=later, state="expired").rows
    assert live.id in {row.id for row in expired}


def test_budgets_are_found_by_what_they_are_on(engine: Engine, directory: Directory) -> None:
    search = directory.require_team("search")
    bot, web = (directory.require_client(name) for name in ("bot", "web"))

    def found(**query: Any) -> list[str]:
        return names(budgets_page(engine, Slice(), **query))

    assert found() == ["all", "of search", "of ads", "of bot", "of web"]
    assert found(team_ids=(search, None)) == ["of search", "of bot"]
    assert found(client_id=web) == ["of web"]
    assert found(scope=Scope.ORGANIZATION) == found(name="all") == ["all"]
    assert found(covering=(search, None)) == ["all", "of search", "of bot"]
    assert found(covering=(search, bot)) == ["all", "of search", "of bot"]
    assert found(covering=(search, web)) == ["all", "of search"]
    assert found(covering=(search, None), client_id=web) == []
