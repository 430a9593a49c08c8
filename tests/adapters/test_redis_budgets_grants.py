"""How many output tokens the reserve script grants, at the exact edges of budgets."""

from __future__ import annotations

import math
import threading

import pytest
import redis

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.bounds import Bound
from gateway.core.budgets import Enforcement
from gateway.core.holds import BudgetRefused, Hold, Refused
from gateway.core.money import LIMIT_NANO_MAX
from tests.adapters.redis_world import World, bound, budget

EXPECTED, SOFT = Enforcement.EXPECTED, Enforcement.SOFT


@pytest.mark.parametrize(
    ("limit", "granted"),
    [
        # 100 fixed, 3 a token and 2 choices: 6 a token of the grant
        (100 + 6 * 50, 50),
        (100 + 6 * 50 + 1_000, 50),
        (100 + 6 * 50 - 1, 49),
        (100 + 6 * 49, 49),
        (100 + 6 * 10, 10),
        (100 + 6 * 10 + 5, 10),
        (100 + 6 * 10 - 1, None),
        (100, None),
        (99, None),
        (0, None),
    ],
)
def test_as_many_tokens_as_the_budget_affords(
    world: World, limit: int, granted: int | None
) -> None:
    asked = bound(100, per_token=3, wanted=50, floor=10, choices=2)
    if granted is None:
        with pytest.raises(BudgetRefused) as refused:
            world.reserve(budget(1, limit), bounded=asked)
        assert refused.value.affordable_output_tokens == max((limit - 100) // 6, 0)
        assert world.counters() == (0, 0)
        return
    hold = world.reserve(budget(1, limit), bounded=asked)
    assert (hold.granted_output_tokens, hold.amount_nano) == (granted, 100 + 6 * granted)
    assert hold.left_nano == limit - hold.amount_nano
    assert world.counters() == (0, hold.amount_nano)


def test_what_is_spent_and_held_takes_room(world: World) -> None:
    tight = budget(1, 1_000)
    asked = bound(0, per_token=10, wanted=60, floor=1)
    first = world.reserve(tight, bounded=asked)
    assert world.reserve(tight, bounded=asked).granted_output_tokens == 40
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(tight, bounded=asked)
    assert (refused.value.spent_nano, refused.value.held_nano) == (0, 1_000)
    world.settle(first, 595)
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(tight, bounded=asked)
    assert (refused.value.spent_nano, refused.value.held_nano) == (595, 400)


def test_the_tightest_budget_decides_and_is_named(world: World) -> None:
    asked = bound(0, per_token=10, wanted=100, floor=20)
    wide, narrow, middle = budget(1, 10_000), budget(2, 300), budget(3, 600)
    hold = world.reserve(wide, narrow, middle, bounded=asked)
    assert hold.granted_output_tokens == 30
    assert hold.left_nano == 0
    assert [world.counters(number) for number in (1, 2, 3)] == [(0, 300)] * 3
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(wide, narrow, middle, bounded=asked)
    assert refused.value.budget is narrow


@pytest.mark.parametrize("per_token", [0, 7])
def test_a_request_without_output_is_all_or_nothing(world: World, per_token: int) -> None:
    asked = bound(100, per_token=per_token)
    assert world.reserve(budget(1, 100), bounded=asked).granted_output_tokens == 0
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(budget(2, 99), bounded=asked)
    assert refused.value.affordable_output_tokens == 0


def test_output_that_costs_nothing_is_granted_whole(world: World) -> None:
    asked = bound(100, per_token=0, wanted=500, floor=10)
    assert world.reserve(budget(1, 100), bounded=asked).granted_output_tokens == 500


def test_a_free_request_passes_an_exhausted_and_an_overdrawn_budget(world: World) -> None:
    nothing = budget(1, 0)
    assert world.reserve(nothing, bounded=bound(0)).left_nano == 0
    dear = world.reserve(budget(2, 100), bounded=bound(100))
    world.settle(dear, 150)
    with pytest.raises(BudgetRefused):
        world.reserve(budget(2, 100), bounded=bound(0))


def test_an_overrun_is_charged_in_full(world: World) -> None:
    tight = budget(1, 100)
    hold = world.reserve(tight)
    resolution = world.budgets.settle(hold, 150, 5, 5, b'{"status":200}')
    assert resolution.left_nano == 0
    assert world.counters() == (150, 0)


@pytest.mark.parametrize("limit", [LIMIT_NANO_MAX, LIMIT_NANO_MAX - 1, 2**52 + 1])
def test_amounts_at_the_end_of_exact_numbers(world: World, limit: int) -> None:
    whole = world.reserve(budget(1, limit), bounded=bound(limit))
    assert (whole.amount_nano, whole.left_nano) == (limit, 0)
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(budget(1, limit), bounded=bound(1))
    assert refused.value.held_nano == limit
    world.settle(whole, limit - 1)
    assert world.counters() == (limit - 1, 0)
    assert world.costs()[0][3] == limit - 1
    assert world.reserve(budget(1, limit), bounded=bound(1)).left_nano == 0
    with pytest.raises(BudgetRefused):
        world.reserve(budget(1, limit), bounded=bound(1))


@pytest.mark.parametrize("per_token", [3, 7, 9_999_991, 600_000])
def test_division_never_rounds_a_token_into_a_budget(world: World, per_token: int) -> None:
    tokens = 10_000_000 if per_token < 900_000_000 else 1
    for number, short in enumerate((0, 1, per_token - 1, per_token), 1):
        limit = per_token * tokens - short
        asked = bound(0, per_token=per_token, wanted=tokens, floor=1)
        hold = world.reserve(budget(number, limit), bounded=asked)
        assert hold.granted_output_tokens == limit // per_token


# Soft budgets


def test_a_soft_budget_counts_and_never_refuses(world: World) -> None:
    soft = budget(1, 100, SOFT)
    asked = bound(50, per_token=1, wanted=100, floor=100)
    holds = [world.reserve(soft, bounded=asked) for _ in range(3)]
    assert {hold.left_nano for hold in holds} == {-1}
    assert {hold.granted_output_tokens for hold in holds} == {100}
    assert world.counters() == (0, 450)
    resolution = world.budgets.settle(holds[0], 120, 5, 5, b'{"status":200}')
    assert resolution.left_nano == -1
    assert world.counters() == (120, 300)


def test_a_soft_budget_beside_a_strict_one(world: World) -> None:
    soft, strict = budget(1, 10, SOFT), budget(2, 200)
    hold = world.reserve(soft, strict, bounded=bound(0, per_token=1, wanted=150, floor=10))
    assert hold.left_nano == 50
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(soft, strict, bounded=bound(0, per_token=1, wanted=150, floor=100))
    assert refused.value.budget is strict


# Expected need


def learned(world: World, model: str = "m") -> tuple[int, int]:
    found = world.budgets.redis.hmget(world.budgets.keys.need(1, model), "mean", "deviation")
    return int(found[0]), int(found[1])


def teach(world: World, *outputs: int) -> None:
    for output in outputs:
        world.settle(world.reserve(bounded=bound(1)), 1, output, output)


def test_learning_follows_rfc_6298(world: World) -> None:
    outputs = [100, 100, 60, 400, 0, 90]
    teach(world, *outputs)
    mean, deviation = outputs[0] * 1_000.0, outputs[0] * 500.0
    for output in outputs[1:]:
        miss = output * 1_000 - mean
        deviation += (abs(miss) - deviation) / 4
        mean += miss / 8
    found = learned(world)
    assert found == pytest.approx((mean, deviation), abs=len(outputs))


def test_without_experience_the_worst_case_is_held(world: World) -> None:
    asked = bound(10, per_token=1, wanted=1_000, floor=10)
    assert world.reserve(budget(1, 5_000, EXPECTED), bounded=asked).amount_nano == 1_010
    assert world.counters() == (0, 1_010)


def test_with_experience_the_expected_need_is_held(world: World) -> None:
    teach(world, *[100] * 40)
    mean, deviation = learned(world)
    need = math.ceil((mean + 4 * deviation) / 1_000)
    assert 100 <= need < 110
    asked = bound(10, per_token=2, wanted=1_000, floor=10)
    small = budget(1, 3 * (10 + 2 * need), EXPECTED)
    strict = budget(2, 100_000)
    holds = [world.reserve(small, strict, bounded=asked) for _ in range(3)]
    # The grant and the hold of a strict budget stay the worst case.
    assert {hold.granted_output_tokens for hold in holds} == {1_000}
    assert world.counters(1) == (0, 3 * (10 + 2 * need))
    assert world.counters(2) == (0, 3 * 2_010)
    with pytest.raises(BudgetRefused):
        world.reserve(small, strict, bounded=asked)
    world.settle(holds[0], 150)
    assert world.counters(1) == (150, 2 * (10 + 2 * need))
    # An expired hold is charged at its worst case to every budget.
    world.lapse(holds[1])
    world.expire(holds[1])
    assert world.counters(1) == (150 + 2_010, 10 + 2 * need)
    assert world.counters(2) == (150 + 2_010, 2_010)


def test_the_expected_need_never_exceeds_the_worst_case(world: World) -> None:
    teach(world, 5_000)
    asked = bound(10, per_token=1, wanted=20, floor=10)
    assert world.reserve(budget(1, 30, EXPECTED), bounded=asked).amount_nano == 30
    assert world.counters() == (0, 30)


def test_where_the_expected_need_does_not_fit_the_worst_case_is_shortened(world: World) -> None:
    teach(world, *[100] * 40)
    asked = bound(0, per_token=1, wanted=1_000, floor=10)
    hold = world.reserve(budget(1, 60, EXPECTED), bounded=asked)
    assert (hold.granted_output_tokens, hold.amount_nano) == (60, 60)
    assert world.counters() == (0, 60)


def test_experience_is_of_one_client_and_one_model(world: World) -> None:
    teach(world, *[10] * 20)
    limited = budget(1, 10_000, EXPECTED)
    asked = bound(0, per_token=1, wanted=1_000, floor=10)
    world.reserve(limited, bounded=asked, model="other")
    assert world.counters() == (0, 1_000)
    world.reserve(limited, bounded=asked, id=2)
    assert world.counters() == (0, 2_000)
    world.reserve(limited, bounded=asked)
    assert world.counters()[1] < 2_100


def test_what_is_not_known_teaches_nothing(world: World) -> None:
    world.settle(world.reserve(), 1)
    assert not world.budgets.redis.exists(world.budgets.keys.need(1, "m"))
    teach(world, 50)
    before = learned(world)
    world.settle(world.reserve(), 1)
    world.release(world.reserve())
    assert learned(world) == before


def test_a_bound_knows_its_own_least(world: World) -> None:
    asked: Bound = bound(100, per_token=3, wanted=50, floor=10, choices=2)
    hold = world.reserve(budget(1, asked.least_nano), bounded=asked)
    assert hold.amount_nano == asked.least_nano


# Many at once


def test_a_hundred_threads_never_overspend_one_budget(world: World) -> None:
    """A budget for exactly 60 requests, asked for by 100 at once, four times over."""
    admitted: list[Hold] = []
    refused: list[Refused] = []
    start = threading.Barrier(100)
    shared = budget(1, 6_000), budget(2, 1_000_000)

    def ask(number: int) -> None:
        with redis.Redis.from_url(world.url) as client:
            mine = RedisBudgets(client, world.budgets.keys, 60)
            wishes = [world.wish(*shared, request_id=f"frq_{number}_{n}") for n in range(4)]
            start.wait()
            for wish in wishes:
                try:
                    admitted.append(mine.reserve(wish))
                except BudgetRefused as error:
                    refused.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (60, 340)
    assert world.counters() == (0, 6_000)
    assert world.counters(2) == (0, 6_000)
    for hold in admitted[:10]:
        world.release(hold)
    assert world.reserve(*shared).left_nano == 900


@pytest.mark.parametrize("name", ["expected", "soft"])
def test_budgets_that_may_be_passed_count_how_often_they_were(world: World, name: str) -> None:
    lenient = budget(1, 100, Enforcement(name))
    for _ in range(2):
        hold = world.reserve(lenient, bounded=bound(0))
        world.settle(hold, 60)
    passed = world.budgets.redis.hget(world.budgets.keys.budget(1, 0), "passed")
    assert passed == b"1"
