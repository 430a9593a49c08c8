"""Settles that come when Redis may have forgotten that they were made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.holds import Resolution
from tests.adapters.redis_world import RESULT, World, bound, budget

STRICT = budget(1, 1_000)

HOUR_MS = 3_600_000


def test_a_hold_that_ended_is_remembered_for_longer_than_it_can_be_charged(world: World) -> None:
    settled, released, expired = (world.reserve(STRICT) for _ in range(3))
    world.settle(settled, 1)
    world.release(released)
    world.lapse(expired)
    world.expire(expired)
    for hold in (settled, released, expired):
        left_ms = world.budgets.redis.pttl(world.budgets.keys.hold(hold.request_id))
        assert 25 * HOUR_MS < left_ms <= 26 * HOUR_MS


def test_a_settle_that_may_be_a_repetition_waits_for_what_sql_says(world: World) -> None:
    hold = world.reserve(STRICT)
    world.settle(hold, 60)
    # The end is forgotten: 26 hours have passed.
    world.budgets.redis.delete(world.budgets.keys.hold(hold.request_id))
    long_ago = replace(hold, reserved_at_ms=hold.reserved_at_ms - 26 * HOUR_MS)
    before = world.everything()
    assert [world.settle(long_ago, 60), world.settle(long_ago, 60)] == ["late", "late"]
    assert world.everything() == before
    recent = replace(hold, reserved_at_ms=hold.reserved_at_ms - 24 * HOUR_MS)
    assert world.settle(recent, 60) == "unheld"


def test_long_lived_work_is_charged_whenever_it_ends(world: World) -> None:
    hold = world.reserve(STRICT)
    world.budgets.redis.delete(world.budgets.keys.hold(hold.request_id))
    long_ago = replace(hold, reserved_at_ms=hold.reserved_at_ms - 26 * 24 * HOUR_MS)
    resolution = world.budgets.settle(long_ago, 60, 5, 5, RESULT, charged_nano=-1)
    assert resolution.outcome == "unheld"
    assert world.counters()[0] == 60


def test_an_old_hold_that_is_there_is_settled(world: World) -> None:
    hold = world.reserve(STRICT)
    old = replace(hold, reserved_at_ms=hold.reserved_at_ms - 26 * 24 * HOUR_MS)
    assert world.settle(old, 60) == "settled"


@pytest.mark.parametrize("end", ["settle", "release"])
def test_a_hold_that_expired_in_an_earlier_epoch_is_corrected_once(world: World, end: str) -> None:
    """Redis may have come back as it was before the correction, which SQL has."""
    hold = world.reserve(STRICT)
    world.lapse(hold)
    assert world.expire(hold)
    spent, _ = world.counters()
    world.budgets.redis.hincrby(world.budgets.keys.state, "epoch", 1)

    def again(known: int | None) -> Resolution:
        if end == "settle":
            return world.budgets.settle(hold, 60, 5, 5, RESULT, charged_nano=known)
        return world.budgets.release(hold, RESULT, charged_nano=known)

    assert again(None).outcome == "late"
    assert world.counters() == (spent, 0)
    # SQL has it as expired, and not as corrected.
    assert again(spent).outcome == ("corrected" if end == "settle" else "released")
    assert world.counters() == (60 if end == "settle" else 0, 0)
    assert again(None).outcome == "already"


def test_what_was_drawn_in_an_earlier_epoch_is_parted_once_sql_has_no_end_of_it(
    world: World,
) -> None:
    allowance = world.reserve(STRICT, bounded=bound(500))
    world.budgets.hand_over(allowance.request_id, 1, 100)
    drawn = replace(
        allowance,
        request_id="frq_drawn",
        amount_nano=200,
        placed_on="1:0:200:1000:strict",
        drawn_from=allowance.request_id,
    )
    world.budgets.redis.hincrby(world.budgets.keys.state, "epoch", 1)
    before = world.everything()
    assert not world.budgets.part(drawn)
    assert world.settle(drawn, 60) == "late"
    assert world.everything() == before
    assert world.budgets.part(drawn, asked=True)
    assert world.budgets.part(drawn)
    assert world.settle(drawn, 60) == "settled"
    assert world.counters() == (60, 300)
