from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules, rules_in_force
from gateway.adapters.audit_log import entries
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import ChangedMeanwhile, DirectoryError, InTheWay, NotThere
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import WindowKind
from gateway.core.etags import etag_of
from gateway.core.roles import Principal, Role

ANN = Principal("user:ann@acme.example", Role.ADMIN)
HOOK = "https://hooks.acme.example/secret-path?token=secret-token"


@pytest.fixture
def channels(engine: Engine) -> AlertChannels:
    """A deployment with a team, a client and a budget."""
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("research")
    directory.create_client("research", "web")
    directory.create_budget("monthly", limit_nano=1, window=WindowKind.MONTH, client="web")
    return AlertChannels(engine, ANN)


@pytest.fixture
def rules(engine: Engine, channels: AlertChannels) -> AlertRules:
    return AlertRules(engine, ANN)


def hook(channels: AlertChannels, name: str = "hook") -> str:
    channels.create(name, ChannelKind.WEBHOOK, HOOK)
    return name


def changes(engine: Engine) -> list[tuple[str, str, str, str]]:
    found = entries(engine).entries
    return [(one.actor, one.action, one.subject, one.subject_name) for one in reversed(found)]


def test_every_change_is_in_the_audit_log(
    channels: AlertChannels, rules: AlertRules, engine: Engine
) -> None:
    hook(channels)
    rules.create("all", AlertKind.THRESHOLD, ["hook"])
    rules.change("all", percents=[90])
    channels.change("hook", rotate=True)
    rules.remove("all")
    channels.remove("hook")
    assert changes(engine)[-6:] == [
        (ANN.actor, "create", "alert_channel", "hook"),
        (ANN.actor, "create", "alert_rule", "all"),
        (ANN.actor, "change", "alert_rule", "all"),
        (ANN.actor, "change", "alert_channel", "hook"),
        (ANN.actor, "remove", "alert_rule", "all"),
        (ANN.actor, "remove", "alert_channel", "hook"),
    ]
    changed = entries(engine).entries[3]
    assert changed.changed == {"percents": ([50, 80, 100], [90])}


def test_what_is_refused_leaves_nothing_behind(
    channels: AlertChannels, rules: AlertRules, engine: Engine
) -> None:
    hook(channels)
    before = changes(engine)
    with pytest.raises(DirectoryError, match="alert channel 'hook' exists already"):
        hook(channels)
    with pytest.raises(DirectoryError, match=r"no alert channel 'smoke'.*alert channel list"):
        rules.create("r", AlertKind.THRESHOLD, ["hook", "smoke"])
    with pytest.raises(DirectoryError, match="needs a channel"):
        rules.create("r", AlertKind.THRESHOLD, [])
    assert changes(engine) == before
    assert rules.all() == []


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        (AlertKind.THRESHOLD, {"percents": [0]}, "from 1 to 100,000"),
        (AlertKind.ANOMALY, {"percents": [100]}, "from 101"),
        (AlertKind.THRESHOLD, {"percents": list(range(1, 30))}, "20 at most"),
        (AlertKind.THRESHOLD, {"budget": "monthly", "team": "research"}, "name one of them"),
        (AlertKind.THRESHOLD, {"budget": "weekly"}, "there is no budget 'weekly'"),
        (AlertKind.FORECAST, {"client": "wbe"}, "there is no client 'wbe'"),
        (AlertKind.ANOMALY, {"budget": "monthly"}, "not of a budget"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(
    channels: AlertChannels, rules: AlertRules, kind: AlertKind, more: dict[str, Any], reason: str
) -> None:
    hook(channels)
    with pytest.raises(DirectoryError, match=reason):
        rules.create("r", kind, ["hook"], **more)
    assert rules.all() == []


def test_rules_are_read_as_they_were_made(
    channels: AlertChannels, rules: AlertRules, engine: Engine
) -> None:
    hook(channels, "b")
    hook(channels, "a")
    made = rules.create(
        "monthly", AlertKind.FORECAST, ["b", "a", "b"], percents=[100, 80, 80], budget="monthly"
    )
    rules.create("team", AlertKind.ANOMALY, ["a"], team="research")
    rules.create("web", AlertKind.THRESHOLD, ["a"], client="web")
    assert made["percents"] == [80, 100]
    assert sorted(made["channels"]) == ["a", "b"]
    assert rules.one("monthly") == rules.one(made["id"]) == made
    assert [one["name"] for one in rules.all()] == ["monthly", "team", "web"]
    assert rules.all()[0] == made
    budget, team, client = rules_in_force(engine)
    assert (budget.kind, budget.percents, budget.budget_id) == (AlertKind.FORECAST, (80, 100), 1)
    assert len(budget.channel_ids) == 2
    assert (team.percents, team.team_id, team.budget_id) == ((300,), 1, None)
    assert (client.percents, client.client_id) == ((50, 80, 100), 1)


def test_a_rule_changes_and_nobodys_change_is_overwritten_unseen(
    channels: AlertChannels, rules: AlertRules
) -> None:
    hook(channels, "a")
    hook(channels, "b")
    made = rules.create("all", AlertKind.THRESHOLD, ["a"])
    seen = {etag_of(made)}
    changed = rules.change(made["id"], percents=[90], channels=["b"], new_name="every", seen=seen)
    assert (changed["name"], changed["percents"], changed["channels"]) == ("every", [90], ["b"])
    with pytest.raises(ChangedMeanwhile):
        rules.change("every", percents=[95], seen=seen)
    with pytest.raises(ChangedMeanwhile):
        rules.remove("every", seen=seen)
    with pytest.raises(DirectoryError, match="nothing to change"):
        rules.change("every")
    rules.create("other", AlertKind.THRESHOLD, ["a"])
    with pytest.raises(InTheWay, match="'other' exists already"):
        rules.change("every", new_name="other")
    rules.remove("every", seen={etag_of(changed)})
    with pytest.raises(NotThere, match="no alert rule 'every'"):
        rules.remove("every")
    rules.create("every", AlertKind.THRESHOLD, ["a"])
