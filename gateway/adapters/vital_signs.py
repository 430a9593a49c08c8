"""How a deployment is: what both stores say of themselves, read cheaply enough to look at often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.control_tables import alert_deliveries
from gateway.adapters.database import DatabaseError, first_line, schema_revision
from gateway.adapters.epochs import Recorded, recorded_state
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_state import CounterState
from gateway.adapters.tables import prices, usage_records

ALIVE_MS = 5_000
"""A worker that gave no sign of life for longer is not there any more."""


@dataclass(frozen=True, slots=True)
class RedisSigns:
    """What Redis says. Ages are milliseconds."""

    state: CounterState
    events_waiting: int
    oldest_event_ms: int
    """How long the oldest of them has waited; 0 where none does."""
    rejected_events: int
    """Events that could not be recorded and were set aside."""
    holds: int
    workers: Mapping[str, int]
    """How long ago each gateway worker gave its last sign of life."""
    memory_bytes: int
    memory_max_bytes: int
    """0 where it has no limit."""
    version: str

    @property
    def alive(self) -> int:
        """Workers that are there."""
        return sum(age <= ALIVE_MS for age in self.workers.values())


@dataclass(frozen=True, slots=True)
class SqlSigns:
    """What the database says."""

    kind: str
    revision: str
    recorded: Recorded
    newest_record: datetime | None
    newest_price: datetime | None
    deliveries_waiting: int
    deliveries_failed: int


@dataclass(frozen=True, slots=True)
class Signs:
    """Both stores; where one does not answer, why in its place."""

    redis: RedisSigns | None
    redis_error: str
    sql: SqlSigns | None
    sql_error: str

    @property
    def unrecorded(self) -> int | None:
        """Changes of the counters whose records SQL does not have, at most."""
        if self.redis is None or self.sql is None:
            return None
        return max(0, self.redis.state.sequence - self.sql.recorded.sequence)


def redis_signs(budgets: RedisBudgets) -> RedisSigns:
    """What Redis says. Raises StoreDown."""
    state, keys = budgets.state(), budgets.keys
    try:
        with budgets.redis.pipeline(transaction=False) as pipe:
            pipe.xlen(keys.events)
            pipe.xrange(keys.events, count=1)
            pipe.xlen(keys.rejected_events)
            pipe.zcard(keys.holds)
            pipe.hgetall(keys.present)
            waiting, oldest, rejected, holds, present = pipe.execute()
        info: Any = budgets.redis.info()
    except RedisError as error:
        raise StoreDown(str(error)) from error
    since = int(oldest[0][0].split(b"-")[0]) if oldest else state.now_ms
    return RedisSigns(
        state=state,
        events_waiting=int(waiting),
        oldest_event_ms=max(0, state.now_ms - since),
        rejected_events=int(rejected),
        holds=int(holds),
        workers={
            worker.decode(): max(0, state.now_ms - int(seen.split(b":")[0]))
            for worker, seen in sorted(present.items())
        },
        memory_bytes=int(info["used_memory"]),
        memory_max_bytes=int(info.get("maxmemory", 0)),
        version=str(info.get("valkey_version") or info.get("redis_version", "")),
    )


def sql_signs(engine: Engine) -> SqlSigns:
    """What the database says. Raises SQLAlchemy's errors and DatabaseError."""
    revision = schema_revision(engine) or ""
    held, d = usage_records.c.held_at, alert_deliveries.c
    counts = select(d.state, func.count()).where(d.state != "sent").group_by(d.state)
    with engine.connect() as connection:
        newest = connection.execute(select(held).order_by(held.desc()).limit(1)).scalar()
        price = connection.execute(
            select(prices.c.created_at).order_by(prices.c.id.desc()).limit(1)
        ).scalar()
        deliveries = {state: int(count) for state, count in connection.execute(counts)}
    return SqlSigns(
        kind="PostgreSQL" if engine.dialect.name == "postgresql" else "SQLite",
        revision=revision,
        recorded=recorded_state(engine),
        newest_record=newest,
        newest_price=price,
        deliveries_waiting=deliveries.get("waiting", 0),
        deliveries_failed=deliveries.get("failed", 0),
    )


def told(engine: Engine) -> tuple[SqlSigns | None, str]:
    """What the database says, or why it does not."""
    try:
        return sql_signs(engine), ""
    except (SQLAlchemyError, DatabaseError) as error:
        return None, first_line(error)


def moment_of(milliseconds: int) -> datetime | None:
    """A moment of Redis; None for 0."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC) if milliseconds else None
