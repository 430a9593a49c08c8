"""Requests and tokens per minute, and requests in flight. Time is moved in the stored state."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import pytest

from gateway.adapters import redis_budgets
from gateway.core.holds import BudgetRefused, Hold, RateRefused
from tests.adapters.redis_world import World, bound, budget

MINUTE_MS = 60_000


def pass_time(world: World, milliseconds: int) -> None:
    """Let the client's allowances refill, as waiting would."""
    name = world.budgets.keys.client(1)
    for field in ("requests_tat", "tokens_tat"):
        if world.budgets.redis.hexists(name, field):
            world.budgets.redis.hincrby(name, field, -milliseconds * 1_000)


def refused(world: World, **limits: int) -> RateRefused:
    before = world.everything()
    with pytest.raises(RateRefused) as raised:
        world.reserve(**limits)
    assert world.everything() == before
    return raised.value


def used(world: World, prompt_and_output: int, limit: int) -> Hold:
    hold = world.reserve(bounded=bound(1), tokens_per_minute=limit)
    world.settle(hold, 1, prompt_and_output, 0)
    return hold


# Requests per minute


@pytest.mark.parametrize("limit", [1, 3, 7, 12])
def test_a_minute_s_requests_at_once_and_no_more(world: World, limit: int) -> None:
    left = [world.reserve(requests_per_minute=limit).rates.requests_left for _ in range(limit)]
    assert left == list(range(limit - 1, -1, -1))
    error = refused(world, requests_per_minute=limit)
    assert (error.limit, error.left) == ("requests", 0)
    assert 0 < error.wait_ms <= MINUTE_MS // limit + 1


def test_requests_come_back_one_by_one(world: World) -> None:
    for _ in range(6):
        world.reserve(requests_per_minute=6)
    wait = refused(world, requests_per_minute=6).wait_ms
    pass_time(world, wait)
    world.reserve(requests_per_minute=6)
    refused(world, requests_per_minute=6)
    pass_time(world, 2 * 10_000)
    for _ in range(2):
        world.reserve(requests_per_minute=6)
    refused(world, requests_per_minute=6)
    # More than a minute's allowance is never saved up.
    pass_time(world, 10 * MINUTE_MS)
    for _ in range(6):
        world.reserve(requests_per_minute=6)
    refused(world, requests_per_minute=6)


def test_a_request_that_is_refused_by_a_budget_uses_no_allowance(world: World) -> None:
    for _ in range(5):
        with pytest.raises(BudgetRefused):
            world.reserve(budget(1, 0), requests_per_minute=1)
    world.reserve(budget(2, 100), requests_per_minute=1)
    with pytest.raises(RateRefused):
        world.reserve(budget(3), requests_per_minute=1)
    assert world.counters(3) == (0, 0)


def test_a_repeated_reserve_uses_no_allowance(world: World) -> None:
    wish = world.wish(requests_per_minute=2, concurrent_requests=2)
    for _ in range(5):
        world.budgets.reserve(wish)
    assert world.reserve(requests_per_minute=2, concurrent_requests=2).rates.requests_left == 0


# Tokens per minute


def test_the_prompt_and_the_floor_are_counted_before(world: World) -> None:
    asked = bound(1, per_token=1, wanted=500, floor=30, choices=2)
    hold = world.reserve(bounded=asked, tokens_per_minute=1_000)
    assert hold.rates.tokens_left == 1_000 - 10 - 60
    assert 0 < hold.rates.tokens_reset_ms <= 70 * 60 + 1


def test_the_expected_need_is_counted_once_it_is_known(world: World) -> None:
    for _ in range(30):
        world.settle(world.reserve(bounded=bound(1)), 1, 110, 100)
    asked = bound(1, per_token=1, wanted=500, floor=30)
    left = world.reserve(bounded=asked, tokens_per_minute=1_000).rates.tokens_left
    assert 1_000 - 10 - 105 <= left <= 1_000 - 10 - 100


