from __future__ import annotations

import threading

import pytest

from gateway.adapters.redis_budgets import StoreDown
from gateway.workers import expirer as expirer_module
from gateway.workers.expirer import Expirer
from tests.adapters.redis_world import World, budget

STRICT = budget(1, 10_000)


def test_holds_of_the_dead_are_charged_once_and_marked(world: World) -> None:
    dead, alive = world.reserve(STRICT), world.reserve(STRICT)
    world.lapse(dead)
    expirer = Expirer(world.budgets)
    assert [expirer.step(), expirer.step()] == [1, 0]
    assert world.counters() == (100, 100)
    (event,) = world.events()
    assert (event.row["request_id"], event.row["outcome"]) == (dead.request_id, "expired")
    assert (event.row["certainty"], event.row["status"]) == ("unknown", 0)
    assert world.settle(alive, 1) == "settled"


def test_several_expire_each_hold_once(world: World) -> None:
    holds = [world.reserve(STRICT) for _ in range(40)]
    for hold in holds:
        world.lapse(hold)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(Expirer(world.budgets).step()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 40
    assert world.counters() == (4_000, 0)
    assert len(world.events()) == 40


def test_a_lease_without_a_hold_is_forgotten(world: World) -> None:
    world.budgets.redis.zadd(world.budgets.keys.holds, {"frq_gone": 1})
    closed = world.reserve(STRICT)
    world.settle(closed, 1)
    world.budgets.redis.zadd(world.budgets.keys.holds, {closed.request_id: 1})
    assert Expirer(world.budgets).step() == 0
    assert world.budgets.redis.zcard(world.budgets.keys.holds) == 0
    assert world.counters() == (1, 0)


def test_it_runs_through_an_outage_until_it_is_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expirer_module, "PAUSE_SECONDS", 0.001)
    hold = world.reserve(STRICT)
    world.lapse(hold)
    stop, calls = threading.Event(), []
    one = Expirer(world.budgets)
    really = one.step

    def step() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise StoreDown("away")
        done = really()
        stop.set()
        return done

    monkeypatch.setattr(one, "step", step)
    one.run(stop)
    assert len(calls) == 3
    assert world.counters() == (100, 0)
