from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from redis.client import Pipeline
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from gateway.adapters.redis_budgets import connect
from gateway.adapters.tables import budget_windows, hourly_usage, usage_records
from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.workers import recorder as recorder_module
from gateway.workers.recorder import GROUP, Recorder
from tests.adapters.recorded import rows
from tests.adapters.redis_world import World, budget

STRICT = budget(1, 1_000_000)


def recorder(world: World, engine: Engine, name: str = "one", batch: int = 10) -> Recorder:
    made = Recorder(connect(world.url, 5.0), world.budgets.keys, engine, batch)
    made._name = name
    return made


def settle_some(world: World, count: int = 25) -> int:
    for number in range(count):
        world.settle(world.reserve(STRICT), number, 5, 5)
    return sum(range(count))


def spent(engine: Engine) -> int:
    return sum(row.spent_nano for row in rows(engine, budget_windows))


def pending(world: World) -> int:
    return int(world.budgets.redis.xpending(world.budgets.keys.events, GROUP)["pending"])


def test_everything_is_recorded_once_and_trimmed(world: World, engine: Engine) -> None:
    total = settle_some(world)
    one = recorder(world, engine)
    assert one.drain() == 25
    assert one.drain() == 0
    assert (world.budgets.events_waiting(), pending(world)) == (0, 0)
    assert len(rows(engine, usage_records)) == 25
    assert spent(engine) == total == world.counters()[0]
    assert sum(row.requests for row in rows(engine, hourly_usage)) == 25


