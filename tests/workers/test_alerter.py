from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Lost
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import OperationalError

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_events import log
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.control_tables import alert_rules
from gateway.adapters.directory import Directory
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.rollup_tables import daily_usage, hourly_refusals
from gateway.adapters.tables import budgets as budgets_table
from gateway.adapters.tables import hourly_usage
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import WindowKind, window_at
from gateway.core.reports import day_of, hour_of
from gateway.workers.alerter import Alerter
from tests.adapters.redis_world import World

USD = 1_000_000_000
LIMIT = 100 * USD
NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
"""A Wednesday."""

HOUR = hour_of(NOW)
WEEK = timedelta(days=7)


class Deployment:
    """Two teams: one has the clients ann and bob, two has cid. A channel, rules as tests ask."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.world, self.engine = world, engine
        self.directory = Directory(engine)
        self.directory.initialise("acme")
        for team in ("one", "two"):
            self.directory.create_team(team)
        for team, client in (("one", "ann"), ("one", "bob"), ("two", "cid")):
            self.directory.create_client(team, client)
        AlertChannels(engine).create("hook", ChannelKind.WEBHOOK, "https://a.example/")
        self.alerter = Alerter(world.budgets, engine)

    def rule(self, kind: AlertKind = AlertKind.THRESHOLD, name: str = "r", **about: Any) -> None:
        AlertRules(self.engine).create(name, kind, ["hook"], **about)

    def budget(self, name: str = "b", window: WindowKind = WindowKind.MONTH, **about: Any) -> int:
        return self.directory.create_budget(name, limit_nano=LIMIT, window=window, **about)

    def count(self, budget_id: int, spent: int, *, at: datetime | None = None) -> None:
        """Let Redis have counted what a budget spent in the window of ``at``, by default now."""
        with self.engine.connect() as connection:
            found = connection.execute(
                select(budgets_table).where(budgets_table.c.id == budget_id)
            ).one()
        seconds, micros = self.world.budgets.redis.time()
        at_ms = int(at.timestamp() * 1000) if at else seconds * 1000 + micros // 1000
        window = window_at(WindowKind(found.window), found.time_zone, at_ms)
        key = self.world.budgets.keys.budget(budget_id, window.start_ms)
        self.world.budgets.redis.hset(key, mapping={"spent": spent, "held": 7})

    def spend(self, hour: datetime, nano: int, client: str = "ann", **more: Any) -> None:
        """Let rollups say what a client spent in an hour."""
        ids = {"ann": (1, 1), "bob": (1, 2), "cid": (2, 3)}[client]
        values = {
            **dict(zip(("team_id", "client_id"), ids, strict=True)),
            "key_id": 1,
            "endpoint": "chat/completions",
            "model": "m",
            "service_tier": "default",
            "certainty": "exact",
            "cost_nano": nano,
            **more,
        }
        zero = {
            column.name: 0
            for column in hourly_usage.columns
            if column.name not in values and column.server_default is None and column.name != "hour"
        }
        with self.engine.begin() as connection:
            connection.execute(insert(hourly_usage).values(hour=hour, **zero, **values))
            day = {"day": day_of(hour), **values}
            known = [daily_usage.c[name] == day[name] for name in ("day", "client_id")]
            if connection.execute(select(daily_usage).where(*known)).first() is None:
                connection.execute(insert(daily_usage).values(**day))

    def told(self) -> list[tuple[str, int]]:
        """What was told, oldest first."""
        return [(one["subject"], one["percent"]) for one in reversed(log(self.engine))]


@pytest.fixture
def deployment(world: World, engine: Engine) -> Deployment:
    return Deployment(world, engine)


# Thresholds


def test_each_crossing_is_told_once(deployment: Deployment) -> None:
    first = deployment.budget()
    deployment.budget("other")
    deployment.rule()
    found = []
    for spent in (0, 49, 50, 65, 79, 80, 99, 100, 250):
        deployment.count(first, spent * USD)
        found.append(deployment.alerter.step())
        assert deployment.alerter.step() == 0
        # Nor by another process, or this one after a restart.
        assert Alerter(deployment.world.budgets, deployment.engine).step() == 0
    assert found == [0, 0, 1, 0, 0, 1, 0, 1, 0]
    subject = f"budget:{first}:{LIMIT}"
    assert deployment.told() == [(subject, 50), (subject, 80), (subject, 100)]


def test_all_that_was_passed_at_once_is_told(deployment: Deployment) -> None:
    budget = deployment.budget()
    deployment.rule()
    deployment.count(budget, 99 * USD)
    assert deployment.alerter.step() == 2
    newest = log(deployment.engine)[0]
    assert (newest["data"]["spent_usd"], newest["data"]["held_usd"]) == (
        "99.000000000",
        "0.000000007",
    )


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ({}, {"all", "team", "ann", "cid"}),
        ({"team": "one"}, {"team", "ann"}),
        ({"client": "ann"}, {"ann"}),
        ({"budget": "cid"}, {"cid"}),
    ],
)
def test_a_rule_watches_what_it_is_about(
    deployment: Deployment, about: dict[str, Any], names: set[str]
) -> None:
    made = {
        "all": deployment.budget("all"),
        "team": deployment.budget("team", team="one"),
        "ann": deployment.budget("ann", client="ann"),
        "cid": deployment.budget("cid", client="cid"),
    }
    for budget in made.values():
        deployment.count(budget, LIMIT)
    deployment.rule(percents=[100], **about)
    assert deployment.alerter.step() == len(names)
    assert {one["data"]["budget"] for one in log(deployment.engine)} == names


def test_without_rules_nothing_is_told_and_after_removal_neither(deployment: Deployment) -> None:
    budget = deployment.budget()
    deployment.count(budget, LIMIT)
    assert deployment.alerter.step() == 0
    deployment.rule()
    AlertRules(deployment.engine).remove("r")
    assert deployment.alerter.step() == 0
    deployment.rule()
    deployment.directory.remove_budget("b")
    assert deployment.alerter.step() == 0


def test_another_limit_is_another_crossing(deployment: Deployment) -> None:
    budget = deployment.budget()
    deployment.rule(percents=[100])
    deployment.count(budget, LIMIT)
    assert deployment.alerter.step() == 1
    deployment.directory.change_budget("b", limit_nano=2 * LIMIT)
    assert deployment.alerter.step() == 0
    deployment.count(budget, 2 * LIMIT)
    assert deployment.alerter.step() == 1
    # Back to the first limit, which was crossed and told.
    deployment.directory.change_budget("b", limit_nano=LIMIT)
    assert deployment.alerter.step() == 0


def refuse(deployment: Deployment, budget: int, hour: datetime) -> None:
    who = {"team_id": 1, "client_id": 1, "budget_id": budget, "code": "insufficient_quota"}
    with deployment.engine.begin() as connection:
        connection.execute(insert(hourly_refusals).values(hour=hour, requests=1, **who))


def test_a_budget_that_refuses_is_told_of_as_spent(deployment: Deployment) -> None:
    budget = deployment.budget()
    deployment.rule(percents=[100])
    refuse(deployment, budget, hour_of(datetime.now(UTC)))
    deployment.count(budget, 89 * USD)
    assert deployment.alerter.step() == 0, "one large request was refused, and there is room left"
    deployment.count(budget, 95 * USD)
    assert deployment.alerter.step() == 1
    (told,) = log(deployment.engine)
    assert told["title"] == "Budget b refuses requests"
    deployment.count(budget, LIMIT)
    assert deployment.alerter.step() == 0, "it is the same crossing"


def test_refusals_of_an_earlier_window_are_none_of_this_one(deployment: Deployment) -> None:
    budget = deployment.budget(window=WindowKind.HOUR)
    deployment.rule(percents=[100])
    refuse(deployment, budget, hour_of(datetime.now(UTC)) - timedelta(hours=1))
    deployment.count(budget, 95 * USD)
    assert deployment.alerter.step() == 0


def test_what_was_spent_in_the_last_moment_of_a_window_is_told(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window has just ended when its last crossing is looked for."""
    monkeypatch.setattr("gateway.adapters.alert_subjects.LATE_MS", 3_600_000)
    monkeypatch.setattr("gateway.core.alerts.LATE_MS", 3_600_000)
    budget = deployment.budget(window=WindowKind.HOUR)
    deployment.rule()
    with deployment.engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=1)
        connection.execute(update(budgets_table).values(created_at=long_ago))
        connection.execute(update(alert_rules).values(created_at=long_ago))
    deployment.count(budget, 80 * USD, at=datetime.now(UTC) - timedelta(hours=1))
    deployment.count(budget, 50 * USD)
    assert deployment.alerter.step() == 3
    starts = [json.dumps(one["data"]["start_at"]) for one in log(deployment.engine)]
    assert len(set(starts)) == 2


