"""Settles that come when Redis may have forgotten that they were made."""

from __future__ import annotations

from dataclasses import replace

from tests.adapters.redis_world import RESULT, World, budget

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