def test_a_settle_corrects_the_count_in_both_directions(world: World) -> None:
    hold = used(world, 40, 100)
    # One token comes back in 600 ms.
    assert 50 <= world.reserve(tokens_per_minute=100).rates.tokens_left < 60
    assert world.settle(hold, 1, 40, 0) == "already"
    used(world, 45, 100)
    assert refused(world, tokens_per_minute=100).limit == "tokens"


def test_a_debt_is_paid_by_waiting(world: World) -> None:
    used(world, 5_000, 1_000)
    error = refused(world, tokens_per_minute=1_000)
    assert error.left == 0
    assert 3 * MINUTE_MS < error.wait_ms <= 4 * MINUTE_MS + 1_000
    pass_time(world, error.wait_ms)
    world.reserve(tokens_per_minute=1_000)


def test_a_release_gives_its_tokens_back(world: World) -> None:
    before = world.limits()
    hold = world.reserve(tokens_per_minute=1_000)
    world.release(hold)
    after = world.reserve(tokens_per_minute=1_000)
    assert before == {}
    assert after.rates.tokens_left == hold.rates.tokens_left


def test_unknown_usage_keeps_what_was_counted_before(world: World) -> None:
    hold = world.reserve(tokens_per_minute=1_000)
    before = world.limits()["tokens_tat"]
    world.settle(hold, 1)
    assert world.limits()["tokens_tat"] == before


def test_a_prompt_beyond_the_limit_never_fits(world: World) -> None:
    error = refused(world, tokens_per_minute=9)
    assert (error.limit, error.wait_ms, error.left) == ("tokens", -1, 9)
    world.reserve(tokens_per_minute=10)


def test_a_wait_for_tokens_says_what_is_left(world: World) -> None:
    used(world, 85, 100)
    world.reserve(tokens_per_minute=100)
    error = refused(world, tokens_per_minute=100)
    assert 0 < error.wait_ms <= 3_000
    assert 5 <= error.left < 10


# In flight


def test_requests_in_flight_are_given_back_by_every_end(world: World) -> None:
    def place() -> Hold:
        return world.reserve(concurrent_requests=2)

    first, second = place(), place()
    assert refused(world, concurrent_requests=2).limit == "concurrent"
    world.settle(first, 1)
    world.settle(first, 1)
    third = place()
    refused(world, concurrent_requests=2)
    world.release(second)
    world.release(second)
    fourth = place()
    refused(world, concurrent_requests=2)
    for hold in (third, fourth):
        world.lapse(hold)
        world.expire(hold)
        world.expire(hold)
        world.settle(hold, 1)
    assert world.limits()["inflight"] == 0


def test_limits_are_a_client_s_own(world: World) -> None:
    world.reserve(requests_per_minute=1, concurrent_requests=1)
    refused(world, requests_per_minute=1, concurrent_requests=1)
    world.reserve(requests_per_minute=1, concurrent_requests=1, id=2)
    # A limit of zero is none.
    for _ in range(3):
        world.reserve()


def test_a_client_that_used_up_its_requests_is_known_to_be_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = replace(world.client, requests_per_minute=1)
    world.reserve(requests_per_minute=1)
    assert world.budgets.still_refused(client) is None
    with pytest.raises(RateRefused) as raised:
        world.reserve(requests_per_minute=1)
    known = world.budgets.still_refused(client)
    assert known is not None
    assert (known.limit, known.left) == ("requests", 0)
    assert 0 < known.wait_ms <= raised.value.wait_ms
    # Not for another client, nor once the limit is another.
    assert world.budgets.still_refused(replace(client, id=2)) is None
    assert world.budgets.still_refused(replace(client, requests_per_minute=2)) is None
    later = monotonic() + raised.value.wait_ms / 1000
    monkeypatch.setattr(redis_budgets, "monotonic", lambda: later)
    assert world.budgets.still_refused(client) is None
