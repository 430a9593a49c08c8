"""Looking: what a reserve would do now, without doing it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.redis_replies import CountersLost
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.holds import BudgetRefused, Hold, HoldRequest, PolicyStale, RateRefused, Refused
from tests.adapters.redis_world import World, bound, budget

EXPECTED, SOFT, STRICT = Enforcement.EXPECTED, Enforcement.SOFT, Enforcement.STRICT
MINUTE_US = 60_000_000


def random_wish(world: World, pick: random.Random, known: list[Any]) -> Any:
    asked = bound(
        pick.choice((0, 100, 1_000)),
        per_token=pick.choice((0, 1, 7)),
        wanted=(wanted := pick.choice((1, 50, 400))),
        floor=pick.randrange(0, wanted + 1),
        choices=pick.choice((1, 3)),
    )
    limits: dict[str, Any] = {
        "requests_per_minute": pick.choice((0, 0, 30)),
        "tokens_per_minute": pick.choice((0, 0, 5, 2_000)),
        "concurrent_requests": pick.choice((0, 0, 3)),
    }
    return world.wish(*pick.sample(known, pick.randrange(0, 4)), bounded=asked, **limits)


def attempted(world: World, wish: HoldRequest) -> tuple[Hold | None, Refused | None]:
    """The hold that is placed, or why there is none."""
    try:
        return world.budgets.reserve(wish), None
    except (BudgetRefused, RateRefused) as refused:
        return None, refused


def refusal_facts(refused: Refused | None) -> tuple[object, ...]:
    """What a refusal says, but for how long to wait: time goes on."""
    if isinstance(refused, BudgetRefused):
        numbers = (refused.spent_nano, refused.held_nano, refused.affordable_output_tokens)
        return refused.budget, refused.window, numbers
    assert isinstance(refused, RateRefused)
    return (refused.limit,)


@pytest.mark.parametrize("seed", range(6))
def test_a_reserve_does_what_a_look_said(world: World, seed: int) -> None:
    pick = random.Random(seed)
    known = [
        budget(number, pick.choice((500, 3_000, 20_000)), pick.choice((STRICT, EXPECTED, SOFT)))
        for number in range(1, 6)
    ]
    admitted = refused = 0
    for _ in range(80):
        wish = random_wish(world, pick, known)
        before = world.everything()
        look = world.budgets.look(wish)
        assert world.everything() == before
        stood = [world.counters(one.budget.id) for one in look.budgets]
        assert [(one.spent_nano, one.held_nano) for one in look.budgets] == stood
        hold, why = attempted(world, wish)
        if hold is None:
            refused += 1
            assert look.hold is None
            assert refusal_facts(look.refused) == refusal_facts(why)
            assert (look.decides is not None) == isinstance(why, BudgetRefused)
            continue
        admitted += 1
        assert look.refused is None
        assert look.hold is not None
        told = (look.hold.granted_output_tokens, look.hold.amount_nano, look.hold.left_nano)
        assert told == (hold.granted_output_tokens, hold.amount_nano, hold.left_nano)
        assert look.hold.placed_on == hold.placed_on
        short = hold.granted_output_tokens < wish.bound.wanted_output_tokens
        assert (look.decides is not None) == short
        # What each budget would hold is what it holds now.
        for one, (spent, held) in zip(look.budgets, stood, strict=True):
            assert world.counters(one.budget.id) == (spent, held + one.would_hold_nano)
        if pick.random() < 0.7:
            output = pick.randrange(0, 60)
            world.settle(hold, pick.randrange(0, hold.amount_nano + 1), 10 + output, output)
    assert admitted > 5
    assert refused > 5


def test_a_refusal_says_how_every_budget_stands(world: World) -> None:
    wide, tight = budget(1, 10_000), budget(2, 300)
    world.reserve(wide, bounded=bound(250))
    look = world.budgets.look(world.wish(wide, tight, bounded=bound(400)))
    assert [(one.held_nano, one.would_hold_nano) for one in look.budgets] == [(250, -1), (0, -1)]
    assert look.decides == tight


def test_the_tightest_budget_decides_how_much_is_granted(world: World) -> None:
    look = world.budgets.look(
        world.wish(budget(1, 600), budget(2, 400), budget(3, 5, SOFT), bounded=bound(0, 10, 100, 1))
    )
    assert look.hold is not None
    assert look.hold.granted_output_tokens == 40
    assert look.decides == budget(2, 400)


def test_the_limits_of_a_client_are_seen(world: World) -> None:
    limits: dict[str, Any] = {
        "requests_per_minute": 60,
        "tokens_per_minute": 600,
        "concurrent_requests": 9,
    }
    fresh = world.budgets.look(world.wish(**limits))
    assert (fresh.in_flight, fresh.requests_busy_us, fresh.tokens_busy_us) == (0, 0, 0)
    for _ in range(3):
        world.reserve(**limits)
    busy = world.budgets.look(world.wish(**limits))
    assert busy.in_flight == 3
    assert 0 < busy.requests_busy_us <= 3 * MINUTE_US // 60
    assert 0 < busy.tokens_busy_us <= 30 * MINUTE_US // 600


def test_what_is_usually_needed_is_known_after_a_request(world: World) -> None:
    assert world.budgets.look(world.wish()).mean_output_tokens is None
    world.settle(world.reserve(bounded=bound(0, 1, 500)), 40, 50, 40)
    look = world.budgets.look(world.wish())
    assert look.mean_output_tokens == 40
    assert look.deviation_output_tokens is not None


def test_a_look_is_of_the_windows_that_are_open(world: World) -> None:
    """A clock that is wrong by an hour is put right, as for a reserve."""
    world.budgets._clock_ahead_ms = 3 * 3_600_000
    hourly = budget(1, 1_000, window=WindowKind.HOUR)
    look = world.budgets.look(world.wish(hourly))
    assert look.budgets[0].window.contains(world.now_ms())


def test_a_policy_that_is_old_is_told(world: World) -> None:
    world.budgets.publish(world.version + 1)
    with pytest.raises(PolicyStale):
        world.budgets.look(world.wish())


def test_without_counters_nothing_is_told(world: World) -> None:
    world.budgets.suspend("a test")
    with pytest.raises(CountersLost):
        world.budgets.look(world.wish())


def test_a_look_that_knows_more_than_redis_writes_nothing(world: World) -> None:
    world.reserve(budget())
    world.budgets._seen += 100
    before = world.everything()
    with pytest.raises(CountersLost):
        world.budgets.look(replace(world.wish(), request_id="frq_look"))
    assert world.everything() == before
