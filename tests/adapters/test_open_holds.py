from __future__ import annotations

import pytest

from gateway.adapters.open_holds import open_holds
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.redis_keys import RedisKeys
from tests.adapters.redis_world import World, bound, budget


def test_what_is_in_flight_is_told_newest_first(world: World) -> None:
    first = world.reserve(budget(1), budget(2), bounded=bound(700))
    second = world.reserve(model="gpt-4o")
    found = open_holds(world.budgets)
    assert {hold.request_id for hold in found} == {first.request_id, second.request_id}
    assert [hold.held_at for hold in found] == sorted(
        (hold.held_at for hold in found), reverse=True
    )
    (one,) = [hold for hold in found if hold.request_id == first.request_id]
    assert (one.team_id, one.client_id, one.key_id) == (1, 1, 1)
    assert (one.endpoint, one.model, one.amount_nano) == ("chat/completions", "m", 700)
    assert (one.budget_ids, one.is_long) == ((1, 2), False)
    assert one.held_at < one.expires_at


def test_what_has_ended_is_not_in_flight(world: World) -> None:
    settled, released, expired = (world.reserve(budget()) for _ in range(3))
    world.settle(settled, 5)
    world.release(released)
    world.lapse(expired)
    world.expire(expired)
    assert open_holds(world.budgets) == []


def test_long_work_is_told_apart(world: World) -> None:
    hold = world.reserve(budget())
    world.budgets.hand_over(hold.request_id, hold.client_id, 600)
    (found,) = open_holds(world.budgets)
    assert found.is_long
    assert (found.expires_at - found.held_at).total_seconds() > 500


def test_a_lease_without_a_hold_is_passed_over(world: World) -> None:
    hold = world.reserve(budget())
    world.budgets.redis.delete(world.budgets.keys.hold(hold.request_id))
    assert open_holds(world.budgets) == []


def test_redis_away_is_said(free_port: int) -> None:
    client = connect(f"redis://127.0.0.1:{free_port}/0", 0.5)
    with pytest.raises(StoreDown):
        open_holds(RedisBudgets(client, RedisKeys("test"), 60))
