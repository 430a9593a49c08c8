from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import OperationalError

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_events import announce, log, note_answer
from gateway.adapters.alert_rules import AlertRules, rules_in_force
from gateway.adapters.alert_senders import AlertSender, Answer
from gateway.adapters.control_tables import alert_deliveries
from gateway.adapters.directory import Directory
from gateway.core.alerts import AlertKind, ChannelKind, Crossing
from gateway.settings import load_settings
from gateway.workers import deliverer as module
from gateway.workers.deliverer import Deliverer
from tests.core.test_alert_messages import THRESHOLD
from tests.receiver import Receiver

HOSTS = ("127.0.0.1",)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as opened:
        yield opened


@pytest.fixture
def tell(engine: Engine, receiver: Receiver) -> Callable[..., None]:
    """Writes crossings down for one channel of the receiver, or for several."""
    Directory(engine).initialise("acme")
    made: list[str] = []

    def crossings(*percents: int, channels: dict[str, str] | None = None) -> None:
        if not made:
            targets = channels or {"hook": receiver.url}
            for name, url in targets.items():
                AlertChannels(engine, hosts=HOSTS).create(name, ChannelKind.WEBHOOK, url)
            AlertRules(engine).create("all", AlertKind.THRESHOLD, list(targets))
            made.extend(targets)
        (rule,) = rules_in_force(engine)
        for percent in percents:
            facts = {**THRESHOLD, "percent": percent}
            found = Crossing(rule.id, "budget:7:1", 0, percent, facts)
            assert announce(engine, rule, found, datetime.now(UTC))

    return crossings


def deliverer(engine: Engine) -> Deliverer:
    return Deliverer(engine, AlertSender(load_settings(alert_hosts=HOSTS)))


def deliver(one: Deliverer, pool: ThreadPoolExecutor) -> int:
    """Begin what is due and wait for its end; returns of how many channels."""
    begun = one.step(pool)
    for each in wait(begun).done:
        each.result()
    return len(begun)


def states(engine: Engine) -> list[str]:
    found = [each["state"] for one in log(engine) for each in one["deliveries"]]
    return sorted(found)


def make_due(engine: Engine) -> None:
    """Let the pauses before further attempts be over."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    with engine.begin() as connection:
        connection.execute(update(alert_deliveries).values(next_at=past))


def test_what_is_due_is_delivered_once(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    tell(50, 80, 100)
    one = deliverer(engine)
    assert deliver(one, pool) == 1
    assert deliver(one, pool) == 0
    assert [each.json["data"]["percent"] for each in receiver.received] == [50, 80, 100]
    assert states(engine) == ["sent"] * 3


def test_several_deliverers_send_once(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    percents = list(range(1, 31))
    tell(*percents)
    several = [deliverer(engine) for _ in range(4)]
    begun = [future for one in several for future in one.step(pool)]
    wait(begun)
    # SQLite may have had one of them wait too long: what is left is still due.
    for _ in range(3):
        deliver(several[0], pool)
    assert sorted(each.json["data"]["percent"] for each in receiver.received) == percents
    assert states(engine) == ["sent"] * 30


def test_what_failed_is_tried_again_until_it_is_taken(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    receiver.answer = lambda number: (500, 429, 408, 200)[number - 1]
    tell(50)
    one = deliverer(engine)
    for _ in range(4):
        assert deliver(one, pool) == 1
        assert deliver(one, pool) == 0, "it is not due before its pause is over"
        make_due(engine)
    assert deliver(one, pool) == 0
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
    (told,) = log(engine)
    (delivery,) = told["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("sent", 4)


def test_what_no_receiver_will_take_is_given_up(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    receiver.answer = lambda _: 410
    tell(50)
    one = deliverer(engine)
    deliver(one, pool)
    make_due(engine)
    assert deliver(one, pool) == 0
    assert len(receiver.received) == 1
    (delivery,) = log(engine)[0]["deliveries"]
    assert (delivery["state"], delivery["last_error"]) == ("failed", "HTTP 410: said")


def test_a_receiver_that_hangs_keeps_nobody_else_waiting(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    goes_on = threading.Event()

    def hang(_number: int) -> int:
        goes_on.wait(30)
        return 200

    with Receiver() as other:
        other.answer = hang
        tell(50, 80, channels={"slow": other.url, "hook": receiver.url})
        one = deliverer(engine)
        begun = one.step(pool)
        receiver.wait(2)
        # Nor is it asked twice at once.
        assert one.step(pool) == []
        goes_on.set()
        wait(begun)
        assert len(other.wait(2)) == 2
    assert states(engine) == ["sent"] * 4


def test_a_channel_that_was_removed_gets_nothing(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    tell(50)
    AlertRules(engine).remove("all")
    AlertChannels(engine).remove("hook")
    deliver(deliverer(engine), pool)
    assert receiver.received == []
    (delivery,) = log(engine)[0]["deliveries"]
    assert (delivery["state"], delivery["last_error"]) == ("failed", "the channel was removed")


def test_a_database_that_is_away_is_told_again_what_was_sent(
    engine: Engine,
    receiver: Receiver,
    pool: ThreadPoolExecutor,
    tell: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The alert is sent once, although its answer could not be written down at first."""
    failures = iter(range(3))
    monkeypatch.setattr(module, "NOTE_AGAIN_SECONDS", (0.0,) * 7)

    def note(*arguments: Any) -> str:
        with suppress(StopIteration):
            next(failures)
            raise OperationalError("update", {}, Exception("gone"))
        return note_answer(*arguments)

    monkeypatch.setattr(module, "note_answer", note)
    tell(50)
    deliver(deliverer(engine), pool)
    assert states(engine) == ["sent"]
    assert len(receiver.received) == 1


def test_one_that_breaks_leaves_the_others(
    engine: Engine, receiver: Receiver, pool: ThreadPoolExecutor, tell: Callable[..., None]
) -> None:
    """A sender with a fault of its own breaks one channel's turn, not the process."""

    class Broken(AlertSender):
        def send(self, *_arguments: Any) -> Answer:
            raise ZeroDivisionError

    tell(50)
    broken = Deliverer(engine, Broken(load_settings(alert_hosts=HOSTS)))
    assert deliver(broken, pool) == 1
    make_due(engine)
    assert deliver(deliverer(engine), pool) == 1
    assert len(receiver.received) == 1


def test_it_runs_until_it_is_stopped(
    engine: Engine, receiver: Receiver, tell: Callable[..., None]
) -> None:
    tell(50, 80)
    stop = threading.Event()
    one = Deliverer(engine, AlertSender(load_settings(alert_hosts=HOSTS)), pause_seconds=0.01)
    thread = threading.Thread(target=one.run, args=(stop,))
    thread.start()
    receiver.wait(2)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(receiver.received) == 2
