"""What a gateway worker tells a Redis that has lost something, against a real Redis and SQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine

from gateway.adapters import roll_call as roll_call_module
from gateway.adapters.directory import Directory
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import HoldMismatch, RedisBudgets, StoreDown, connect
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.roll_call import RollCall
from gateway.adapters.spool import Spool
from gateway.adapters.usage_rows import ended, records_of
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.workers.rebuilder import Rebuilder, Rebuilt
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import RESULT, World


class Worker:
    """A gateway worker: its own budgets, holds and roll call."""

    def __init__(self, url: str, engine: Engine, folder: Path) -> None:
        self.budgets = RedisBudgets(connect(url, 5.0), open_world_keys(url), 60.0)
        spool = Spool(folder, lambda call, *args: call(*args))
        self.keeper = HoldKeeper(self.budgets, 60.0, partial(ended, engine), spool)
        self.roll_call = RollCall(self.budgets, self.keeper)
        self.tasks = [gevent.spawn(self.keeper.resolve_backlog)]

    def stop(self) -> None:
        gevent.killall(self.tasks)


def open_world_keys(url: str) -> Any:
    from gateway.adapters.redis_keys import RedisKeys

    return RedisKeys("test")


class Deployment:
    """Redis, SQL, one strict budget of 1,000, and two workers."""

    def __init__(self, world: World, engine: Engine, folder: Path) -> None:
        self.world, self.engine = world, engine
        directory = Directory(engine)
        directory.initialise("Acme")
        directory.create_team("team")
        directory.create_client("team", "client")
        number = directory.create_budget(
            "b", limit_nano=1_000, window=WindowKind.TOTAL, client="client"
        )
        self.budget = Budget(
            number, "b", Scope.CLIENT, 1_000, WindowKind.TOTAL, "UTC", Enforcement.STRICT
        )
        world.version = directory.version()
        world.budgets.publish(world.version)
        self.one, self.two = (Worker(world.url, engine, folder) for _ in "ab")
        self.redis = world.budgets.redis

    def rebuild(self) -> Rebuilt:
        done = Rebuilder(self.world.budgets, self.engine, 60.0, roll_call_seconds=0).step()
        assert done is not None
        return done

    def drain(self) -> None:
        Recorder(connect(self.world.url, 5.0), self.world.budgets.keys, self.engine, 100).drain()

    def image(self) -> dict[bytes, bytes]:
        return {name: self.redis.dump(name) for name in self.redis.scan_iter()}

    def go_back_to(self, image: dict[bytes, bytes]) -> None:
        self.redis.flushall()
        for name, value in image.items():
            self.redis.restore(name, 0, value)
        self.world.budgets.suspend("older")

    def counters(self) -> tuple[int, int]:
        return self.world.counters(self.budget.id)

    def recorded(self, request_id: str) -> list[tuple[str, int]]:
        self.drain()
        return [(r.kind, r.cost_nano) for r in records_of(self.engine, request_id)]


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


def test_what_redis_lost_before_a_long_outage_is_brought_all_the_same(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last seconds before it went away are what it may lack, however long it was away."""
    d = deployment
    image = d.image()
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    later = monotonic() + 3600
    monkeypatch.setattr(roll_call_module, "monotonic", lambda: later)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    assert d.recorded(settled.request_id) == [("request", 60)]