def test_counters_that_may_be_lost_tell_nothing(deployment: Deployment) -> None:
    deployment.budget()
    deployment.rule()
    deployment.world.budgets.redis.flushall()
    with pytest.raises(CountersLost):
        deployment.alerter.step()
    assert deployment.told() == []


# Forecasts


def months_of_spending(deployment: Deployment, per_hour: int) -> None:
    """The same in every hour of the last ten days, up to now."""
    now = hour_of(datetime.now(UTC))
    for number in range(240):
        deployment.spend(now - timedelta(hours=number), per_hour)


def test_a_forecast_is_told_once(deployment: Deployment) -> None:
    budget = deployment.budget(client="ann")
    deployment.rule(AlertKind.FORECAST)
    # At this pace the limit is reached in seconds, so on the last day of a month too.
    months_of_spending(deployment, LIMIT * 1000)
    now = datetime.now(UTC)
    deployment.count(budget, 10 * USD)
    assert deployment.alerter.look_ahead(now) == 1
    assert deployment.alerter.look_ahead(now + timedelta(minutes=1)) == 0
    (told,) = log(deployment.engine)
    assert told["type"] == "budget.forecast"
    assert told["data"]["basis"] == "weeks"
    assert float(told["data"]["forecast_usd"]) > 100
    assert told["data"]["runs_out_at"] > now.isoformat()[:10]
    # Spent now: a threshold's to tell.
    deployment.directory.change_budget("b", limit_nano=5 * USD)
    assert deployment.alerter.look_ahead(now) == 0


