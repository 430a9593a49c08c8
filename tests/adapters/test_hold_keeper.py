from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Literal

import gevent
import pytest

from gateway.adapters import backlog, hold_keeper
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import HoldMismatch, RedisBudgets, StoreDown
from gateway.adapters.usage_rows import Ended
from gateway.core.holds import BudgetRefused, Hold, HoldClosed, Resolution
from tests.adapters.redis_world import RESULT, World, budget

STRICT = budget(1, 1_000)


class FaultyBudgets(RedisBudgets):
    """Real budgets whose server goes away: before a call takes effect, or before its reply."""

    fault: Literal["", "before", "after", "hang"] = ""
    broken: frozenset[str] = frozenset()

    def _run(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        if self.broken.intersection(map(str, args)):
            raise StoreDown("this one never succeeds")
        if self.fault == "before":
            raise StoreDown("gone before")
        reply = super()._run(script, keys, args)
        if self.fault == "after":
            raise StoreDown("gone after")
        if self.fault == "hang":
            gevent.sleep(1e6)
        return reply


def nothing_is_recorded(_request_ids: Sequence[str]) -> dict[str, Ended]:
    return {}


@pytest.fixture
def faulty(world: World) -> FaultyBudgets:
    budgets = FaultyBudgets(world.budgets.redis, world.budgets.keys, 60)
    world.budgets = budgets
    return budgets


@pytest.fixture
def keeper(faulty: FaultyBudgets, monkeypatch: pytest.MonkeyPatch) -> Iterator[HoldKeeper]:
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.005)
    faulty.adopt(faulty.state())
    made = HoldKeeper(faulty, 0.02, nothing_is_recorded)
    tasks = [gevent.spawn(made.resolve_backlog), gevent.spawn(made.renew_leases)]
    yield made
    assert not any(task.dead for task in tasks)
    gevent.killall(tasks)


def test_a_hold_is_owned_from_reserve_to_its_end(world: World, keeper: HoldKeeper) -> None:
    first, second = keeper.reserve(world.wish(STRICT)), keeper.reserve(world.wish(STRICT))
    assert keeper.in_flight == 2
    settled = keeper.settle(first, 40, 5, 5, RESULT)
    assert settled == Resolution("settled", 860, 100)
    assert keeper.release(second, RESULT) == Resolution("released", 960)
    assert (keeper.in_flight, keeper.unresolved) == (0, 0)
    assert keeper.drain(0)


def test_a_refused_reserve_is_not_owned(world: World, keeper: HoldKeeper) -> None:
    with pytest.raises(BudgetRefused):
        keeper.reserve(world.wish(budget(2, 1)))
    wish = world.wish(STRICT)
    keeper.release(keeper.reserve(wish), RESULT)
    with pytest.raises(HoldClosed):
        keeper.reserve(wish)
    assert (keeper.in_flight, keeper.unresolved) == (0, 0)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_settle_is_made_up_for_when_redis_is_back(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper, fault: Literal["before", "after"]
) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    faulty.fault = fault
    assert keeper.settle(hold, 40, 5, 5, RESULT) is None
    assert keeper.unresolved == 1
    assert not keeper.drain(0.02)
    assert keeper.in_flight == 1
    faulty.fault = ""
    assert keeper.drain(10)
    assert world.counters() == (40, 0)
    assert world.costs() == [(hold.request_id, "request", "settled", 40)]
    assert (keeper.in_flight, keeper.unresolved) == (0, 0)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_reserve_of_unknown_effect_is_released(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper, fault: Literal["before", "after"]
) -> None:
    faulty.fault = fault
    wish = world.wish(STRICT)
    with pytest.raises(StoreDown):
        keeper.reserve(wish)
    assert keeper.in_flight == 1
    faulty.fault = ""
    assert keeper.drain(10)
    assert keeper.in_flight == 0
    assert world.counters() == (0, 0)
    with pytest.raises(HoldClosed):
        world.budgets.reserve(wish)


def test_a_reserve_that_is_stopped_while_it_waits_is_released(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper
) -> None:
    wish = world.wish(STRICT)
    faulty.fault = "hang"
    request = gevent.spawn(keeper.reserve, wish)
    with gevent.Timeout(10):
        while world.counters() != (0, 100):
            gevent.sleep(0.001)
    faulty.fault = "before"
    request.kill()
    # Its lease is renewed until it is known to be gone.
    assert (keeper.in_flight, keeper.unresolved) == (1, 1)
    faulty.fault = ""
    assert keeper.drain(10)
    assert keeper.in_flight == 0
    assert world.counters() == (0, 0)
    with pytest.raises(HoldClosed):
        world.budgets.reserve(wish)


def test_one_that_never_succeeds_does_not_block_the_others(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper
) -> None:
    holds = [keeper.reserve(world.wish(STRICT)) for _ in range(3)]
    faulty.fault = "before"
    for hold in holds:
        keeper.settle(hold, 10, 5, 5, RESULT)
    faulty.broken = frozenset({holds[0].request_id})
    faulty.fault = ""
    with gevent.Timeout(10):
        while keeper.unresolved > 1:
            gevent.sleep(0.005)
    assert world.counters() == (20, 100)
    assert not keeper.drain(0)
    faulty.broken = frozenset()
    assert keeper.drain(10)
    assert world.counters() == (30, 0)


