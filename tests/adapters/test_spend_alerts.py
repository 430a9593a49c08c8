from __future__ import annotations

import pytest
from sqlalchemy import Engine

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.spend_alerts import SpendAlerts
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import Enforcement, WindowKind

USD = 1_000_000_000
ANN, BOB = "ann@acme.example", "bob@acme.example"


@pytest.fixture
def directory(engine: Engine) -> Directory:
    found = Directory(engine)
    found.initialise("acme")
    found.create_team("a")
    return found


def test_an_alert_is_a_rule_on_a_soft_budget(directory: Directory, engine: Engine) -> None:
    alerts = SpendAlerts(engine)
    made = alerts.create(1, 5 * USD, [ANN, BOB])
    (found,) = alerts.all(1)
    assert (found.id, found.limit_nano, found.recipients) == (made, 5 * USD, (ANN, BOB))
    assert alerts.all(None) == []
    (budget,) = directory.budgets()
    assert (budget.enforcement, budget.window, budget.team_id) == ("soft", "month", 1)
    (rule,) = AlertRules(engine).all()
    assert (rule["kind"], rule["percents"], rule["budget_id"]) == ("threshold", [100], budget.id)


def test_an_alert_is_changed_with_its_budget(directory: Directory, engine: Engine) -> None:
    alerts = SpendAlerts(engine)
    made = alerts.create(None, 5 * USD, [ANN])
    first = alerts.find(None, made)
    assert first is not None
    alerts.change(first, 7 * USD, [BOB])
    second = alerts.find(None, made)
    assert second is not None
    assert (second.limit_nano, second.recipients) == (7 * USD, (BOB,))
    assert second.budget_id == first.budget_id
    alerts.remove(second)
    assert alerts.find(None, made) is None
    assert directory.budgets() == []
    assert AlertRules(engine).all() == []


def test_addresses_share_their_channels(directory: Directory, engine: Engine) -> None:
    AlertChannels(engine).create("ann", ChannelKind.EMAIL, ANN)
    alerts = SpendAlerts(engine)
    for amount in (1, 2, 3):
        alerts.create(None, amount * USD, [ANN, BOB])
    assert len(AlertChannels(engine).all()) == 2
    assert [one.limit_nano for one in alerts.all(None)] == [USD, 2 * USD, 3 * USD]


def test_other_rules_are_no_spend_alerts(directory: Directory, engine: Engine) -> None:
    channels, rules = AlertChannels(engine), AlertRules(engine)
    channels.create("ann", ChannelKind.EMAIL, ANN)
    month, soft = WindowKind.MONTH, Enforcement.SOFT
    hard = directory.create_budget("hard", limit_nano=5 * USD, window=month)
    other = directory.create_budget("s", limit_nano=5 * USD, window=month, enforcement=soft)
    rules.create("on hard", AlertKind.THRESHOLD, ["ann"], percents=[100], budget=hard)
    rules.create("at half", AlertKind.THRESHOLD, ["ann"], percents=[50], budget=other)
    rules.create("forecast", AlertKind.FORECAST, ["ann"], percents=[100], budget=other)
    rules.create("for all", AlertKind.THRESHOLD, ["ann"], percents=[100])
    assert SpendAlerts(engine).all(None) == []
    made = rules.create("like one", AlertKind.THRESHOLD, ["ann"], percents=[100], budget=other)
    assert [one.id for one in SpendAlerts(engine).all(None)] == [made["id"]]


def test_an_address_that_is_none_leaves_nothing(directory: Directory, engine: Engine) -> None:
    with pytest.raises(DirectoryError, match="address"):
        SpendAlerts(engine).create(None, USD, ["not an address"])
    assert directory.budgets() == []


def test_a_rule_that_cannot_be_made_leaves_no_budget(
    directory: Directory, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DirectoryError("no")

    monkeypatch.setattr(AlertRules, "create", refuse)
    with pytest.raises(DirectoryError):
        SpendAlerts(engine).create(None, USD, [ANN])
    assert directory.budgets() == []
