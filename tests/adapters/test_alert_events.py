from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_events import (
    LEASE_SECONDS,
    announce,
    due,
    log,
    note_answer,
    take,
)
from gateway.adapters.alert_rules import AlertRules, rules_in_force
from gateway.adapters.alert_senders import Answer
from gateway.adapters.control_tables import alert_deliveries, alert_events
from gateway.adapters.directory import Directory
from gateway.core.alerts import AlertKind, ChannelKind, Crossing, Rule, Verdict
from tests.core.test_alert_messages import THRESHOLD

AT = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
SENT, AGAIN, FAILED = (Answer(Verdict.SENT), Answer(Verdict.AGAIN, "busy"), Answer(Verdict.FAILED))


@pytest.fixture
def channels(engine: Engine) -> AlertChannels:
    Directory(engine).initialise("acme")
    found = AlertChannels(engine)
    for name in ("a", "b"):
        found.create(name, ChannelKind.WEBHOOK, f"https://{name}.example/")
    return found


@pytest.fixture
def rule(channels: AlertChannels, engine: Engine) -> Rule:
    """A rule with two channels."""
    AlertRules(engine).create("all budgets", AlertKind.THRESHOLD, ["a", "b"])
    return rules_in_force(engine)[0]


def crossing(rule: Rule, percent: int = 50, subject: str = "budget:7:1000") -> Crossing:
    facts = {**THRESHOLD, "percent": percent}
    return Crossing(rule.id, subject, 1_780_000_000_000, percent, facts)


def count(engine: Engine) -> tuple[int, int]:
    with engine.connect() as connection:
        return (
            connection.execute(select(func.count()).select_from(alert_events)).scalar_one(),
            connection.execute(select(func.count()).select_from(alert_deliveries)).scalar_one(),
        )


def test_a_crossing_is_written_down_once(engine: Engine, rule: Rule) -> None:
    assert announce(engine, rule, crossing(rule), AT)
    assert not announce(engine, rule, crossing(rule), AT + timedelta(minutes=1))
    assert count(engine) == (1, 2)
    assert announce(engine, rule, crossing(rule, 80), AT)
    assert announce(engine, rule, crossing(rule, subject="budget:7:2000"), AT)
    assert count(engine) == (3, 6)


def in_parallel(number: int, call: Callable[[], bool]) -> int:
    """How many of so many calls at once returned True."""
    barrier, results = threading.Barrier(number), []

    def work() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == number
    return sum(results)


def test_of_many_that_find_a_crossing_one_makes_the_event(engine: Engine, rule: Rule) -> None:
    for percent in (50, 80, 100):
        found = crossing(rule, percent)
        assert in_parallel(8, lambda: announce(engine, rule, found, AT)) == 1  # noqa: B023
    assert count(engine) == (3, 6)


def test_of_many_that_see_a_delivery_one_takes_it(engine: Engine, rule: Rule) -> None:
    announce(engine, rule, crossing(rule), AT)
    for delivery in due(engine, AT):
        assert in_parallel(8, lambda: take(engine, delivery, AT)) == 1  # noqa: B023
    assert due(engine, AT) == []


def test_deliveries_are_due_in_order_and_carry_all_that_is_sent(
    engine: Engine, rule: Rule, channels: AlertChannels
) -> None:
    announce(engine, rule, crossing(rule, 50), AT)
    announce(engine, rule, crossing(rule, 80), AT - timedelta(seconds=1))
    assert due(engine, AT - timedelta(seconds=2)) == []
    found = due(engine, AT)
    assert [one.message.data["percent"] for one in found] == [80, 80, 50, 50]
    assert len({one.message.id for one in found}) == 4
    assert {one.channel.name for one in found} == {"a", "b"}
    assert found[0].channel == channels.to_send(found[0].channel.name)
    assert due(engine, AT) == found, "and are the same whenever they are read"
    assert len(due(engine, AT, limit=3)) == 3


