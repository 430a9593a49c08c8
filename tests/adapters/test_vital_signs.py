from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.usage_rows import record
from gateway.adapters.vital_signs import Signs, moment_of, redis_signs, sql_signs, told
from tests.adapters.recorded import AT, event
from tests.adapters.redis_world import World


def test_redis_tells_of_counters_events_holds_and_workers(world: World) -> None:
    budgets = world.budgets
    quiet = redis_signs(budgets)
    assert (quiet.events_waiting, quiet.oldest_event_ms, quiet.holds) == (0, 0, 0)
    assert quiet.memory_bytes > 0
    now_ms = budgets.state().now_ms
    budgets.redis.xadd(budgets.keys.events, {"x": "y"}, id=f"{now_ms - 9000}-0")
    budgets.redis.zadd(budgets.keys.holds, {"r1": 1, "r2": 2})
    budgets.redis.hset(
        budgets.keys.present, mapping={"a": f"{now_ms}:0", "b": f"{now_ms - 60_000}:5"}
    )
    signs = redis_signs(budgets)
    assert (signs.events_waiting, signs.holds, signs.alive) == (1, 2, 1)
    assert 9000 <= signs.oldest_event_ms < 60_000
    assert list(signs.workers) == ["a", "b"]
    assert signs.version


def test_sql_tells_what_it_has(engine: Engine) -> None:
    empty = sql_signs(engine)
    assert (empty.newest_record, empty.newest_price, empty.deliveries_failed) == (None, None, 0)
    assert empty.kind in ("SQLite", "PostgreSQL")
    record(engine, [event("r1")])
    assert sql_signs(engine).newest_record == datetime.fromtimestamp(AT / 1000, UTC)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE prices RENAME TO away"))
    found, why = told(engine)
    assert found is None
    assert "prices" in why


def test_what_redis_has_counted_and_sql_has_not_recorded(world: World, engine: Engine) -> None:
    redis, sql = redis_signs(world.budgets), sql_signs(engine)
    assert Signs(redis, "", sql, "").unrecorded == redis.state.sequence
    assert Signs(None, "away", sql, "").unrecorded is None


def test_a_store_that_is_away_raises(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.budgets.redis.set(world.budgets.keys.events, "not a stream")
    with pytest.raises(StoreDown):
        redis_signs(world.budgets)


def test_moments_of_redis() -> None:
    assert moment_of(0) is None
    assert moment_of(AT) == datetime.fromtimestamp(AT / 1000, UTC)
