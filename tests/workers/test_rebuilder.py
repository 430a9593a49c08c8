from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.exceptions import RedisError
from sqlalchemy import Engine, insert

from gateway.adapters import epochs, usage_rows
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_rebuild import RedisRebuild, TimeLost
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.tables import budget_windows
from gateway.adapters.usage_rows import ended, record
from gateway.core.budgets import Budget, WindowKind, window_at
from gateway.core.holds import BudgetRefused
from gateway.workers import rebuilder as rebuilder_module
from gateway.workers.rebuilder import Rebuilder, Rebuilt
from tests.adapters.redis_world import World
from tests.workers.rebuilding import (
    drain,
    raising,
    rebuild,
    rebuild_by_hand,
    rebuilder,
    spend,
)


def test_counters_come_back_as_they_were(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100, 70, 30)
    keys, client = world.budgets.keys, world.budgets.redis
    names = set(client.scan_iter(match=keys.budget_pattern()))
    before = {name: (client.hget(name, "spent"), client.pexpiretime(name)) for name in names}
    assert len(before) == 3
    client.flushall()
    with pytest.raises(CountersLost):
        world.reserve(*budgets)
    assert [rebuild(world, engine), rebuild(world, engine)] == [True, False]
    after = {name: (client.hget(name, "spent"), client.pexpiretime(name)) for name in names}
    assert after == before
    assert world.budgets.policy_version() == world.version
    assert world.reserve(*budgets).left_nano == 700
    for _ in range(7):
        world.reserve(*budgets)
    with pytest.raises(BudgetRefused):
        world.reserve(*budgets)


