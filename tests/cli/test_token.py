from __future__ import annotations

from sqlalchemy import select

from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.audit_log import Filters, entries
from gateway.adapters.control_tables import admin_tokens
from gateway.core.roles import Role
from tests.cli.rig import Faregate


def test_a_token_is_shown_once_and_stored_as_its_hash(faregate: Faregate) -> None:
    made = faregate.ask("token", "create", "ci", "--role", "admin", "--expires-in", "90d")
    assert made["token"].startswith("fga-")
    assert len(made["token"]) >= 4 + 43
    found = AdminTokens(faregate.engine).find(made["token"])
    assert found is not None
    assert (found.id, found.role, found.display) == (made["id"], Role.ADMIN, made["display"])
    with faregate.engine.connect() as connection:
        (row,) = connection.execute(select(admin_tokens)).all()
    assert made["token"] not in str(row)
    assert made["token"] not in faregate.run("token", "list").stdout
    assert made["token"] not in str(faregate.ask("token", "list"))


def test_a_token_of_an_owner_is_of_a_team(sqlite_faregate: Faregate) -> None:
    made = sqlite_faregate.ask("token", "create", "r", "--role", "owner", "--team", "research")
    found = AdminTokens(sqlite_faregate.engine).find(made["token"])
    assert found is not None
    assert found.team_name == "research"
    assert "owner of research" in sqlite_faregate.run("token", "list").stdout
    assert "an owner is of a team" in sqlite_faregate.refused(
        "token", "create", "x", "--role", "owner"
    )
    sqlite_faregate.run("token", "create", "x", "--role", "client", code=2)


def test_a_token_is_revoked_once(sqlite_faregate: Faregate) -> None:
    made = sqlite_faregate.run("token", "create", "ci", "--role", "finance")
    assert "fga-" in made.stdout
    sqlite_faregate.run("token", "revoke", "1")
    assert sqlite_faregate.ask("token", "list")[0]["state"] == "revoked"
    assert "revoked already" in sqlite_faregate.refused("token", "revoke", "1")
    assert "there is no token 7" in sqlite_faregate.refused("token", "revoke", "7")


def test_making_and_revoking_is_in_the_audit_log(sqlite_faregate: Faregate) -> None:
    secret = sqlite_faregate.ask("token", "create", "ci", "--role", "finance")["token"]
    sqlite_faregate.run("token", "revoke", "1")
    found = entries(sqlite_faregate.engine, Filters(subject="token")).entries
    assert [(entry.action, entry.subject_name) for entry in found] == [
        ("revoke", "ci"),
        ("create", "ci"),
    ]
    assert found[1].after is not None
    assert found[1].after["role"] == "finance"
    assert secret not in str(found)


def test_without_tokens_the_list_says_how_to_begin(sqlite_faregate: Faregate) -> None:
    assert "faregate token create" in sqlite_faregate.run("token", "list").stderr
