from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.price_rows import override_price
from gateway.core.budgets import Enforcement, Scope, WindowKind
from gateway.core.policy import hash_key
from gateway.core.prices import Meter, Rate
from gateway.core.tags import NO_TAGS


@pytest.fixture
def directory(engine: Engine) -> Directory:
    made = Directory(engine)
    made.initialise("Acme")
    for team, client in (("search", "bot"), ("ads", "web")):
        made.create_team(team)
        made.create_client(team, client)
    return made


def test_an_empty_deployment_has_a_policy_of_version_zero(engine: Engine) -> None:
    policy = load_policy(engine)
    assert policy.version == 0
    assert (policy.keys, policy.clients, policy.budgets) == ({}, {}, {})


def test_everything_that_decides_a_request_is_loaded(engine: Engine, directory: Directory) -> None:
    limits: dict[str, Any] = {
        "allowed_models": ["gpt-4o*", "o3"],
        "requests_per_minute": 60,
        "tokens_per_minute": 9_000,
        "concurrent_requests": 4,
        "default_output_tokens": 500,
        "output_floor_tokens": 50,
        "clamp_output": True,
    }
    directory.change_client("bot", **limits)
    key = directory.create_key("bot", expires_in=timedelta(days=1))
    directory.create_budget(
        "bot daily",
        limit_nano=7,
        window=WindowKind.DAY,
        client="bot",
        time_zone="Europe/Berlin",
        enforcement=Enforcement.EXPECTED,
        model_pattern="gpt-*",
    )
    directory.add_tag_key("project")
    directory.create_budget(
        "alpha", limit_nano=6, window=WindowKind.DAY, team="search", tag="project=alpha"
    )
    directory.create_budget("ads", limit_nano=8, window=WindowKind.WEEK, team="ads")
    directory.create_budget("all", limit_nano=9, window=WindowKind.TOTAL)
    tiers = {"default": {Meter.INPUT: Rate(1), Meter.OUTPUT: Rate(2)}}
    override_price(engine, "gpt-4o", tiers, valid_from=datetime(2026, 1, 1, tzinfo=UTC))

    policy = load_policy(engine)
    assert policy.version == directory.version()
    stored = policy.keys[hash_key(key.secret)]
    assert (stored.id, stored.display, stored.revoked_at) == (key.id, key.display, None)
    assert stored.expires_at == key.expires_at
    bot = policy.clients[stored.client_id]
    assert (bot.name, bot.team_name) == ("bot", "search")
    assert {name: getattr(bot, name) for name in limits} == {
        **limits,
        "allowed_models": ("gpt-4o*", "o3"),
    }
    daily, everyone = policy.budgets_for(bot, "gpt-4o", NO_TAGS)
    assert (daily.name, daily.scope, daily.limit_nano) == ("bot daily", Scope.CLIENT, 7)
    assert (daily.window, daily.time_zone) == (WindowKind.DAY, "Europe/Berlin")
    assert (daily.enforcement, daily.model_pattern) == (Enforcement.EXPECTED, "gpt-*")
    assert everyone.name == "all"
    assert policy.budgets_for(bot, "o3", NO_TAGS) == (everyone,)
    assert policy.tags == {"project"}
    alpha, _ = policy.budgets_for(bot, "o3", {"project": "alpha"})
    assert (alpha.name, alpha.tag) == ("alpha", "project=alpha")
    assert policy.budgets_for(bot, "o3", {"project": "beta"}) == (everyone,)
    assert policy.prices.find("gpt-4o", datetime.now(UTC)) is not None


def test_removed_budgets_and_revoked_keys(engine: Engine, directory: Directory) -> None:
    key = directory.create_key("web")
    directory.create_budget("gone", limit_nano=1, window=WindowKind.DAY, client="web")
    directory.remove_budget("gone")
    directory.revoke_key(key.id)
    policy = load_policy(engine)
    # A revoked key is known, so that its refusal can say why.
    stored = policy.keys[hash_key(key.secret)]
    assert stored.revoked_at is not None
    assert policy.budgets[stored.client_id] == ()


def test_a_policy_never_mixes_two_versions(engine: Engine, directory: Directory) -> None:
    """Whatever is read together with a version is what that version had."""
    names = ["bot"]
    seen = {}
    for number in range(4):
        names.append(f"client {number}")
        directory.create_client("search", names[-1])
        policy = load_policy(engine)
        seen[policy.version] = {client.name for client in policy.clients.values()}
    assert list(seen.values()) == [{"web", *names[: n + 2]} for n in range(4)]