def test_what_cannot_be_resolved_is_left_to_its_lease(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper
) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    other = Hold(hold.request_id, 1, "m", (), 0, 0, 0, -1, hold.rates)
    # At once: the client gets its answer all the same.
    assert keeper.settle(other, 10, 5, 5, RESULT) is None
    assert (keeper.in_flight, keeper.unresolved) == (0, 0)
    # And late.
    late = keeper.reserve(world.wish(STRICT))
    faulty.fault = "before"
    keeper.settle(Hold(late.request_id, 1, "m", (), 0, 0, 0, -1, late.rates), 1, 5, 5, RESULT)
    faulty.fault = ""
    assert keeper.drain(10)
    with pytest.raises(HoldMismatch):
        world.settle(other, 10)
    assert world.counters() == (0, 200)
    for lost in (hold, late):
        world.lapse(lost)
        assert world.expire(lost)
    assert world.counters() == (200, 0)


def test_owned_holds_are_renewed_through_an_outage(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper
) -> None:
    faulty.fault = "before"
    gevent.sleep(0.03)
    faulty.fault = ""
    holds = [keeper.reserve(world.wish()) for _ in range(hold_keeper._RENEW_BATCH + 1)]
    name = world.budgets.keys.holds
    for hold in holds:
        world.lapse(hold)
    with gevent.Timeout(20):
        while world.budgets.redis.zcount(name, 0, 1):
            gevent.sleep(0.005)
    assert world.budgets.lapsed() == []


def test_leases_that_cannot_be_renewed_do_not_stop_the_others(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_keeper, "_RENEW_BATCH", 1)
    lost, other = keeper.reserve(world.wish()), keeper.reserve(world.wish())
    renew = RedisBudgets.renew

    def fail_for_one(budgets: RedisBudgets, request_ids: Sequence[str]) -> int:
        if lost.request_id in request_ids:
            raise ValueError("a bug")
        return renew(budgets, request_ids)

    monkeypatch.setattr(FaultyBudgets, "renew", fail_for_one)
    for turn in range(2):
        world.lapse(lost)
        world.lapse(other)
        with gevent.Timeout(10):
            while other.request_id in world.budgets.lapsed():
                gevent.sleep(0.005)
        assert world.budgets.lapsed() == [lost.request_id], turn


def test_a_hold_that_is_handed_over_is_not_owned(world: World, keeper: HoldKeeper) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    assert keeper.is_open(hold)
    keeper.hand_over(hold, 1000)
    assert not keeper.is_open(hold)
    assert (keeper.in_flight, keeper.unresolved) == (0, 0)
    assert (world.counters(), world.limits()["inflight"]) == ((0, 100), 0)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_hold_is_handed_over_when_redis_is_back(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper, fault: Literal["before", "after"]
) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    faulty.fault = fault
    keeper.hand_over(hold, 1000)
    # Its lease is renewed until then, and nobody may settle it for a failure meanwhile.
    assert (keeper.in_flight, keeper.is_open(hold)) == (1, False)
    faulty.fault = ""
    assert keeper.drain(10)
    assert (keeper.in_flight, world.limits()["inflight"]) == (0, 0)
    end = world.budgets.redis.zscore(world.budgets.keys.holds, hold.request_id)
    assert end > world.now_ms() + 900_000


def test_a_hold_is_open_until_it_is_resolved_even_if_for_later(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper
) -> None:
    now, late = keeper.reserve(world.wish(STRICT)), keeper.reserve(world.wish(STRICT))
    keeper.release(now, RESULT)
    faulty.fault = "before"
    keeper.settle(late, 1, 1, 1, RESULT)
    assert not keeper.is_open(now)
    assert not keeper.is_open(late)
    faulty.fault = ""
    assert keeper.drain(10)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_settle_that_is_stopped_while_it_waits_is_made_up_for_at_its_own_cost(
    world: World, faulty: FaultyBudgets, keeper: HoldKeeper, fault: Literal["before", "after"]
) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    faulty.fault = "hang"
    request = gevent.spawn(keeper.settle, hold, 40, 5, 5, RESULT)
    with gevent.Timeout(10):
        while world.counters() != (40, 0):
            gevent.sleep(0.001)
    faulty.fault = fault
    request.kill()
    gevent.sleep(0)
    # Nobody may settle it for a failure, at more than its cost.
    assert not keeper.is_open(hold)
    faulty.fault = ""
    assert keeper.drain(10)
    assert world.counters() == (40, 0)
    assert world.costs() == [(hold.request_id, "request", "settled", 40)]


def test_what_has_ended_is_remembered_also_where_the_reply_was_lost(
    world: World, keeper: HoldKeeper
) -> None:
    hold = keeper.reserve(world.wish(STRICT))
    world.settle(hold, 40)
    settled = keeper.settle(hold, 40, -1, -1, RESULT)
    assert settled == Resolution("already")
    assert [ending.hold for ending in keeper.recent_endings()] == [hold]


def test_endings_are_forgotten_up_to_a_moment(world: World, keeper: HoldKeeper) -> None:
    first, second = keeper.reserve(world.wish(STRICT)), keeper.reserve(world.wish(STRICT))
    keeper.release(first, RESULT)
    between = monotonic()
    keeper.settle(second, 1, 1, 1, RESULT)
    keeper.forget_endings(before=between)
    assert [ending.hold for ending in keeper.recent_endings()] == [second]
    keeper.forget_endings(before=monotonic())
    assert keeper.recent_endings() == []
