from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.epochs import recorded_state
from gateway.adapters.object_rows import settle_work, write_objects
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_rebuild import RedisRebuild
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.usage_rows import Ended, ended
from gateway.adapters.window_rows import KEPT_MS
from gateway.core.budgets import Budget, WindowKind, window_at
from gateway.core.holds import Hold
from gateway.core.long_work import LEASE_SECONDS, Work, work_from
from gateway.core.objects import Kind, OwnedObject, WorkState
from gateway.workers import rebuilder as rebuilder_module
from gateway.workers.rebuilder import ROLL_CALL_SECONDS_MAX, Rebuilder
from tests.adapters.redis_world import RESULT, World
from tests.workers.rebuilding import (
    LEASE,
    drain,
    raising,
    rebuild,
    rebuild_by_hand,
    rebuilder,
    spend,
)

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
    assert rebuild(world, engine)
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
        # It dies when the counters are set, and Redis is not open yet.
        patch.setattr(RedisRebuild, "reopen", raising(StoreDown("crash")))
        with pytest.raises(StoreDown):
            rebuild(world, engine)
    assert world.budgets.policy_version() is None
    assert world.counters(budgets[2].id) == (0, 300)
    world.budgets.redis.hset(world.budgets.keys.state, "frozen_until", 1)
    assert rebuild(world, engine)
    assert world.counters(budgets[2].id) == (0, 300)


def test_a_window_that_only_work_is_held_on_ends_some_day(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    batch = begin_work(world, engine, budgets)
    world.budgets.redis.flushall()
    assert rebuild(world, engine)
    (day, start), _, (total, _) = hold_of(batch).budget_windows
    end = window_at(WindowKind.DAY, "UTC", start).end_ms
    redis, keys = world.budgets.redis, world.budgets.keys
    assert redis.pexpiretime(keys.budget(day, start)) == end + KEPT_MS
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
    assert rebuild(world, engine)
    assert world.counters(budgets[2].id) == (190, 0)
    assert world.budgets.redis.zcard(world.budgets.keys.holds) == 0


def test_work_that_ends_while_redis_is_rebuilt_is_charged_once(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower settles after all was recorded, and before the counters are frozen."""
    spend(world, engine, budgets, 100)
    batch = begin_work(world, engine, budgets)
    world.budgets.redis.flushall()
    really = RedisRebuild.freeze
    settled: list[str] = []

    def freeze(one: RedisRebuild) -> bool:
        if not settled:
            hold = hold_of(batch)
            done = world.budgets.settle(hold, 40, 5, 5, RESULT, charged_nano=-1)
            settled.append(done.outcome)
        return really(one)

    with monkeypatch.context() as patch:
        patch.setattr(RedisRebuild, "freeze", freeze)
        assert rebuild(world, engine)
    assert settled == ["unheld"]
    drain(world, engine)
    assert world.counters(budgets[2].id) == (140, 0)


# Redis is older than it was


def test_an_older_redis_is_found_out_by_who_has_seen_more(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    assert not rebuild(world, engine), "nothing is wrong yet"
    redis = world.budgets.redis
    before = {name: redis.dump(name) for name in redis.scan_iter()}
    hold = world.reserve(*budgets)
    restore_all(redis, before)
    with pytest.raises(CountersLost):
        world.reserve(*budgets)
    assert "later changes" in world.budgets.state().why
    assert rebuild(world, engine)
    assert world.budgets.place_again(hold, [0, 0, 0], LEASE, handed=False)
    assert world.counters(budgets[2].id) == (100, 100)
    assert world.settle(hold, 30) == "settled"


def test_an_older_redis_is_found_out_by_what_is_recorded(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    spend(world, engine, budgets, 100)
    assert not rebuild(world, engine)
    redis = world.budgets.redis
    before = {name: redis.dump(name) for name in redis.scan_iter()}
    late = world.reserve(*budgets)
    spend(world, engine, budgets, 70)
    world.settle(late, 90)
    drain(world, engine)
    restore_all(redis, before)
    done = rebuilder(world, engine).step()
    assert done is not None
    assert "the records know of" in done.why
    assert world.counters(budgets[2].id) == (260, 0)
    # What is settled again is known to SQL, and to nobody else.
    assert world.settle(late, 90) == "late"
    assert ended(engine, [late.request_id]) == {late.request_id: Ended(None)}


def test_holds_that_an_older_redis_takes_for_open_are_closed(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    settled, expired, running = (world.reserve(*budgets) for _ in range(3))
    redis, keys = world.budgets.redis, world.budgets.keys
    before = {name: redis.dump(name) for name in redis.scan_iter()}
    world.settle(settled, 60)
    world.lapse(expired)
    world.expire(expired)
    drain(world, engine)
    restore_all(redis, before)
    done = rebuilder(world, engine).step()
    assert done is not None
    assert (done.kept, done.closed, done.placed) == (1, 2, 0)
    assert world.counters(budgets[2].id) == (160, 100)
    assert world.limits()["inflight"] == 1
    assert world.settle(settled, 60) == "already"
    assert world.settle(expired, 30) == "late", "SQL is asked whether it was corrected since"
    corrected = world.budgets.settle(expired, 30, 5, 5, RESULT, charged_nano=100)
    assert corrected.outcome == "corrected"
    assert world.settle(running, 20) == "settled"
    assert world.counters(budgets[2].id) == (110, 0)
    assert redis.zcard(keys.holds) == 0
    assert world.limits()["inflight"] == 0


def restore_all(redis: Any, dumped: dict[bytes, bytes]) -> None:
    """Bring Redis back to what it was, as an older file would."""
    redis.flushall()
    for name, value in dumped.items():
        redis.restore(name, 0, value)


def test_an_epoch_never_comes_again(world: World, engine: Engine, budgets: list[Budget]) -> None:
    epochs = [rebuild_by_hand(world, engine).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))
    assert recorded_state(engine).epoch == world.budgets.state().epoch == epochs[-1]
    before = world.budgets.state().sequence
    world.budgets.redis.flushall()
    assert rebuild(world, engine)
    assert world.budgets.state().epoch > epochs[-1]
    world.settle(world.reserve(*budgets), 5)
    drain(world, engine)
    assert recorded_state(engine).sequence >= before


def test_gateways_that_live_are_waited_for(
    world: World, engine: Engine, budgets: list[Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.budgets.state(worker="alive")
    world.budgets.suspend("a test")
    one = rebuilder(world, engine)
    assert one.step() is None
    suspension = world.budgets.state().suspended_at_ms
    world.budgets.state(worker="alive", presented=suspension)
    # One that has not signed for long is not.
    world.budgets.redis.hset(world.budgets.keys.present, "dead", "5:0")
    assert one.step() is not None
    assert world.budgets.redis.hkeys(world.budgets.keys.present) == [b"alive"]
    # One that hangs is waited for, but not for ever.
    monkeypatch.setattr(rebuilder_module, "ROLL_CALL_SECONDS_MAX", 0.0)
    world.budgets.suspend("a test")
    assert one.step() is not None


def test_a_rebuilder_that_takes_over_waits_for_the_rest(
    world: World, engine: Engine, budgets: list[Budget]
) -> None:
    world.budgets.state(worker="alive")
    world.budgets.suspend("a test")
    one = Rebuilder(world.budgets, engine, LEASE)
    assert one.step() is None
    begun_ms = world.budgets.state().suspended_at_ms - int(ROLL_CALL_SECONDS_MAX * 1000)
    world.budgets.redis.hset(world.budgets.keys.state, "suspended_at", begun_ms)
    assert Rebuilder(world.budgets, engine, LEASE).step() is not None