def test_a_redis_that_is_sound_is_left_alone(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    world.settle(world.reserve(*budgets), 50)
    before = world.everything()
    assert not rebuild(world, engine)
    assert world.everything() == before


def test_a_deployment_that_is_not_set_up_is_not_opened(world: World, engine: Engine) -> None:
    world.budgets.redis.flushall()
    assert not rebuild(world, engine)
    assert world.everything() == {}


def test_events_that_survived_are_recorded_before_counters_are_set(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    hold = world.reserve(*budgets)
    world.settle(hold, 50)
    world.budgets.suspend("a test")
    done = rebuilder(world, engine).step()
    assert done is not None
    assert done.recorded == 1
    assert world.counters(budgets[2].id) == (150, 0)
    assert set(ended(engine, [hold.request_id])) == {hold.request_id}
    # It is offered to the recorder all the same, which knows it.
    drain(world, engine)
    assert rebuild_by_hand(world, engine).recorded == 0
    assert world.counters(budgets[2].id) == (150, 0)


def test_of_rebuilders_at_once_one_rebuilds_and_never_over_new_charges(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow one has recorded all; meanwhile another opens Redis, and money is spent."""
    spend(world, engine, budgets, 100)
    world.budgets.redis.flushall()
    slow = rebuilder(world, engine)
    really = Rebuilder._record_all

    def record_all(one: Rebuilder, *args: Any) -> Any:
        found = really(one, *args)
        if one is slow:
            assert rebuild(world, engine)
            world.settle(world.reserve(*budgets), 60)
        return found

    monkeypatch.setattr(Rebuilder, "_record_all", record_all)
    assert slow.step() is None
    assert world.counters(budgets[2].id) == (160, 0)


def test_while_one_rebuilds_nothing_else_changes_the_counters(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, lapsed = world.reserve(*budgets), world.reserve(*budgets)
    world.lapse(lapsed)
    world.budgets.suspend("a test")
    assert not world.expire(lapsed), "nothing expires while admission is suspended"
    really = Rebuilder._set_counters

    def set_counters(one: Rebuilder, *args: Any) -> int:
        for call in (
            lambda: world.settle(hold, 60),
            lambda: world.release(hold),
            lambda: world.expire(lapsed),
            lambda: world.budgets.hand_over(hold.request_id, 1, 60),
            lambda: world.budgets.place_again(hold, [0, 0, 0], 60),
        ):
            with pytest.raises(StoreDown, match="being rebuilt"):
                call()
        assert not rebuild(world, engine), "another waits"
        return really(one, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Rebuilder, "_set_counters", set_counters)
        assert rebuild(world, engine)
    assert world.counters(budgets[2].id) == (0, 200)
    assert world.settle(hold, 60) == "settled"
    assert world.counters(budgets[2].id) == (60, 100)


def test_a_rebuild_that_takes_too_long_changes_nothing_more(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(world, engine, budgets, 100)
    world.reserve(*budgets)
    world.budgets.suspend("a test")
    really = RedisRebuild.open_holds

    def open_holds(one: RedisRebuild) -> Any:
        found = really(one)
        world.budgets.redis.hset(world.budgets.keys.state, "frozen_until", 1)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RedisRebuild, "open_holds", open_holds)
        with pytest.raises(TimeLost):
            rebuild(world, engine)
    assert not world.budgets.state().admits
    assert rebuild(world, engine)
    assert world.counters(budgets[2].id) == (100, 100)


def test_a_crash_on_the_way_leaves_redis_closed(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(world, engine, budgets, 100)
    world.budgets.redis.flushall()
    with monkeypatch.context() as patch:
        patch.setattr(RedisRebuild, "set_counters", raising(StoreDown("crash")))
        with pytest.raises(StoreDown):
            rebuild(world, engine)
    with pytest.raises(CountersLost):
        world.reserve(*budgets)
    # Its token holds until its time is over.
    assert not rebuild(world, engine)
    world.budgets.redis.hset(world.budgets.keys.state, "frozen_until", 1)
    assert rebuild(world, engine)
    assert world.counters(budgets[2].id) == (100, 0)


def test_windows_of_long_ago_are_not_brought_back(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    now = datetime.now(UTC)
    starts = {
        days: window_at(WindowKind.DAY, "UTC", int((now - timedelta(days=days)).timestamp() * 1000))
        for days in (0, 30, 60, 400)
    }
    with engine.begin() as connection:
        for window in starts.values():
            start = datetime.fromtimestamp(window.start_ms / 1000, tz=UTC)
            connection.execute(
                insert(budget_windows).values(
                    budget_id=budgets[0].id, window_start=start, spent_nano=5, records=1
                )
            )
    world.budgets.redis.flushall()
    assert rebuild(world, engine)
    found = {
        days: world.counters(budgets[0].id, window.start_ms)[0] for days, window in starts.items()
    }
    assert found == {0: 5, 30: 5, 60: 0, 400: 0}


def test_it_runs_through_failures_until_it_is_stopped(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilder_module, "PAUSE_SECONDS", 0.001)
    world.budgets.redis.flushall()
    stop, failures = threading.Event(), [RedisError("away"), RedisError("away")]
    one = rebuilder(world, engine)
    really = one.step

    def step() -> Rebuilt | None:
        if failures:
            raise failures.pop()
        stop.set()
        return really()

    monkeypatch.setattr(one, "step", step)
    one.run(stop)
    assert world.budgets.policy_version() == world.version


def test_usage_that_is_recorded_after_the_counters_were_set_sets_them_again(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    """A recorder had read an event when Redis lost it, and writes it down after the rebuild."""
    spend(world, engine, budgets, 100)
    world.settle(world.reserve(*budgets), 60)
    (read,) = world.events()
    world.budgets.redis.flushall()
    assert rebuild(world, engine)
    # What is spent meanwhile takes the sequence past that of the lost event.
    spend(world, engine, budgets, 10, 10)
    assert world.counters(budgets[2].id) == (120, 0)
    assert record(engine, [read]) == 1
    done = rebuilder(world, engine).step()
    assert done is not None
    assert "after the counters had been set" in done.why
    assert world.counters(budgets[2].id) == (180, 0)
    # Offered once more it is nothing new, and neither is what belongs to this epoch.
    assert record(engine, [read]) == 0
    spend(world, engine, budgets, 40)
    assert not rebuild(world, engine)
    assert world.counters(budgets[2].id) == (220, 0)


def test_records_that_are_being_written_are_waited_for_before_the_counters_are_set(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(world, engine, budgets, 100)
    rebuild_by_hand(world, engine)
    world.settle(world.reserve(*budgets), 60)
    (read,) = world.events()
    world.budgets.redis.flushall()
    inserted, go_on = threading.Event(), threading.Event()
    really = epochs.move_sequence

    def slowly(connection: Any, sequence: int) -> None:
        really(connection, sequence)
        if threading.current_thread() is recorder:
            epochs.note_recorded(connection, read.epoch)
            inserted.set()
            go_on.wait(10)

    monkeypatch.setattr(usage_rows, "move_sequence", slowly)
    recorder = threading.Thread(target=record, args=(engine, [read]))
    recorder.start()
    assert inserted.wait(10)
    releasing = threading.Timer(0.3, go_on.set)
    releasing.start()
    assert rebuild(world, engine)
    recorder.join(10)
    rebuild(world, engine)
    assert world.counters(budgets[2].id) == (160, 0)
