from __future__ import annotations

import pytest
from sqlalchemy import Engine, update

from gateway.adapters.accounts import Accounts
from gateway.adapters.audit_log import entries
from gateway.adapters.directory import Directory, now
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.sessions import Sessions
from gateway.adapters.tables import teams
from gateway.core.roles import Principal, Role
from tests.databases import open_migrated

BY = Principal("user:root@acme.example", Role.ADMIN, address="192.0.2.9")


@pytest.fixture
def engine(database_url: str) -> Engine:
    engine = open_migrated(database_url)
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("search")
    return engine


def test_an_account_is_found_by_its_address_in_any_case(engine: Engine) -> None:
    accounts = Accounts(engine)
    assert not accounts.any()
    number = accounts.create(BY, "Ann@Acme.example", Role.FINANCE, password_hash="h")
    assert accounts.any()
    found = accounts.find("ANN@acme.EXAMPLE")
    assert found is not None
    user, stored = found
    assert (user.id, user.email, user.name) == (number, "ann@acme.example", "ann")
    assert stored == "h"
    who = user.principal("192.0.2.1")
    assert (who.actor, who.role, who.address) == (
        "user:ann@acme.example",
        Role.FINANCE,
        "192.0.2.1",
    )
    for other in ("", "ann", "bob@acme.example", "%@acme.example"):
        assert accounts.find(other) is None


def test_an_owner_is_of_a_team_and_nobody_else_is(engine: Engine) -> None:
    accounts = Accounts(engine)
    accounts.create(BY, "oz@acme.example", Role.OWNER, team="search")
    (user,) = accounts.users()
    assert (user.team_name, user.principal().team_id) == ("search", user.team_id)
    for role, team in (
        (Role.OWNER, None),
        (Role.OWNER, "nowhere"),
        (Role.ADMIN, "search"),
        (Role.FINANCE, "search"),
        (Role.CLIENT, None),
        (Role.CLIENT, "search"),
    ):
        with pytest.raises(DirectoryError):
            accounts.create(BY, "x@acme.example", role, team=team)
        with pytest.raises(DirectoryError):
            accounts.change_role(BY, "oz@acme.example", role, team)
    assert accounts.users() == [user]


def test_an_address_has_one_account(engine: Engine) -> None:
    accounts = Accounts(engine)
    accounts.create(BY, "ann@acme.example", Role.ADMIN)
    with pytest.raises(DirectoryError, match="already"):
        accounts.create(BY, "ANN@acme.example", Role.FINANCE)
    assert [entry.action for entry in entries(engine).entries if entry.subject == "user"] == [
        "create"
    ]


def test_what_a_name_cannot_be(engine: Engine) -> None:
    for name in ("x" * 129, "a\x1b[31m"):
        with pytest.raises(DirectoryError):
            Accounts(engine).create(BY, "ann@acme.example", Role.ADMIN, name=name)


def test_nobody_signs_in_as_owner_of_a_team_that_is_gone(engine: Engine) -> None:
    accounts = Accounts(engine)
    accounts.create(BY, "oz@acme.example", Role.OWNER, team="search", password_hash="h")
    assert accounts.find("oz@acme.example") is not None
    with engine.begin() as connection:
        connection.execute(update(teams).values(removed_at=now()))
    assert accounts.find("oz@acme.example") is None
    with pytest.raises(DirectoryError, match="no team"):
        accounts.create(BY, "new@acme.example", Role.OWNER, team="search")


def test_a_new_password_and_disabling_end_sessions_of_that_user_alone(engine: Engine) -> None:
    accounts, kept = Accounts(engine), Sessions(engine)
    cookies = {}
    for name in ("ann", "bob"):
        accounts.create(BY, f"{name}@acme.example", Role.ADMIN, password_hash="h")
        found = accounts.find(f"{name}@acme.example")
        assert found is not None
        cookies[name] = kept.begin(found[0], None, "password").cookie
    accounts.set_password(BY, "ann@acme.example", "other")
    assert kept.find(cookies["ann"]) is None
    assert kept.find(cookies["bob"]) is not None
    accounts.disable(BY, "bob@acme.example")
    assert kept.find(cookies["bob"]) is None


def test_a_session_that_begins_while_its_user_is_disabled_is_worth_nothing(
    engine: Engine,
) -> None:
    accounts, kept = Accounts(engine), Sessions(engine)
    accounts.create(BY, "ann@acme.example", Role.ADMIN, password_hash="h")
    found = accounts.find("ann@acme.example")
    assert found is not None
    accounts.disable(BY, "ann@acme.example")
    late = kept.begin(found[0], None, "password")
    assert kept.find(late.cookie) is None


def test_the_log_says_who_changed_an_account(engine: Engine) -> None:
    accounts = Accounts(engine)
    accounts.create(BY, "ann@acme.example", Role.ADMIN, password_hash="h")
    accounts.change_role(BY, "ann@acme.example", Role.OWNER, "search")
    accounts.change_role(BY, "ann@acme.example", Role.OWNER, "search")
    changed, made = [e for e in entries(engine).entries if e.subject == "user"]
    assert (made.actor, made.address, made.before) == (BY.actor, "192.0.2.9", None)
    assert made.after is not None
    assert made.after["has_password"] is True
    (team_id,) = [row.id for row in Directory(engine).teams()]
    assert changed.changed == {"role": ("admin", "owner"), "team_id": (None, team_id)}