def test_a_slow_pace_is_nothing_to_tell(deployment: Deployment) -> None:
    budget = deployment.budget(client="ann")
    deployment.rule(AlertKind.FORECAST)
    months_of_spending(deployment, USD // 100)
    deployment.count(budget, 10 * USD)
    assert deployment.alerter.look_ahead(datetime.now(UTC)) == 0


# Hours out of the ordinary


def weeks_of(
    deployment: Deployment, client: str, nano: int, weeks: int, at: datetime = HOUR
) -> None:
    for number in range(1, weeks + 1):
        deployment.spend(at - number * WEEK, nano, client)


def test_an_odd_hour_is_told_once(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY, client="ann")
    weeks_of(deployment, "ann", 10 * USD, 4)
    deployment.spend(HOUR, 29 * USD)
    assert deployment.alerter.look_ahead(NOW) == 0
    deployment.spend(HOUR, 2 * USD, model="other")
    assert deployment.alerter.look_ahead(NOW) == 1
    assert deployment.alerter.look_ahead(NOW + timedelta(minutes=5)) == 0
    assert Alerter(deployment.world.budgets, deployment.engine).look_ahead(NOW) == 0
    (told,) = log(deployment.engine)
    assert told["title"] == "Unusual spending of client ann"
    assert (told["data"]["spent_usd"], told["data"]["usual_usd"]) == (
        "31.000000000",
        "10.000000000",
    )


def test_an_odd_hour_that_goes_on_is_one_crossing(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY, client="ann")
    for number in range(5):
        weeks_of(deployment, "ann", 10 * USD, 3, HOUR + timedelta(hours=number))
    for number in range(3):
        deployment.spend(HOUR + timedelta(hours=number), 90 * USD)
        at = NOW + timedelta(hours=number)
        assert deployment.alerter.look_ahead(at) == (1 if number == 0 else 0)
    # An ordinary hour, and another odd one.
    deployment.spend(HOUR + timedelta(hours=3), 10 * USD)
    assert deployment.alerter.look_ahead(NOW + timedelta(hours=3)) == 0
    deployment.spend(HOUR + timedelta(hours=4), 90 * USD)
    assert deployment.alerter.look_ahead(NOW + timedelta(hours=4)) == 1


def test_what_was_recorded_late_is_seen_in_the_next_hour(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY, client="ann")
    weeks_of(deployment, "ann", 10 * USD, 4)
    deployment.spend(HOUR, 90 * USD)
    assert deployment.alerter.look_ahead(NOW + timedelta(hours=1)) == 1
    assert deployment.alerter.look_ahead(NOW + timedelta(hours=2)) == 0


def test_less_than_two_weeks_are_no_history(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY)
    weeks_of(deployment, "ann", 10 * USD, 1)
    deployment.spend(HOUR, 900 * USD)
    assert deployment.alerter.look_ahead(NOW) == 0
    # Two weeks, in the earlier of which it spent at another hour: that is nothing in this one.
    deployment.spend(HOUR - 2 * WEEK - timedelta(hours=5), USD)
    again = Alerter(deployment.world.budgets, deployment.engine)
    assert again.look_ahead(NOW) == 1


def test_what_a_client_explains_is_told_of_the_client(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY)
    deployment.rule(AlertKind.ANOMALY, name="team", team="one")
    for client in ("ann", "bob", "cid"):
        weeks_of(deployment, client, 10 * USD, 4)
        deployment.spend(HOUR, 10 * USD, client, model="as usual")
    deployment.spend(HOUR, 80 * USD, "ann")
    assert deployment.alerter.look_ahead(NOW) == 2
    # All of it is Ann's; the team is told of to the rule that asks for it.
    assert sorted(deployment.told()) == [("client:1", 300), ("team:1", 300)]
    rules = {one["subject"]: one["rule"] for one in log(deployment.engine)}
    assert rules == {"client:1": "r", "team:1": "team"}


def test_many_percentages_are_many_crossings(deployment: Deployment) -> None:
    deployment.rule(AlertKind.ANOMALY, team="one", percents=[200, 500, 1000])
    weeks_of(deployment, "ann", 10 * USD, 8)
    deployment.spend(HOUR, 60 * USD)
    assert deployment.alerter.look_ahead(NOW) == 2
    assert deployment.told() == [("team:1", 200), ("team:1", 500)]


def test_failures_of_the_stores_are_outlived(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks a look, the next one is made."""
    stop = threading.Event()
    left: list[Exception] = [
        Lost("gone"),
        OperationalError("select", {}, Exception("gone")),
        CountersLost(),
        ZeroDivisionError(),
    ]

    def step() -> int:
        if left:
            raise left.pop(0)
        stop.set()
        return 0

    alerter = Alerter(deployment.world.budgets, deployment.engine, pause_seconds=0)
    monkeypatch.setattr(alerter, "step", step)
    alerter.run(stop)
    assert left == []
