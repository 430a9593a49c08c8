"""What a gateway worker tells a Redis that has lost something, against a real Redis and SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine

from gateway.adapters import roll_call as roll_call_module
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.workers.rebuilder import Rebuilder
from tests.adapters.called import Deployment
from tests.adapters.redis_world import RESULT, World


@pytest.fixture
def deployment(world: World, engine: Engine, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(world, engine, tmp_path)
    yield made
    made.one.stop()
    made.two.stop()


def test_holds_and_endings_that_an_older_redis_lacks_are_brought_again(
    deployment: Deployment,
) -> None:
    d = deployment
    image = d.image()
    running = d.one.keeper.reserve(d.world.wish(d.budget))
    settled = d.two.keeper.reserve(d.world.wish(d.budget))
    d.two.keeper.settle(settled, 60, 5, 5, RESULT)
    released = d.two.keeper.reserve(d.world.wish(d.budget))
    d.two.keeper.release(released, RESULT)
    d.go_back_to(image)
    assert d.counters() == (0, 0)
    d.one.roll_call.answer()
    d.two.roll_call.answer()
    done = d.rebuild()
    assert (done.kept, done.closed) == (1, 0)
    assert d.counters() == (60, 100)
    assert d.world.limits()["inflight"] == 1
    d.one.roll_call.answer()
    outcome = d.one.keeper.settle(running, 30, 5, 5, RESULT)
    assert outcome is not None
    assert outcome.outcome == "settled"
    assert d.counters() == (90, 0)
    for request_id, cost in ((running.request_id, 30), (settled.request_id, 60)):
        assert d.recorded(request_id) == [("request", cost)]


def test_what_was_recorded_already_is_brought_again_and_counted_once(
    deployment: Deployment,
) -> None:
    d = deployment
    image = d.image()
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    d.drain()
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    d.redis.flushall()
    assert d.world.budgets.state().epoch == 0
    d.world.budgets.suspend("empty")
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    assert d.recorded(settled.request_id) == [("request", 60)]


def test_a_worker_that_comes_too_late_charges_once_all_the_same(deployment: Deployment) -> None:
    """Redis was emptied and rebuilt while one worker could not reach it."""
    d = deployment
    running = d.one.keeper.reserve(d.world.wish(d.budget))
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    recorded = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(recorded, 70, 5, 5, RESULT)
    event = d.redis.xrange(d.world.budgets.keys.events)[-1]
    d.redis.xtrim(d.world.budgets.keys.events, maxlen=1, approximate=False)
    assert event[1][b"id"] == recorded.request_id.encode()
    d.drain()
    d.redis.flushall()
    d.world.budgets.suspend("empty")
    d.rebuild()
    assert d.counters() == (70, 0)
    # Its next reserve meets an epoch that it does not know: it presents before it goes on.
    another = d.one.keeper.reserve(d.world.wish(d.budget))
    assert another.epoch == d.world.budgets.state().epoch
    assert d.counters() == (130, 200)
    for hold in (running, another):
        d.one.keeper.settle(hold, 10, 5, 5, RESULT)
    assert d.counters() == (150, 0)
    expected = {settled: 60, recorded: 70, running: 10, another: 10}
    found = {hold: d.recorded(hold.request_id) for hold in expected}
    assert found == {hold: [("request", cost)] for hold, cost in expected.items()}


def test_a_hold_that_expired_before_redis_was_emptied_is_corrected(deployment: Deployment) -> None:
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    d.world.lapse(hold)
    assert d.world.expire(hold)
    d.drain()
    d.redis.flushall()
    d.world.budgets.suspend("empty")
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (100, 0)
    assert d.one.keeper.settle(hold, 30, 5, 5, RESULT) is None, "SQL is asked, in the background"
    assert d.one.keeper.drain(10)
    assert d.counters() == (30, 0)
    assert d.recorded(hold.request_id) == [("request", 100), ("correction", -70)]


def test_a_worker_signs_what_it_has_presented_and_is_waited_for(deployment: Deployment) -> None:
    d = deployment
    d.one.roll_call.answer()
    rebuilder = Rebuilder(d.world.budgets, d.engine, 60.0, roll_call_seconds=0)
    assert rebuilder.step() is None
    d.world.budgets.suspend("a test")
    assert rebuilder.step() is None
    d.one.roll_call.answer()
    assert rebuilder.step() is not None
    d.one.roll_call.leave()
    assert d.redis.hlen(d.world.budgets.keys.present) == 0
    d.two.roll_call.leave()


def test_a_roll_call_that_is_interrupted_begins_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    image: dict[bytes, bytes] = {}
    d.go_back_to(image)
    really = d.one.budgets.place_again
    failures = [StoreDown("gone")]

    def place_again(*args: Any, **named: Any) -> bool:
        if failures:
            raise failures.pop()
        return really(*args, **named)

    monkeypatch.setattr(d.one.budgets, "place_again", place_again)
    monkeypatch.setattr(roll_call_module, "LOOK_SECONDS", 0.001)
    watching = gevent.spawn(d.one.roll_call.watch)
    suspension = d.world.budgets.state().suspended_at_ms
    with gevent.Timeout(10):
        while not d.redis.hvals(d.world.budgets.keys.present)[-1:] or not any(
            value.endswith(f":{suspension}".encode())
            for value in d.redis.hvals(d.world.budgets.keys.present)
        ):
            gevent.sleep(0.001)
    assert not failures
    assert d.redis.exists(d.world.budgets.keys.hold(hold.request_id))
    watching.kill()


def test_nothing_is_admitted_meanwhile(deployment: Deployment) -> None:
    d = deployment
    d.world.budgets.suspend("a test")
    d.one.roll_call.answer()
    with pytest.raises(CountersLost):
        d.one.keeper.reserve(d.world.wish(d.budget))
    assert d.one.keeper.in_flight == 0
