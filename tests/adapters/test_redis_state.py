from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisError

from gateway.adapters import redis_state
from gateway.adapters.embedded_redis import EmbeddedRedis
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.redis_state import CounterState
from tests.adapters.redis_world import World, budget

STRICT = budget(1)


def meeting(world: World) -> RedisBudgets:
    """The budgets of a process that looks whom it is connected to."""
    return RedisBudgets(connect(world.url, 5.0, meeting=world.budgets.keys), world.budgets.keys, 60)


def test_the_server_that_kept_the_counters_is_known(world: World) -> None:
    before = world.everything()
    assert meeting(world).reserve(world.wish(STRICT)).amount_nano == 100
    state = world.budgets.state()
    assert (state.admits, state.server) == (True, world.budgets.server())
    assert len(before) < len(world.everything())


def test_another_server_suspends_admission(world: World) -> None:
    world.budgets.redis.hset(world.budgets.keys.state, "server", "another")
    assert world.budgets.state().admits
    with pytest.raises(CountersLost):
        meeting(world).reserve(world.wish(STRICT))
    state = world.budgets.state()
    assert not state.admits
    assert "another server" in state.why
    assert state.now_ms - 60_000 < state.suspended_at_ms <= state.now_ms
    # Whoever comes next changes nothing about that.
    assert meeting(world).state().suspended_at_ms == state.suspended_at_ms


def test_a_pipeline_meets_the_server_too(world: World) -> None:
    world.budgets.redis.hset(world.budgets.keys.state, "server", "another")
    keys = world.budgets.keys
    client = connect(world.url, 5.0, meeting=keys)
    pipeline = RedisPipeline(client, 5.0)
    with pytest.raises(CountersLost):
        RedisBudgets(client, keys, 60, pipeline).reserve(world.wish(STRICT))
    pipeline.close()


def test_a_restart_is_noticed_before_anything_is_admitted(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    try:
        keys = RedisKeys("test")
        world = World(server.url, RedisBudgets(connect(server.url, 5.0, meeting=keys), keys, 60))
        world.budgets.publish(1)
        hold = world.reserve(STRICT)
        server.stop()
        server.start()
        with pytest.raises(CountersLost):
            world.reserve(STRICT)
        # What was admitted before is settled all the same.
        assert world.settle(hold, 40) == "settled"
        assert world.budgets.state().why.startswith("Redis was started again")
        world.budgets.redis.close()
    finally:
        server.stop()


def test_a_redis_without_counters_admits_nothing(world: World) -> None:
    world.budgets.redis.flushall()
    state = world.budgets.state()
    assert state == CounterState(now_ms=state.now_ms)
    with pytest.raises(CountersLost):
        meeting(world).reserve(world.wish(STRICT))


def test_admission_is_suspended_by_hand_and_a_second_time(world: World) -> None:
    assert [world.budgets.suspend(why) for why in ("one", "two")] == [True, False]
    assert world.budgets.state().why == "two"


def test_workers_sign_that_they_live(world: World) -> None:
    state = world.budgets.state(worker="one", presented=7)
    assert world.budgets.redis.hgetall(world.budgets.keys.present) == {
        b"one": f"{state.now_ms}:7".encode()
    }


def test_an_epoch_that_a_process_does_not_know_is_presented_to_once(world: World) -> None:
    first = world.reserve(STRICT)
    called: list[int] = []

    def present() -> None:
        called.append(1)
        world.budgets.adopt(world.budgets.state())

    world.budgets.present = present
    world.budgets.redis.hset(world.budgets.keys.state, "epoch", first.epoch + 5)
    assert [world.reserve(STRICT).epoch for _ in "ab"] == [first.epoch + 5] * 2
    assert called == [1]


def test_a_server_without_a_name_is_refused() -> None:
    with pytest.raises(RedisError, match="run_id"):
        redis_state._run_id("# Server\r\nredis_version:7.0\r\n")
    assert redis_state._run_id(b"# Server\r\nrun_id:abc\r\n") == "abc"


def test_the_meeting_fails_as_a_connection_does(tmp_path: Path) -> None:
    client = connect(f"unix://{tmp_path}/nothing", 0.2, meeting=RedisKeys("test"))
    with pytest.raises(redis.ConnectionError):
        client.ping()
