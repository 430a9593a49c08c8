from __future__ import annotations

from gateway.adapters.policy_loader import load_policy
from tests.cli.rig import Faregate


def test_limits_are_stored_changed_and_shown(faregate: Faregate) -> None:
    faregate.run(
        *("client", "create", "batch", "--team", "research", "--allow-model", "gpt-[45]*"),
        *("--allow-model", "o3", "--requests-per-minute", "60", "--tokens-per-minute", "90000"),
        *("--concurrent", "4", "--default-output-tokens", "512", "--output-floor", "64", "--clamp"),
        "--fine-tuning",
        "--outage-allowance",
        "0.25",
    )
    (found,) = [c for c in faregate.ask("client", "list") if c["name"] == "batch"]
    created = found.pop("created_at")
    assert created.endswith("+00:00")
    assert found == {
        "id": 2,
        "name": "batch",
        "team": "research",
        "allowed_models": ["gpt-[45]*", "o3"],
        "requests_per_minute": 60,
        "tokens_per_minute": 90000,
        "concurrent_requests": 4,
        "default_output_tokens": 512,
        "output_floor_tokens": 64,
        "clamp_output": True,
        "may_fine_tune": True,
        "outage_allowance_usd": "0.250000000",
    }
    changed = faregate.ask("client", "set", "batch", "--concurrent", "0", "--no-clamp")
    assert (changed["concurrent_requests"], changed["clamp_output"]) == (0, False)
    assert changed["allowed_models"] == ["gpt-[45]*", "o3"]
    table = faregate.run("client", "list").stdout
    assert "gpt-[45]*, o3" in " ".join(table.split())
    assert max(len(line) for line in table.splitlines()) <= 80


def test_fine_tuning_is_allowed_and_forbidden_with_the_next_request(faregate: Faregate) -> None:
    def allowed() -> dict[str, bool]:
        policy = load_policy(faregate.engine)
        assert policy.version == faregate.directory.version()
        return {client.name: client.may_fine_tune for client in policy.clients.values()}

    assert allowed() == {"web": False}
    before = faregate.directory.version()
    assert faregate.ask("client", "set", "web", "--fine-tuning")["may_fine_tune"] is True
    assert allowed() == {"web": True}
    assert faregate.directory.version() == before + 1
    row = next(line for line in faregate.run("client", "list").stdout.splitlines() if "web" in line)
    assert row.split()[:4] == ["web", "research", "all", "yes"]
    assert faregate.ask("client", "set", "web", "--no-fine-tuning")["may_fine_tune"] is False
    assert allowed() == {"web": False}


def test_allowed_models_are_replaced_and_dropped(sqlite_faregate: Faregate) -> None:
    def models(*words: str) -> object:
        return sqlite_faregate.ask("client", "set", "web", *words)["allowed_models"]

    assert models("--allow-model", "o3") == ["o3"]
    assert models("--allow-model", "gpt-4o*") == ["gpt-4o*"]
    assert models("--allow-all-models") == []
    both = ("--allow-model", "o3", "--allow-all-models")
    assert "contradict" in sqlite_faregate.run("client", "set", "web", *both, code=2).stderr


def test_what_cannot_be_is_refused(sqlite_faregate: Faregate) -> None:
    refused = sqlite_faregate.refused
    assert "nothing to change" in refused("client", "set", "web")
    assert "there is no client 'wbe'" in refused("client", "set", "wbe", "--concurrent", "1")
    assert "there is no team 'reserch'" in refused("client", "create", "x", "--team", "reserch")
    assert "there is no team 'reserch'" in refused("client", "list", "--team", "reserch")
    pattern = refused("client", "set", "web", "--allow-model", "x" * 129)
    assert "is not a model pattern" in pattern
    bad = sqlite_faregate.run("client", "set", "web", "--concurrent", "-1", code=2)
    assert "'--concurrent'" in bad.stderr


def test_without_clients_the_next_step_is_shown(empty: Faregate) -> None:
    empty.run("init")
    assert "faregate client create NAME" in empty.run("client", "list").stderr


def test_a_client_is_renamed_and_removed(faregate: Faregate) -> None:
    assert faregate.ask("client", "set", "web", "--name", "site")["name"] == "site"
    key = faregate.ask("key", "create", "site")["id"]
    faregate.run("client", "remove", "site")
    assert faregate.ask("client", "list") == []
    assert "there is no client 'site'" in faregate.refused("client", "remove", "site")
    assert f"key {key} is revoked already" in faregate.refused("key", "revoke", str(key))