def test_a_crash_between_commit_and_acknowledgement_doubles_nothing(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = settle_some(world)
    one = recorder(world, engine)
    one.step()
    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "execute", _raise(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            one.step()
    assert len(rows(engine, usage_records)) == 20
    assert pending(world) == 10
    # The same recorder, started again.
    assert recorder(world, engine).drain() == 15
    assert len(rows(engine, usage_records)) == 25
    assert spent(engine) == total
    assert (world.budgets.events_waiting(), pending(world)) == (0, 0)


def test_what_a_dead_recorder_took_is_taken_over(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = settle_some(world, 10)
    dead = recorder(world, engine, "dead")
    with monkeypatch.context() as patch:
        patch.setattr(recorder_module, "record", _raise(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            dead.step()
    other = recorder(world, engine, "other")
    # Not while its owner may still be at it.
    assert other.step() == 0
    monkeypatch.setattr(recorder_module, "CLAIM_IDLE_MS", 0)
    assert other.drain() == 10
    assert spent(engine) == total
    # And should the dead one come back after all:
    assert recorder(world, engine, "dead").drain() == 0
    assert (world.budgets.events_waiting(), pending(world)) == (0, 0)


def test_two_recorders_at_once(world: World, engine: Engine) -> None:
    total = settle_some(world, 200)
    failures: list[BaseException] = []

    def drain(name: str) -> None:
        one = recorder(world, engine, name, batch=7)
        try:
            while world.budgets.events_waiting():
                # SQLite lets one write at a time and tells the other to come again.
                with_retry(one.step)
        except BaseException as error:
            failures.append(error)

    def with_retry(step: Callable[[], int]) -> None:
        try:
            step()
        except OperationalError:
            return

    threads = [threading.Thread(target=drain, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(rows(engine, usage_records)) == 200
    assert spent(engine) == total
    assert sum(row.requests for row in rows(engine, hourly_usage)) == 200


def test_events_wait_for_a_database_that_is_away(world: World, engine: Engine) -> None:
    total = settle_some(world, 10)
    one = recorder(world, engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hourly_usage RENAME TO away"))
    for _ in range(3):
        with pytest.raises(SQLAlchemyError):
            one.step()
    assert world.budgets.events_waiting() == 10
    assert rows(engine, usage_records) == []
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO hourly_usage"))
    assert one.drain() == 10
    assert spent(engine) == total


def test_what_is_no_event_is_set_aside_and_blocks_nothing(world: World, engine: Engine) -> None:
    keys = world.budgets.keys
    settle_some(world, 2)
    world.budgets.redis.xadd(keys.events, {"id": "frq_x", "nonsense": b"\xff\x00"})
    total = settle_some(world, 3)
    assert recorder(world, engine).drain() == 6
    assert len(rows(engine, usage_records)) == 5
    assert spent(engine) == total + 1
    ((_, aside),) = world.budgets.redis.xrange(keys.rejected_events)
    assert aside[b"nonsense"] == b"\xff\x00"
    assert b"KeyError" in aside[b"reason"] or b"Unicode" in aside[b"reason"]
    assert (world.budgets.events_waiting(), pending(world)) == (0, 0)


def test_what_is_set_aside_is_so_once(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_some(world, 1)
    world.budgets.redis.xadd(world.budgets.keys.events, {"nonsense": "1"})
    one = recorder(world, engine)
    with monkeypatch.context() as patch:
        patch.setattr(recorder_module, "record", _raise(OperationalError("x", {}, Exception())))
        for _ in range(3):
            with pytest.raises(OperationalError):
                one.step()
    one.drain()
    assert world.budgets.redis.xlen(world.budgets.keys.rejected_events) == 1


def test_a_value_that_sql_refuses_does_not_stop_the_others(
    world: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.adapters.database import open_engine
    from gateway.adapters.migrations import upgrade

    engine = open_engine(postgres_url, pooled=False)
    upgrade(engine)

    def spoiled(on: Engine, events: Sequence[UsageEvent]) -> int:
        for event in events:
            if event.row["cost_nano"] == 2:
                event.row["model"] = "a\0b"
        return record(on, events)

    monkeypatch.setattr(recorder_module, "record", spoiled)
    total = settle_some(world, 5)
    assert recorder(world, engine).drain() == 5
    assert spent(engine) == total - 2
    ((_, aside),) = world.budgets.redis.xrange(world.budgets.keys.rejected_events)
    assert aside[b"cost"] == b"2"
    assert aside[b"reason"]
    assert (world.budgets.events_waiting(), pending(world)) == (0, 0)
    engine.dispose()


def test_odd_names_of_clients_and_providers_are_recorded(world: World, engine: Engine) -> None:
    hold = world.reserve(STRICT, model="ft:gpt\0" + "x" * 300)
    result = b'{"status":200,"tier":"' + b"t" * 99 + b'\\u0000","upstream_id":"\\ud800"}'
    world.budgets.settle(hold, 5, 1, 1, result)
    assert recorder(world, engine).drain() == 1
    (row,) = rows(engine, usage_records)
    assert (len(row.model), len(row.service_tier), row.upstream_id) == (128, 32, "?")


def test_a_lost_group_is_made_again(world: World, engine: Engine) -> None:
    one = recorder(world, engine)
    settle_some(world, 2)
    one.drain()
    world.budgets.redis.flushall()
    world.budgets.publish(1)
    settle_some(world, 3)
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,))
    thread.start()
    while world.budgets.events_waiting():
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert len(rows(engine, usage_records)) == 5


def test_it_runs_through_failures_of_both_stores(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_some(world, 3)
    stop = threading.Event()
    failures: list[Exception] = [
        redis.ConnectionError("away"),
        OperationalError("INSERT", {}, Exception("away")),
    ]
    one = recorder(world, engine)
    really = one.step

    def step(block_ms: int | None = None) -> int:
        if failures:
            raise failures.pop()
        done = really(1)
        if not done:
            stop.set()
        return done

    monkeypatch.setattr(one, "step", step)
    one.run(stop)
    assert len(rows(engine, usage_records)) == 3


def _raise(error: Any) -> Callable[..., Any]:
    def raising(*_: Any, **__: Any) -> Any:
        raise error

    return raising
