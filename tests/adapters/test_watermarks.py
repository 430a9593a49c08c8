"""Admission stops before Redis is full; what has begun ends although it is full."""

from __future__ import annotations

import gevent
import pytest
from redis.exceptions import OutOfMemoryError
from sqlalchemy import Engine

from gateway.adapters import watermarks as watermarks_module
from gateway.adapters.redis_budgets import StoreDown, connect
from gateway.adapters.watermarks import Watermarks
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World, budget, open_world
from tests.stores import temporary_redis

STRICT = budget(1, 10**9)


def drain(world: World, engine: Engine) -> None:
    Recorder(connect(world.url, 5.0), world.budgets.keys, engine, 100).drain()


def test_waiting_events_keep_requests_out_until_they_are_recorded(
    world: World, engine: Engine
) -> None:
    marks = Watermarks(world.budgets, 5, 100)
    for number in range(5):
        marks.look()
        assert marks.reached is None, number
        world.settle(world.reserve(STRICT), 1)
    marks.look()
    assert marks.reached is not None
    assert marks.reached.mark.setting == "FAREGATE_EVENTS_MAX"
    assert marks.reached.level == 5
    (first, *_) = world.budgets.redis.xrange(world.budgets.keys.events, count=1)
    world.budgets.redis.xdel(world.budgets.keys.events, first[0])
    marks.look()
    assert marks.reached is not None, "below the mark, and not yet by a fifth"
    drain(world, engine)
    marks.look()
    assert marks.reached is None


def test_a_redis_without_a_limit_is_never_full(world: World) -> None:
    marks = Watermarks(world.budgets, 10**9, 10)
    marks.look()
    assert marks.reached is None


def test_each_mark_has_its_own_way_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Watermarks(world.budgets, 100, 50)
    levels = {"events": 0, "memory": 0}
    monkeypatch.setattr(world.budgets, "events_waiting", lambda: levels["events"])
    monkeypatch.setattr(marks, "_memory_percent", lambda: levels["memory"])

    def named(events: int, memory: int) -> str | None:
        levels.update(events=events, memory=memory)
        marks.look()
        assert marks.levels == (events, memory)
        return marks.reached.mark.setting if marks.reached else None

    assert named(99, 49) is None
    assert named(100, 50) == "FAREGATE_EVENTS_MAX"
    # The events are gone; the memory is below its mark, and not yet by a fifth.
    assert named(0, 45) == "FAREGATE_REDIS_MEMORY_PERCENT"
    assert named(0, 39) is None
    assert named(0, 45) is None


def test_what_has_begun_ends_in_a_redis_without_memory(engine: Engine) -> None:
    with temporary_redis() as url:
        world = open_world(url)
        redis = world.budgets.redis
        redis.config_set("maxmemory-policy", "noeviction")
        settled, released, expired, handed = (world.reserve(STRICT) for _ in range(4))
        drain(world, engine)
        used = int(redis.info("memory")["used_memory"])
        redis.set("filling", b"x" * 4_000_000)
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) * 105 // 100)
        marks = Watermarks(world.budgets, 10**9, 85)
        marks.look()
        assert marks.reached is not None
        assert "percent of Redis' memory" in str(marks.reached)
        # And beyond: nothing is left at all.
        redis.config_set("maxmemory", used)
        with pytest.raises(OutOfMemoryError):
            redis.set("more", b"x")
        with pytest.raises(StoreDown, match="maxmemory"):
            world.reserve(STRICT)
        assert world.settle(settled, 60) == "settled"
        assert world.release(released) == "released"
        assert world.budgets.renew([expired.request_id]) == 1
        lapse = "#!lua flags=allow-oom\nreturn redis.call('ZADD', KEYS[1], 'XX', 1, ARGV[1])"
        redis.eval(lapse, 1, world.budgets.keys.holds, expired.request_id)
        assert world.expire(expired)
        assert world.budgets.hand_over(handed.request_id, 1, 60)
        assert world.budgets.state().admits
        drain(world, engine)
        redis.delete("filling")
        redis.config_set("maxmemory", 64_000_000)
        marks.look()
        assert marks.reached is None
        assert world.counters() == (160, 100)
        redis.close()


def test_it_looks_through_an_outage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermarks_module, "LOOK_SECONDS", 0.001)
    marks = Watermarks(world.budgets, 1, 100)
    really, failures = world.budgets.events_waiting, [StoreDown("away")] * 3

    def events_waiting() -> int:
        if failures:
            raise failures.pop()
        return really()

    monkeypatch.setattr(world.budgets, "events_waiting", events_waiting)
    world.settle(world.reserve(STRICT), 1)
    watching = gevent.spawn(marks.watch)
    with gevent.Timeout(10):
        while marks.reached is None:
            gevent.sleep(0.001)
    assert not failures
    watching.kill()
