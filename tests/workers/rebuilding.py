"""Budgets with a past in Redis and SQL, and a rebuilder that waits for no gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.redis_budgets import connect
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.workers.rebuilder import Rebuilder, Rebuilt
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World

LEASE = 60.0


def made_budgets(world: World, engine: Engine) -> list[Budget]:
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


def rebuilder(world: World, engine: Engine) -> Rebuilder:
    """One that calls no roll: no gateway runs."""
    return Rebuilder(world.budgets, engine, LEASE, roll_call_seconds=0)


def rebuild(world: World, engine: Engine) -> bool:
    """Whether there was need for it."""
    return rebuilder(world, engine).step() is not None


def spend(world: World, engine: Engine, budgets: list[Budget], *costs: int) -> None:
    for cost in costs:
        world.settle(world.reserve(*budgets), cost)
    drain(world, engine)


def rebuild_by_hand(world: World, engine: Engine) -> Rebuilt:
    return rebuilder(world, engine).rebuild("by hand", lambda _seconds: None)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_args: object) -> Any:
        raise error

    return call
