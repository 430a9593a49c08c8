from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.policy_loader import load_policy
from gateway.core.policy import hash_key
from tests.cli.rig import Faregate


def test_a_new_key_is_shown_once_and_works(faregate: Faregate) -> None:
    made = faregate.ask("key", "create", "web", "--name", "ci", "--expires-in", "90d")
    key = load_policy(faregate.engine).keys[hash_key(made["key"])]
    assert (key.id, key.display) == (made["id"], made["display"])
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < lifetime <= timedelta(days=90)
    for words in (["key", "list"], ["key", "list", "--json"], ["key", "list", "--client", "web"]):
        shown = faregate.run(*words).output
        assert made["display"] in shown
        assert made["key"] not in shown


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("gate.example", "gate.example"),
    ],
)
def test_a_new_key_comes_with_a_line_to_paste(
    sqlite_faregate: Faregate, monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setenv("FAREGATE_HOST", host)
    monkeypatch.setenv("FAREGATE_PORT", "9000")
    lines = sqlite_faregate.run("key", "create", "web").stdout.splitlines()
    (secret,) = [line.strip() for line in lines if line.startswith("  fg-")]
    assert f"export OPENAI_BASE_URL=http://{shown}:9000/v1 OPENAI_API_KEY={secret}" in lines
    assert hash_key(secret) in load_policy(sqlite_faregate.engine).keys


def test_rotation_keeps_the_client_and_ends_the_old_key_later(faregate: Faregate) -> None:
    old = faregate.ask("key", "create", "web")
    new = faregate.ask("key", "rotate", str(old["id"]), "--overlap", "30m")
    assert (new["client"], new["replaced_id"]) == ("web", old["id"])
    left = datetime.fromisoformat(new["replaced_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    policy = load_policy(faregate.engine)
    assert (
        policy.keys[hash_key(new["key"])].client_id == policy.keys[hash_key(old["key"])].client_id
    )
    at_once = faregate.ask("key", "rotate", str(new["id"]), "--overlap", "0m")
    states = {key["id"]: key["state"] for key in faregate.ask("key", "list")}
    assert states == {old["id"]: "active", new["id"]: "expired", at_once["id"]: "active"}


def test_a_revoked_key_stays_revoked(faregate: Faregate) -> None:
    made = faregate.ask("key", "create", "web")
    faregate.run("key", "revoke", str(made["id"]))
    assert load_policy(faregate.engine).keys[hash_key(made["key"])].revoked_at is not None
    assert "revoked already" in faregate.refused("key", "revoke", str(made["id"]))
    assert "revoked already" in faregate.refused("key", "rotate", str(made["id"]))
    assert "revoked" in faregate.run("key", "list").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("create", "web", "--expires-in", "90"),
        ("create", "web", "--expires-in", "0d"),
        ("create", "web", "--expires-in", "999999999w"),
        ("rotate", "1", "--overlap", "1.5h"),
        ("revoke", "one"),
        ("revoke", str(2**63)),
    ],
)
def test_malformed_values_are_usage_errors(sqlite_faregate: Faregate, words: list[str]) -> None:
    assert "Invalid value" in sqlite_faregate.run("key", *words, code=2).stderr
    assert sqlite_faregate.ask("key", "list") == []


def test_unknown_keys_and_clients_are_refused(sqlite_faregate: Faregate) -> None:
    assert "there is no key 7" in sqlite_faregate.refused("key", "revoke", "7")
    assert "there is no client 'wbe'" in sqlite_faregate.refused("key", "create", "wbe")
    assert "there is no client 'wbe'" in sqlite_faregate.refused("key", "list", "--client", "wbe")
    assert "faregate key create CLIENT" in sqlite_faregate.run("key", "list").stderr
