"""Holds of long-lived work: handed over, renewed, ended late, and placed again."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.redis_budgets import HoldMismatch
from gateway.core.budgets import Enforcement
from gateway.core.holds import BudgetRefused, Hold, RateState
from tests.adapters.redis_world import World, bound, budget

DAY = 24 * 3600
LEASE = 30 * DAY
ENDED = 26 * 3600
"""How long the end of a request is remembered."""
STRICT = budget(1, 1_000)
SOFT = budget(2, 500, Enforcement.SOFT)


def hand_over(world: World, hold: Hold, seconds: int = LEASE) -> bool:
    return world.budgets.hand_over(hold.request_id, hold.client_id, seconds)


def lease_ms(world: World, hold: Hold) -> float:
    end = world.budgets.redis.zscore(world.budgets.keys.holds, hold.request_id)
    return float(end or 0) - world.now_ms()


def life_ms(world: World, hold: Hold) -> int:
    return int(world.budgets.redis.pttl(world.budgets.keys.hold(hold.request_id)))


# Handed over


def test_a_request_that_is_handed_over_is_no_longer_in_flight(world: World) -> None:
    hold = world.reserve(STRICT, concurrent_requests=1)
    assert world.limits()["inflight"] == 1
    assert [hand_over(world, hold) for _ in range(3)] == [True] * 3
    assert world.limits()["inflight"] == 0
    assert world.counters() == (0, 100)
    assert LEASE * 1000 - 60_000 < lease_ms(world, hold) <= LEASE * 1000
    # Its place is free, and its money is not.
    world.reserve(STRICT, concurrent_requests=1)
    assert world.counters() == (0, 200)


def test_a_lease_is_never_shortened(world: World) -> None:
    hold = world.reserve(STRICT)
    hand_over(world, hold)
    assert hand_over(world, hold, 10)
    world.budgets.renew([hold.request_id])
    assert lease_ms(world, hold) > LEASE * 1000 - 60_000


@pytest.mark.parametrize("handed", [1, 2])
@pytest.mark.parametrize("end", ["settle", "release", "expire"])
def test_work_ends_as_a_request_does(world: World, end: str, handed: int) -> None:
    hold = world.reserve(STRICT, SOFT)
    for _ in range(handed):
        hand_over(world, hold)
    world.reserve()
    if end == "settle":
        assert world.settle(hold, 40) == "settled"
    elif end == "release":
        assert world.release(hold) == "released"
    else:
        assert not world.expire(hold)
        world.lapse(hold)
        assert world.expire(hold)
    cost = {"settle": 40, "release": 0, "expire": 100}[end]
    assert world.counters(1) == world.counters(2) == (cost, 0)
    assert world.limits()["inflight"] == 1
    assert [row[0] for row in world.costs()] == [hold.request_id]


def test_what_has_ended_is_not_handed_over(world: World) -> None:
    settled, expired = world.reserve(STRICT), world.reserve(STRICT)
    world.settle(settled, 1)
    world.lapse(expired)
    world.expire(expired)
    before = world.counters()
    absent = Hold("frq_never", 1, "m", (), 0, 0, 0, -1, RateState())
    assert not any(hand_over(world, hold) for hold in (settled, expired, absent))
    assert (world.counters(), world.limits()["inflight"]) == (before, 0)
    assert world.budgets.redis.zcard(world.budgets.keys.holds) == 0


def test_work_that_expired_before_it_was_handed_over_is_corrected_at_its_end(world: World) -> None:
    hold = world.reserve(STRICT)
    world.lapse(hold)
    world.expire(hold)
    assert life_ms(world, hold) <= ENDED * 1000
    assert not hand_over(world, hold)
    assert life_ms(world, hold) > LEASE * 1000 - 60_000
    assert world.settle(hold, 30) == "corrected"
    assert world.counters() == (30, 0)
    assert [row[1:] for row in world.costs()] == [
        ("request", "expired", 100),
        ("correction", "settled", -70),
    ]


def test_that_work_has_ended_is_remembered_for_as_long_as_its_follower_may_be_away(
    world: World,
) -> None:
    work, request = world.reserve(STRICT), world.reserve(STRICT)
    hand_over(world, work)
    for hold in (work, request):
        world.settle(hold, 10)
    assert life_ms(world, work) > LEASE * 1000 - 60_000
    assert life_ms(world, request) <= ENDED * 1000
    assert world.settle(work, 10) == "already"
    assert world.counters() == (20, 0)


def test_what_work_used_teaches_nothing_about_requests(world: World) -> None:
    limits = {"tokens_per_minute": 1_000}
    wish: dict[str, Any] = {"bounded": bound(100, wanted=50, floor=50), **limits}
    work, request = world.reserve(STRICT, **wish), world.reserve(STRICT, **wish)
    hand_over(world, work)
    before = world.limits()["tokens_tat"]
    assert world.settle(work, 40, tokens=10_000_000, output=5_000_000) == "settled"
    assert world.limits()["tokens_tat"] == before
    assert not world.budgets.redis.exists(world.budgets.keys.need(1, "m"))
    world.settle(request, 1, tokens=60, output=50)
    assert world.budgets.redis.exists(world.budgets.keys.need(1, "m"))


# Placed again


def place_again(world: World, hold: Hold, forget: tuple[int, ...] = (0,)) -> bool:
    return world.budgets.place_again(hold, forget, LEASE)


def lost(world: World, *on: Any) -> Hold:
    """A hold that was handed over, in a Redis that has since been emptied."""
    hold = world.reserve(*on)
    hand_over(world, hold)
    world.budgets.redis.flushall()
    world.budgets.publish(world.version)
    return hold


def test_a_lost_hold_is_placed_as_it_was(world: World) -> None:
    hold = world.reserve(STRICT, SOFT)
    hand_over(world, hold)
    before, found = world.everything(), world.budgets.find(hold.request_id)
    world.budgets.redis.flushall()
    world.budgets.publish(world.version)
    assert [place_again(world, hold, (0, 0)) for _ in range(3)] == [True, False, False]
    assert world.counters(1) == world.counters(2) == (0, 100)
    assert LEASE * 1000 - 60_000 < lease_ms(world, hold) <= LEASE * 1000
    assert world.budgets.find(hold.request_id) == found
    names = set(world.everything())
    assert names == set(before) - {world.budgets.keys.client(1).encode()}
    with pytest.raises(BudgetRefused):
        world.reserve(STRICT, bounded=bound(901))


@pytest.mark.parametrize("end", ["settle", "release", "expire"])
def test_a_hold_that_was_placed_again_ends_once(world: World, end: str) -> None:
    hold = lost(world, STRICT)
    assert place_again(world, hold)
    for _ in range(2):
        if end == "settle":
            world.settle(hold, 40, 10, 10)
        elif end == "release":
            world.release(hold)
        else:
            world.lapse(hold)
            world.expire(hold)
        # What has ended is never placed again.
        assert not place_again(world, hold)
    cost = {"settle": 40, "release": 0, "expire": 100}[end]
    assert world.counters() == (cost, 0)
    assert len(world.costs()) == 1
    assert world.limits().get("inflight", 0) == 0


def test_a_window_lives_as_long_as_it_is_told_and_no_shorter(world: World) -> None:
    hold, keys = lost(world, STRICT, SOFT), world.budgets.keys
    soon, late = world.now_ms() + 100_000, world.now_ms() + 900_000
    # The second has been set up already, by a restorer that knows what it has spent.
    world.budgets.redis.hset(keys.budget(2, 0), "spent", 7)
    world.budgets.redis.pexpireat(keys.budget(2, 0), late)
    assert place_again(world, hold, (soon, soon))
    assert world.budgets.redis.pexpiretime(keys.budget(1, 0)) == soon
    assert world.budgets.redis.pexpiretime(keys.budget(2, 0)) == late
    assert world.counters(2) == (7, 100)


def test_a_hold_is_placed_on_its_own_budgets_or_not_at_all(world: World) -> None:
    hold = lost(world, STRICT)
    keys = world.budgets.keys
    other = Hold(
        hold.request_id, 1, "m", ((9, 0),), 0, 100, hold.reserved_at_ms, -1, RateState(),
        hold.placed_on, hold.context,
    )  # fmt: skip
    before = world.everything()
    assert not place_again(world, other)
    assert world.everything() == before
    assert not world.budgets.redis.exists(keys.budget(9, 0))
    with pytest.raises(HoldMismatch):
        world.settle(other, 1)


def test_work_without_budgets_is_placed_again_too(world: World) -> None:
    hold = lost(world)
    assert place_again(world, hold, ())
    assert world.settle(hold, 5) == "settled"
    assert [row[3] for row in world.costs()] == [5]
