from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory_facts import key_facts
from gateway.adapters.directory_values import InTheWay, NotThere
from gateway.core.policy import hash_key
from tests.adapters.directories import noted, small_directory


def test_what_is_noted_of_keys_has_neither_secret_nor_hash(engine: Engine) -> None:
    directory = small_directory(engine)
    first = directory.create_key("bot", "ci", timedelta(days=1))
    second = directory.rotate_key(first.id, timedelta(hours=1))
    directory.rename_key(second.id, "deploy")
    directory.revoke_key(second.id)
    entries = noted(engine)
    assert [entry[:2] for entry in entries] == [
        ("create", "key"),
        ("rotate", "key"),
        ("create", "key"),
        ("change", "key"),
        ("revoke", "key"),
    ]
    assert {entry[2] for entry in entries[:3]} == {"ci"}
    for key in (first, second):
        assert key.secret not in str(entries)
        assert hash_key(key.secret) not in str(entries)
    assert entries[1][3]["expires_at"] > entries[1][4]["expires_at"]
    assert entries[-1][4] == key_facts(directory.key(second.id))


def test_a_key_is_found_by_its_id_also_when_revoked(engine: Engine) -> None:
    directory = small_directory(engine)
    key = directory.create_key("bot")
    directory.revoke_key(key.id)
    row = directory.key(key.id)
    assert (row.client_name, row.revoked_at is None) == ("bot", False)
    assert row.team_id == directory.require_team("search")
    with pytest.raises(NotThere, match="faregate key list"):
        directory.key(99)


def test_a_revoked_key_stays_as_it_is(engine: Engine) -> None:
    directory = small_directory(engine)
    key = directory.create_key("bot")
    directory.revoke_key(key.id)
    for change in (
        lambda: directory.revoke_key(key.id),
        lambda: directory.rename_key(key.id, "x"),
        lambda: directory.rotate_key(key.id, timedelta(0)),
    ):
        with pytest.raises(InTheWay, match="revoked already"):
            change()


def test_a_rotation_with_an_end_already_near_notes_the_new_key_alone(engine: Engine) -> None:
    directory = small_directory(engine)
    key = directory.create_key("bot", expires_in=timedelta(minutes=1))
    directory.rotate_key(key.id, timedelta(hours=1))
    assert [entry[:2] for entry in noted(engine)] == [("create", "key"), ("create", "key")]
