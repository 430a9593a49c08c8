"""A deployment of two gateway workers whose Redis can be wiped or go back, for roll calls."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import gevent
from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.roll_call import RollCall
from gateway.adapters.spool import Spool
from gateway.adapters.usage_rows import ended, records_of
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.workers.rebuilder import Rebuilder, Rebuilt
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World


class Worker:
    """A gateway worker: its own budgets, holds and roll call."""

    def __init__(self, url: str, engine: Engine, folder: Path) -> None:
        self.budgets = RedisBudgets(connect(url, 5.0), RedisKeys("test"), 60.0)
        spool = Spool(folder, lambda call, *args: call(*args))
        self.keeper = HoldKeeper(self.budgets, 60.0, partial(ended, engine), spool)
        self.roll_call = RollCall(self.budgets, self.keeper)
        self.tasks = [gevent.spawn(self.keeper.resolve_backlog)]

    def stop(self) -> None:
        gevent.killall(self.tasks)


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
