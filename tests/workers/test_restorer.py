from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import Engine, insert

from gateway.adapters.directory import Directory
from gateway.adapters.object_rows import settle_work, write_objects
from gateway.adapters.redis_budgets import CountersLost, connect
from gateway.adapters.tables import budget_windows
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind, window_at
from gateway.core.holds import BudgetRefused, Hold
from gateway.core.long_work import LEASE_SECONDS, Work, work_from
from gateway.core.objects import Kind, OwnedObject, WorkState
from gateway.workers import restorer as restorer_module
from gateway.workers.recorder import Recorder
from gateway.workers.restorer import Restorer
from tests.adapters.redis_world import World


@pytest.fixture
def budgets(world: World, engine: Engine) -> list[Budget]:
    """A day, a month and a total of one client, published."""
    directory = Directory(engine)
    directory.initialise("Acme")
    directory.create_team("team")
    directory.create_client("team", "client")
    kinds = (WindowKind.DAY, WindowKind.MONTH, WindowKind.TOTAL)
    made = [
        Budget(
            directory.create_budget(kind.value, limit_nano=1_000, window=kind, client="client"),
            kind.value,
            Scope.CLIENT,
            1_000,
            kind,
            "UTC",
            Enforcement.STRICT,
        )
        for kind in kinds
    ]
    world.version = directory.version()
    world.budgets.publish(world.version)
    return made


def drain(world: World, engine: Engine) -> None:
    Recorder(connect(world.url, 5.0), world.budgets.keys, engine, 100).drain()


def spend(world: World, engine: Engine, budgets: list[Budget], *costs: int) -> None:
    for cost in costs:
        world.settle(world.reserve(*budgets), cost)
    drain(world, engine)


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
    restorer = Restorer(world.budgets, engine)
    assert [restorer.step(), restorer.step()] == [True, False]
    after = {name: (client.hget(name, "spent"), client.pexpiretime(name)) for name in names}
    assert after == before
    assert world.budgets.policy_version() == world.version
    assert world.reserve(*budgets).left_nano == 700
    for _ in range(7):
        world.reserve(*budgets)
    with pytest.raises(BudgetRefused):
        world.reserve(*budgets)


