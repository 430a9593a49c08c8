from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import DirectoryError
from gateway.adapters.directory_facts import client_facts
from gateway.adapters.directory_values import InTheWay, NotThere
from gateway.adapters.policy_loader import load_policy
from gateway.core.budgets import WindowKind
from gateway.core.policy import hash_key
from tests.adapters.directories import noted, small_directory


def test_a_client_is_found_by_its_name_and_by_its_id(engine: Engine) -> None:
    directory = small_directory(engine)
    row = directory.client("bot")
    assert directory.client(row.id) == row
    assert (row.team_name, directory.require_client("bot")) == ("search", row.id)
    for absent in ("web", 99):
        with pytest.raises(NotThere, match="faregate client list"):
            directory.client(absent)


def test_a_client_is_made_in_a_team_by_its_id(engine: Engine) -> None:
    directory = small_directory(engine)
    made = directory.create_client(directory.require_team("search"), "web", requests_per_minute=5)
    assert directory.client(made).requests_per_minute == 5
    with pytest.raises(NotThere):
        directory.create_client(99, "other")


def test_a_change_is_noted_from_what_to_what(engine: Engine) -> None:
    directory = small_directory(engine)
    before = client_facts(directory.client("bot"))
    directory.change_client("bot", new_name="crawler", allowed_models=["gpt-4o*"])
    after = client_facts(directory.client("crawler"))
    assert after["allowed_models"] == ["gpt-4o*"]
    assert noted(engine) == [("change", "client", "crawler", before, after)]


def test_names_are_one_to_a_client(engine: Engine) -> None:
    directory = small_directory(engine)
    directory.create_client("search", "web")
    with pytest.raises(InTheWay, match="'web' exists already"):
        directory.change_client("bot", new_name="web")
    with pytest.raises(DirectoryError, match="nothing to change"):
        directory.change_client("bot")


def test_a_removed_client_takes_its_keys_and_budgets_along(engine: Engine) -> None:
    directory = small_directory(engine)
    directory.create_client("search", "web")
    keys = [directory.create_key(name) for name in ("bot", "bot", "web")]
    directory.revoke_key(keys[0].id)
    directory.create_budget("b", limit_nano=1, window=WindowKind.DAY, client="bot")
    directory.create_budget("team", limit_nano=1, window=WindowKind.DAY, team="search")
    old = directory.client("bot").id
    first = len(noted(engine))
    directory.remove_client("bot")
    assert [entry[:2] for entry in noted(engine)[first:]] == [
        ("revoke", "key"),
        ("remove", "budget"),
        ("remove", "client"),
    ]
    policy = load_policy(engine)
    assert [client.name for client in policy.clients.values()] == ["web"]
    # Known, so that a refusal can say that the key was revoked.
    assert policy.keys[hash_key(keys[1].secret)].revoked_at is not None
    assert policy.keys[hash_key(keys[2].secret)].revoked_at is None
    assert [row.name for row in directory.budgets()] == ["team"]
    left = directory.keys()
    assert [row.client_name for row in left] == ["web"]
    with pytest.raises(NotThere):
        directory.create_key(old)
    assert directory.create_client("search", "bot") != old
