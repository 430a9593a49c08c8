from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.directory import Directory, now
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.tables import teams
from gateway.core.credentials import hash_secret
from gateway.core.roles import Principal, Role
from tests.databases import open_migrated

BY = Principal("user:" + "a" * 100 + "@acme.example", Role.ADMIN)


@pytest.fixture
def engine(database_url: str) -> Engine:
    engine = open_migrated(database_url)
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("search")
    return engine


def test_a_token_is_found_by_its_secret_alone(engine: Engine) -> None:
    tokens = AdminTokens(engine)
    made = tokens.create(BY, "ci", Role.ADMIN, expires_in=timedelta(days=1))
    found = tokens.find(made.secret)
    assert found is not None
    assert (found.id, found.name, found.created_by) == (made.id, "ci", BY.actor)
    assert found.display == made.display == f"{made.secret[:8]}...{made.secret[-4:]}"
    for secret in ("", "fga-", hash_secret(made.secret), made.secret[:-1]):
        assert tokens.find(secret) is None


def test_a_token_has_a_state(engine: Engine) -> None:
    tokens = AdminTokens(engine)
    made = tokens.create(BY, "ci", Role.FINANCE, expires_in=timedelta(hours=1))

    def state(after: timedelta = timedelta(0)) -> str:
        found = tokens.find(made.secret)
        assert found is not None
        return found.state(now() + after)

    assert state() == "active"
    assert state(timedelta(hours=2)) == "expired"
    tokens.revoke(BY, made.id)
    assert state() == state(timedelta(hours=2)) == "revoked"


def test_a_token_of_an_owner_ends_with_the_team(engine: Engine) -> None:
    tokens = AdminTokens(engine)
    made = tokens.create(BY, "ci", Role.OWNER, team="search")
    found = tokens.find(made.secret)
    assert found is not None
    assert found.principal().team_id == found.team_id is not None
    with engine.begin() as connection:
        connection.execute(update(teams).values(removed_at=now()))
    assert tokens.find(made.secret) is None
    assert len(tokens.tokens()) == 1


def test_a_token_is_nobodys_that_a_user_could_not_be(engine: Engine) -> None:
    tokens = AdminTokens(engine)
    for role, team in ((Role.OWNER, None), (Role.CLIENT, "search"), (Role.ADMIN, "search")):
        with pytest.raises(DirectoryError):
            tokens.create(BY, "ci", role, team=team)
    with pytest.raises(DirectoryError):
        tokens.create(BY, "", Role.ADMIN)
    assert tokens.tokens() == []