def test_a_redis_with_a_policy_is_left_alone(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    world.settle(world.reserve(*budgets), 50)
    before = world.everything()
    assert not Restorer(world.budgets, engine).step()
    assert world.everything() == before


def test_a_deployment_that_is_not_set_up_is_not_opened(world: World, engine: Engine) -> None:
    world.budgets.redis.flushall()
    assert not Restorer(world.budgets, engine).step()
    assert world.everything() == {}


def test_events_that_survived_are_recorded_before_counters_are_set(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    world.settle(world.reserve(*budgets), 50)
    keys = world.budgets.keys
    world.budgets.redis.delete(keys.policy_version)
    restorer = Restorer(world.budgets, engine)
    assert not restorer.step()
    drain(world, engine)
    assert restorer.step()
    assert world.counters(budgets[2].id) == (150, 0)


def test_restorers_at_once_restore_once_and_never_over_new_charges(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow restorer has read SQL; meanwhile another opens Redis, and money is spent."""
    spend(world, engine, budgets, 100)
    world.budgets.redis.flushall()
    slow, quick = Restorer(world.budgets, engine), Restorer(world.budgets, engine)
    really = Restorer._live_windows

    def live_windows(one: Restorer, now_ms: int) -> Any:
        found = really(one, now_ms)
        if one is slow:
            assert quick.step()
            world.settle(world.reserve(*budgets), 60)
        return found

    monkeypatch.setattr(Restorer, "_live_windows", live_windows)
    assert not slow.step()
    assert world.counters(budgets[2].id) == (160, 0)


def test_a_crash_on_the_way_leaves_redis_closed(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(world, engine, budgets, 100)
    world.budgets.redis.flushall()
    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "execute", lambda *_: (_ for _ in ()).throw(RedisError("crash")))
        with pytest.raises(RedisError):
            Restorer(world.budgets, engine).step()
    assert world.everything() == {}
    assert Restorer(world.budgets, engine).step()
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
    assert Restorer(world.budgets, engine).step()
    found = {
        days: world.counters(budgets[0].id, window.start_ms)[0] for days, window in starts.items()
    }
    assert found == {0: 5, 30: 5, 60: 0, 400: 0}


def test_it_runs_through_failures_until_it_is_stopped(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restorer_module, "PAUSE_SECONDS", 0.001)
    world.budgets.redis.flushall()
    stop, failures = threading.Event(), [RedisError("away"), RedisError("away")]
    one = Restorer(world.budgets, engine)
    really = one.step

    def step() -> bool:
        if failures:
            raise failures.pop()
        stop.set()
        return really()

    monkeypatch.setattr(one, "step", step)
    one.run(stop)
    assert world.budgets.policy_version() == world.version


# Long-lived work


def begin_work(world: World, engine: Engine, budgets: list[Budget], name: str = "b") -> OwnedObject:
    """A batch that is under way, with its hold."""
    hold = world.reserve(*budgets)
    world.budgets.hand_over(hold.request_id, 1, LEASE_SECONDS)
    work = Work(hold, None, "batch").as_fields()
    batch = OwnedObject(Kind.BATCH, name, 1, 1, 1, 0, work=work, work_state=WorkState.OPEN)
    write_objects(engine, [batch])
    return batch


def hold_of(one: OwnedObject) -> Hold:
    assert one.work is not None
    return work_from(one.work).hold


def test_what_long_lived_work_may_cost_is_held_again(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    batch = begin_work(world, engine, budgets)
    keys, client = world.budgets.keys, world.budgets.redis
    names = set(client.scan_iter(match=keys.budget_pattern()))
    before = {name: (client.hgetall(name), client.pexpiretime(name)) for name in names}
    client.flushall()
    assert Restorer(world.budgets, engine).step()
    after = {name: (client.hgetall(name), client.pexpiretime(name)) for name in names}
    assert after == before
    assert world.counters(budgets[2].id) == (100, 100)
    assert world.settle(hold_of(batch), 40) == "settled"
    assert world.counters(budgets[2].id) == (140, 0)


def test_holds_are_placed_before_anything_is_admitted_and_once(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        begin_work(world, engine, budgets, name)
    world.budgets.redis.flushall()
    with monkeypatch.context() as patch:
        # It dies when the holds are placed, and Redis is not open yet.
        patch.setattr(Pipeline, "execute", lambda *_: (_ for _ in ()).throw(RedisError("crash")))
        with pytest.raises(RedisError):
            Restorer(world.budgets, engine).step()
    assert world.budgets.policy_version() is None
    assert world.counters(budgets[2].id) == (0, 300)
    assert Restorer(world.budgets, engine).step()
    assert world.counters(budgets[2].id) == (0, 300)


def test_a_window_that_only_work_is_held_on_ends_some_day(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    batch = begin_work(world, engine, budgets)
    world.budgets.redis.flushall()
    assert Restorer(world.budgets, engine).step()
    (day, start), _, (total, _) = hold_of(batch).budget_windows
    end = window_at(WindowKind.DAY, "UTC", start).end_ms
    redis, keys = world.budgets.redis, world.budgets.keys
    assert redis.pexpiretime(keys.budget(day, start)) == end + restorer_module.KEPT_MS
    assert redis.pexpiretime(keys.budget(total, 0)) == -1


def test_work_that_was_charged_or_settled_is_not_held_again(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    """Its follower died between the charge and its note that the work is settled."""
    charged, settled, expired = (begin_work(world, engine, budgets, name) for name in "abc")
    world.settle(hold_of(charged), 40)
    world.settle(hold_of(settled), 50)
    settle_work(engine, Kind.BATCH, "b")
    world.lapse(hold_of(expired))
    assert world.expire(hold_of(expired))
    drain(world, engine)
    world.budgets.redis.flushall()
    assert Restorer(world.budgets, engine).step()
    assert world.counters(budgets[2].id) == (190, 0)
    assert world.budgets.redis.zcard(world.budgets.keys.holds) == 0


def test_work_under_way_while_redis_is_restored_is_charged_once(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower settles while a restorer has read SQL and not yet opened Redis."""
    spend(world, engine, budgets, 100)
    batch = begin_work(world, engine, budgets)
    world.budgets.redis.flushall()
    really = Restorer._place_holds

    def place_holds(one: Restorer) -> int:
        placed = really(one)
        world.settle(hold_of(batch), 40)
        return placed

    with monkeypatch.context() as patch:
        patch.setattr(Restorer, "_place_holds", place_holds)
        assert not Restorer(world.budgets, engine).step()
    settle_work(engine, Kind.BATCH, "b")
    drain(world, engine)
    assert Restorer(world.budgets, engine).step()
    assert world.counters(budgets[2].id) == (140, 0)