def test_what_was_sent_is_not_due_again(engine: Engine, rule: Rule) -> None:
    announce(engine, rule, crossing(rule), AT)
    one, other = due(engine, AT)
    assert take(engine, one, AT)
    assert note_answer(engine, one, SENT, AT, 0.5) == "sent"
    assert take(engine, other, AT)
    assert note_answer(engine, other, FAILED, AT, 0.5) == "failed"
    assert due(engine, AT + timedelta(days=9)) == []
    assert not take(engine, one, AT)


def test_what_failed_comes_back_later_and_later(engine: Engine, rule: Rule) -> None:
    announce(engine, rule, crossing(rule), AT)
    at, pauses = AT, []
    for _ in range(6):
        delivery = due(engine, at)[0]
        assert take(engine, delivery, at)
        assert note_answer(engine, delivery, AGAIN, at, 0.5) == "waiting"
        with engine.connect() as connection:
            query = select(alert_deliveries.c.next_at).where(alert_deliveries.c.id == delivery.id)
            next_at = connection.execute(query).scalar_one()
        # The other delivery, out of the way.
        for other in due(engine, next_at - timedelta(microseconds=1)):
            assert other.id != delivery.id
            take(engine, other, next_at + timedelta(days=1))
        pauses.append((next_at - at).total_seconds())
        at = next_at
    assert pauses == [1, 2, 4, 8, 16, 32]
    (told,) = log(engine)
    assert told["deliveries"][0]["attempts"] == 6
    assert told["deliveries"][0]["last_error"] == "busy"


def test_after_three_days_nobody_tries_any_more(engine: Engine, rule: Rule) -> None:
    announce(engine, rule, crossing(rule), AT)
    late = AT + timedelta(days=3, seconds=1)
    delivery = due(engine, late)[0]
    assert take(engine, delivery, late)
    assert note_answer(engine, delivery, AGAIN, late, 0.5) == "failed"


def test_who_dies_while_sending_leaves_it_to_the_others(engine: Engine, rule: Rule) -> None:
    """Nobody knows whether it arrived, so it is sent again under the same id."""
    announce(engine, rule, crossing(rule), AT)
    first = due(engine, AT)[0]
    assert take(engine, first, AT)
    over = AT + timedelta(seconds=LEASE_SECONDS)
    assert first.id not in [one.id for one in due(engine, over - timedelta(seconds=1))]
    (again,) = [one for one in due(engine, over) if one.id == first.id]
    assert again.message == first.message
    assert again.attempts == 1
    assert take(engine, again, over)
    # The first was alive after all, and says late that it is sent: the second attempt is under
    # way, and its answer counts.
    note_answer(engine, first, AGAIN, over, 0.5)
    assert note_answer(engine, again, SENT, over, 0.5) == "sent"
    assert [each["state"] for each in log(engine)[0]["deliveries"]].count("sent") == 1


def test_the_log_has_the_newest_first(engine: Engine, rule: Rule) -> None:
    for percent in (50, 80, 100):
        announce(engine, rule, crossing(rule, percent), AT)
    assert [one["percent"] for one in log(engine)] == [100, 80, 50]
    page = log(engine, rows=2)
    assert [one["percent"] for one in log(engine, rows=2, before=page[-1]["id"])] == [50]
    (one,) = log(engine, rows=1)
    assert one["rule"] == "all budgets"
    assert one["type"] == "budget.threshold"
    assert one["title"].startswith("Budget web <prod>")
    assert [each["channel"] for each in one["deliveries"]] == ["a", "b"]
    assert {each["state"] for each in one["deliveries"]} == {"waiting"}


def test_deliveries_to_a_removed_channel_are_marked(
    engine: Engine, rule: Rule, channels: AlertChannels
) -> None:
    announce(engine, rule, crossing(rule), AT)
    AlertRules(engine).remove("all budgets")
    channels.remove("a")
    assert [one.channel_gone for one in due(engine, AT)] == [True, False]
    assert log(engine)[0]["rule"].startswith("all budgets (removed")
