from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters import organization_rows
from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.directory import Directory
from gateway.adapters.directory_changes import COMMAND_LINE
from gateway.adapters.organization_rows import Part, Rows
from gateway.core.roles import Role


@pytest.fixture
def directory(engine: Engine) -> Directory:
    found = Directory(engine)
    found.initialise("acme")
    for team in ("a", "b", "c"):
        found.create_team(team)
        for number in (1, 2):
            found.create_client(team, f"{team}{number}")
            found.create_key(f"{team}{number}", f"key of {team}{number}")
    return found


def ids(found: Rows) -> list[int]:
    return [row.id for row in found.rows]


def test_pages_follow_each_other(directory: Directory, engine: Engine) -> None:
    first = organization_rows.users(engine, Part(4))
    second = organization_rows.users(engine, Part(4, after=4))
    assert (ids(first), first.has_more) == ([1, 2, 3, 4], True)
    assert (ids(second), second.has_more) == ([5, 6], False)
    back = organization_rows.users(engine, Part(2, after=5, descending=True))
    assert (ids(back), back.has_more) == ([4, 3], True)


def test_teams_that_were_removed_are_archived(directory: Directory, engine: Engine) -> None:
    for client in ("b1", "b2"):
        directory.remove_client(client)
    directory.remove_team("b")
    assert ids(organization_rows.projects(engine, Part(9), archived=False)) == [1, 3]
    assert ids(organization_rows.projects(engine, Part(9))) == [1, 2, 3]
    assert ids(organization_rows.projects(engine, Part(9), only=3)) == [3]
    assert ids(organization_rows.projects(engine, Part(9), only=3, team_id=1)) == []
    assert ids(organization_rows.users(engine, Part(9))) == [1, 2, 5, 6]


def test_clients_and_keys_are_of_their_team(directory: Directory, engine: Engine) -> None:
    assert ids(organization_rows.users(engine, Part(9), team_id=2)) == [3, 4]
    assert ids(organization_rows.users(engine, Part(9), team_id=2, client_id=1)) == []
    found = organization_rows.api_keys(engine, Part(9), team_id=2)
    assert [(row.id, row.client_name) for row in found.rows] == [(3, "b1"), (4, "b2")]
    assert ids(organization_rows.api_keys(engine, Part(9), team_id=2, key_id=1)) == []
    assert all("hash" not in row._mapping for row in found.rows)


def test_admin_tokens_that_were_revoked_are_gone(directory: Directory, engine: Engine) -> None:
    tokens = AdminTokens(engine)
    for name in ("one", "two"):
        tokens.create(COMMAND_LINE, name, Role.FINANCE)
    tokens.revoke(COMMAND_LINE, 1)
    found = organization_rows.admin_keys(engine, Part(9))
    assert ids(found) == [2]
    assert all("hash" not in row._mapping for row in found.rows)
    assert ids(organization_rows.admin_keys(engine, Part(9), token_id=1)) == []
