from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.alert_rows import Alerts, rules_in_force
from gateway.adapters.audit_log import entries
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import DirectoryError
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import WindowKind
from gateway.core.roles import Principal, Role
from gateway.core.webhook_signatures import new_secret, secret_bytes

ANN = Principal("user:ann@acme.example", Role.ADMIN)
HOOK = "https://hooks.acme.example/secret-path?token=secret-token"


@pytest.fixture
def alerts(engine: Engine) -> Alerts:
    """A deployment with a team, a client and a budget."""
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("research")
    directory.create_client("research", "web")
    directory.create_budget("monthly", limit_nano=1, window=WindowKind.MONTH, client="web")
    return Alerts(engine, ANN)


def hook(alerts: Alerts, name: str = "hook") -> str:
    alerts.create_channel(name, ChannelKind.WEBHOOK, HOOK)
    return name


def changes(engine: Engine) -> list[tuple[str, str, str, str]]:
    found = entries(engine).entries
    return [(one.actor, one.action, one.subject, one.subject_name) for one in reversed(found)]


def test_a_channel_is_made_with_a_secret_that_is_shown_nowhere_else(
    alerts: Alerts, engine: Engine
) -> None:
    made = alerts.create_channel("hook", ChannelKind.WEBHOOK, HOOK)
    assert made.secret is not None
    assert len(secret_bytes(made.secret)) == 32
    (shown,) = alerts.channels()
    assert shown["target"] == "https://hooks.acme.example/..."
    known = alerts.channel("hook")
    assert (known.target, known.secret) == (HOOK, made.secret)
    told = repr(shown) + repr(entries(engine).entries)
    assert "secret-path" not in told
    assert "secret-token" not in told
    assert made.secret not in told


def test_a_secret_may_be_ones_own(alerts: Alerts) -> None:
    secret = new_secret()
    assert alerts.create_channel("a", ChannelKind.WEBHOOK, HOOK, secret).secret == secret
    with pytest.raises(DirectoryError, match="24 to 64 bytes"):
        alerts.create_channel("b", ChannelKind.WEBHOOK, HOOK, "hunter2")
    with pytest.raises(DirectoryError, match="only webhooks are signed"):
        alerts.create_channel("c", ChannelKind.SLACK, HOOK, secret)
    assert alerts.create_channel("d", ChannelKind.SLACK, HOOK).secret is None


@pytest.mark.parametrize(
    ("kind", "target", "reason"),
    [
        (ChannelKind.WEBHOOK, "http://hooks.acme.example/", "FAREGATE_ALERT_HOSTS"),
        (ChannelKind.SLACK, "https://169.254.169.254/", "metadata"),
        (ChannelKind.WEBHOOK, "ops@acme.example", "must be an http or https URL"),
        (ChannelKind.EMAIL, HOOK, "is not an e-mail address"),
        (ChannelKind.EMAIL, "ops@acme.example\r\nBcc: x@y.z", "is not an e-mail address"),
        (ChannelKind.EMAIL, "a@b.c, d@e.f", "is not an e-mail address"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(
    alerts: Alerts, kind: ChannelKind, target: str, reason: str
) -> None:
    with pytest.raises(DirectoryError, match=reason):
        alerts.create_channel("x", kind, target)
    assert alerts.channels() == []


def test_every_change_is_in_the_audit_log(alerts: Alerts, engine: Engine) -> None:
    hook(alerts)
    alerts.create_rule("all", AlertKind.THRESHOLD, ["hook"])
    alerts.change_rule("all", percents=[90])
    alerts.change_channel("hook", rotate=True)
    alerts.remove_rule("all")
    alerts.remove_channel("hook")
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


def test_what_is_refused_leaves_nothing_behind(alerts: Alerts, engine: Engine) -> None:
    hook(alerts)
    before = changes(engine)
    with pytest.raises(DirectoryError, match="alert channel 'hook' exists already"):
        hook(alerts)
    with pytest.raises(DirectoryError, match=r"no alert channel 'smoke'.*alert channel list"):
        alerts.create_rule("r", AlertKind.THRESHOLD, ["hook", "smoke"])
    with pytest.raises(DirectoryError, match="needs a channel"):
        alerts.create_rule("r", AlertKind.THRESHOLD, [])
    assert changes(engine) == before
    assert alerts.rules() == []


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        (AlertKind.THRESHOLD, {"percents": [0]}, "from 1 to 100,000"),
        (AlertKind.ANOMALY, {"percents": [100]}, "from 101"),
        (AlertKind.THRESHOLD, {"percents": list(range(1, 30))}, "20 at most"),
        (AlertKind.THRESHOLD, {"budget": "monthly", "team": "research"}, "name one of them"),
        (AlertKind.THRESHOLD, {"budget": "weekly"}, "there is no budget 'weekly'"),
        (AlertKind.FORECAST, {"client": "wbe"}, "there is no client 'wbe'"),
        (AlertKind.ANOMALY, {"budget": "monthly"}, "not a budget"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(
    alerts: Alerts, kind: AlertKind, more: dict[str, Any], reason: str
) -> None:
    hook(alerts)
    with pytest.raises(DirectoryError, match=reason):
        alerts.create_rule("r", kind, ["hook"], **more)
    assert alerts.rules() == []


def test_rules_are_read_as_they_were_made(alerts: Alerts, engine: Engine) -> None:
    hook(alerts, "b")
    hook(alerts, "a")
    made = alerts.create_rule(
        "monthly", AlertKind.FORECAST, ["b", "a", "b"], percents=[100, 80, 80], budget="monthly"
    )
    alerts.create_rule("team", AlertKind.ANOMALY, ["a"], team="research")
    alerts.create_rule("web", AlertKind.THRESHOLD, ["a"], client="web")
    assert made["percents"] == [80, 100]
    assert sorted(made["channels"]) == ["a", "b"]
    assert [one["name"] for one in alerts.rules()] == ["monthly", "team", "web"]
    assert alerts.rules()[0] == made
    budget, team, client = rules_in_force(engine)
    assert (budget.kind, budget.percents, budget.budget_id) == (AlertKind.FORECAST, (80, 100), 1)
    assert len(budget.channel_ids) == 2
    assert (team.percents, team.team_id, team.budget_id) == ((300,), 1, None)
    assert (client.percents, client.client_id) == ((50, 80, 100), 1)


def test_a_channel_in_use_stays(alerts: Alerts) -> None:
    hook(alerts)
    alerts.create_rule("all", AlertKind.THRESHOLD, ["hook"])
    with pytest.raises(DirectoryError, match="the alert rule 'all' uses this channel"):
        alerts.remove_channel("hook")
    alerts.remove_rule("all")
    alerts.remove_channel("hook")
    assert (alerts.channels(), alerts.rules()) == ([], [])
    # The names can be used again.
    hook(alerts)
    alerts.create_rule("all", AlertKind.THRESHOLD, ["hook"])


def test_a_channel_changes_target_and_secret(alerts: Alerts) -> None:
    made = alerts.create_channel("hook", ChannelKind.WEBHOOK, HOOK)
    assert alerts.change_channel("hook", target="https://b.example/") == made.secret
    assert alerts.channel("hook").target == "https://b.example/"
    rotated = alerts.change_channel("hook", rotate=True)
    assert rotated != made.secret
    assert alerts.channel("hook").secret == rotated
    with pytest.raises(DirectoryError, match="nothing to change"):
        alerts.change_channel("hook")
    with pytest.raises(DirectoryError, match="must be an http or https URL"):
        alerts.change_channel("hook", target="nowhere")