def test_what_redis_has_kept_for_long_enough_is_forgotten(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    d.one.roll_call.answer()
    d.one.keeper.release(d.one.keeper.reserve(d.world.wish(d.budget)), RESULT)
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1
    later = monotonic() + roll_call_module.DURABLE_SECONDS
    monkeypatch.setattr(roll_call_module, "monotonic", lambda: later)
    d.world.budgets.suspend("a test")
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1
    d.rebuild()
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1, "an epoch that has just begun proves nothing"
    d.one.roll_call.answer()
    assert d.one.keeper.recent_endings() == []


def test_an_ending_whose_reply_was_lost_is_brought_again_too(deployment: Deployment) -> None:
    d = deployment
    image = d.image()
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.budgets.settle(hold, 60, 5, 5, RESULT)
    d.one.keeper.settle(hold, 60, 5, 5, RESULT)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    assert d.recorded(hold.request_id) == [("request", 60)]


def test_a_worker_that_missed_a_second_loss_presents_in_the_new_epoch(
    deployment: Deployment,
) -> None:
    """It had presented for the first, and hung while the roll was called for the second."""
    d = deployment
    running = d.one.keeper.reserve(d.world.wish(d.budget))
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.go_back_to({})
    d.rebuild()
    assert d.counters() == (0, 0)
    d.one.roll_call.answer()
    assert d.counters() == (60, 100)
    d.one.keeper.settle(running, 30, 5, 5, RESULT)
    assert d.counters() == (90, 0)
    for request_id, cost in ((running.request_id, 30), (settled.request_id, 60)):
        assert d.recorded(request_id) == [("request", cost)]


def test_a_correction_that_an_older_redis_lacks_is_made_again(deployment: Deployment) -> None:
    """SQL has the hold as expired, and Redis has gone back to when it was open."""
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    image = d.image()
    d.world.lapse(hold)
    assert d.world.expire(hold)
    d.drain()
    d.one.keeper.settle(hold, 30, 5, 5, RESULT)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (30, 0)
    assert d.recorded(hold.request_id) == [("request", 100), ("correction", -70)]


def test_a_hold_whose_end_waits_for_sql_is_held_until_then(deployment: Deployment) -> None:
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    gevent.killall(d.one.tasks)
    d.go_back_to({})
    assert d.one.keeper.settle(hold, 30, 5, 5, RESULT) is None
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (0, 100)
    d.one.tasks.append(gevent.spawn(d.one.keeper.resolve_backlog))
    assert d.one.keeper.drain(10)
    assert d.counters() == (30, 0)
    assert d.recorded(hold.request_id) == [("request", 30)]


def test_a_hold_that_is_settled_while_the_roll_is_called_is_not_placed_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    hold, other = (d.one.keeper.reserve(d.world.wish(d.budget)) for _ in "ab")
    ask = d.one.keeper.ask

    def settle_meanwhile(request_ids: Any) -> Any:
        known = ask(request_ids)
        monkeypatch.setattr(d.one.keeper, "ask", ask)
        d.one.keeper.settle(hold, 30, 5, 5, RESULT)
        assert d.one.keeper.drain(10)
        return known

    monkeypatch.setattr(d.one.keeper, "ask", settle_meanwhile)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (30, 100)
    d.one.keeper.settle(other, 10, 5, 5, RESULT)
    assert d.counters() == (40, 0)
    assert d.recorded(hold.request_id) == [("request", 30)]


def test_one_ending_that_cannot_be_brought_does_not_keep_its_worker_out(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    bad, good = (d.one.keeper.reserve(d.world.wish(d.budget)) for _ in "ab")
    for hold in (bad, good):
        d.one.keeper.settle(hold, 60, 5, 5, RESULT)
    settle = d.one.budgets.settle

    def mismatched(hold: Any, *args: Any, **named: Any) -> Any:
        if hold == bad:
            raise HoldMismatch("a bug")
        return settle(hold, *args, **named)

    monkeypatch.setattr(d.one.budgets, "settle", mismatched)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (60, 0)
    assert d.one.budgets.epoch == d.world.budgets.state().epoch


@pytest.mark.parametrize("after", range(6))
def test_a_roll_call_may_be_interrupted_at_any_call(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    d = deployment
    running = [d.one.keeper.reserve(d.world.wish(d.budget)) for _ in range(2)]
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    d.go_back_to({})
    calls = 0

    def breaking(really: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == after + 1:
                raise StoreDown("gone")
            return really(*args, **named)

        return call

    for name in ("state", "hold_states", "place_again", "settle"):
        monkeypatch.setattr(d.one.budgets, name, breaking(getattr(d.one.budgets, name)))
    with pytest.raises(StoreDown, match="gone"):
        d.one.roll_call.answer()
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (60, 200)
    assert d.world.limits()["inflight"] == 2
    for hold in running:
        d.one.keeper.settle(hold, 10, 5, 5, RESULT)
    assert d.counters() == (80, 0)
    assert d.recorded(settled.request_id) == [("request", 60)]
