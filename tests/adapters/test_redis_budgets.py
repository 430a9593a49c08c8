from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.redis_budgets import (
    HoldMismatch,
    RedisBudgets,
    StoreDown,
    connect,
)
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_replies import CountersLost
from gateway.core.budgets import WindowKind, window_at
from gateway.core.holds import BudgetRefused, Hold, HoldClosed, PolicyStale
from tests.adapters.redis_world import RESULT, World, bound, budget
from tests.processes import find_free_port

STRICT = budget(1, 1_000)

# One hold from its beginning to its end


def test_a_hold_is_placed_settled_and_recorded(world: World) -> None:
    hold = world.reserve(STRICT, bounded=bound(100, per_token=2, wanted=50, floor=10))
    assert (hold.granted_output_tokens, hold.amount_nano, hold.left_nano) == (50, 200, 800)
    assert world.counters() == (0, 200)
    resolution = world.budgets.settle(hold, 130, 25, 15, RESULT)
    assert (resolution.outcome, resolution.left_nano, resolution.amount_nano) == (
        "settled",
        870,
        200,
    )
    assert world.counters() == (130, 0)
    assert world.costs() == [(hold.request_id, "request", "settled", 130)]
    (event,) = world.events()
    assert (event.row["hold_nano"], event.row["budget_windows"]) == (200, "1:0:200:1000:strict")
    assert world.limits()["inflight"] == 0


def test_a_settle_counts_once(world: World) -> None:
    hold = world.reserve(STRICT)
    assert [world.settle(hold, 60), world.settle(hold, 60)] == ["settled", "already"]
    assert world.release(hold) == "already"
    assert not world.expire(hold)
    assert world.counters() == (60, 0)
    assert len(world.costs()) == 1


def test_a_release_counts_once_and_charges_nothing(world: World) -> None:
    hold = world.reserve(STRICT)
    assert [world.release(hold), world.release(hold)] == ["released", "already"]
    assert world.settle(hold, 60) == "already"
    assert world.counters() == (0, 0)
    assert world.costs() == [(hold.request_id, "request", "released", 0)]


def test_a_repeated_reserve_is_answered_as_it_was(world: World) -> None:
    wish = world.wish(STRICT, bounded=bound(100, per_token=2, wanted=50))
    first, second = world.budgets.reserve(wish), world.budgets.reserve(wish)
    assert (first.granted_output_tokens, first.amount_nano) == (50, 200)
    assert (second.granted_output_tokens, second.amount_nano) == (50, 200)
    assert second.budget_windows == first.budget_windows
    assert world.counters() == (0, 200)
    assert world.limits()["inflight"] == 1


def test_a_repeated_reserve_is_answered_even_under_a_new_policy(world: World) -> None:
    wish = world.wish(STRICT)
    world.budgets.reserve(wish)
    world.budgets.publish(2)
    assert world.budgets.reserve(wish).amount_nano == 100


@pytest.mark.parametrize("end", ["settle", "release", "correct"])
def test_a_reserve_that_arrives_after_the_end_places_nothing(world: World, end: str) -> None:
    wish = world.wish(STRICT)
    hold = world.budgets.reserve(wish)
    if end == "correct":
        world.lapse(hold)
        assert world.expire(hold)
    if end == "release":
        world.release(hold)
    else:
        world.settle(hold, 60)
    before = world.everything()
    with pytest.raises(HoldClosed):
        world.budgets.reserve(wish)
    assert world.everything() == before


def test_a_release_before_its_reserve_closes_the_id(world: World) -> None:
    wish = world.wish(STRICT)
    world.budgets.release_unsure(wish)
    with pytest.raises(HoldClosed):
        world.budgets.reserve(wish)
    assert world.counters() == (0, 0)
    assert world.costs() == []
    key = world.budgets.keys.hold(wish.request_id)
    assert 0 < world.budgets.redis.pttl(key) <= 26 * 3_600_000


def test_a_release_that_is_unsure_finds_the_hold(world: World) -> None:
    wish = world.wish(STRICT, budget(2, 5_000))
    world.budgets.reserve(wish)
    world.budgets.release_unsure(wish)
    world.budgets.release_unsure(wish)
    assert world.counters(1) == world.counters(2) == (0, 0)
    assert world.limits()["inflight"] == 0
    assert len(world.costs()) == 1


def test_a_reserve_may_arrive_while_its_release_looks_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = world.wish(STRICT)
    really_find = RedisBudgets.find

    def find(budgets: RedisBudgets, request_id: str) -> Hold | None:
        found = really_find(budgets, request_id)
        if found is None:
            budgets.reserve(wish)
        return found

    monkeypatch.setattr(RedisBudgets, "find", find)
    world.budgets.release_unsure(wish)
    assert world.counters() == (0, 0)
    assert world.limits()["inflight"] == 0


def test_other_budgets_than_those_of_the_hold_change_nothing(world: World) -> None:
    hold = world.reserve(STRICT, budget(2))
    before = world.everything()
    for windows in ((), ((1, 0),), ((2, 0), (1, 0)), ((1, 0), (2, 7)), ((11, 0), (2, 0))):
        wrong = replace(hold, budget_windows=windows)
        with pytest.raises(HoldMismatch):
            world.settle(wrong, 5)
        with pytest.raises(HoldMismatch):
            world.release(wrong)
    assert world.everything() == before
    assert world.settle(hold, 5) == "settled"


# Expiry and corrections


def test_a_hold_expires_after_its_lease_and_not_before(world: World) -> None:
    hold = world.reserve(STRICT)
    assert world.budgets.lapsed() == []
    assert not world.expire(hold)
    assert world.counters() == (0, 100)
    world.lapse(hold)
    assert world.budgets.lapsed() == [hold.request_id]
    assert world.expire(hold)
    assert not world.expire(hold)
    assert world.counters() == (100, 0)
    assert world.limits()["inflight"] == 0
    (event,) = world.events()
    assert (event.row["outcome"], event.row["certainty"]) == ("expired", "unknown")


@pytest.mark.parametrize(("cost", "difference"), [(30, -70), (100, 0), (130, 30), (0, -100)])
def test_a_late_settle_posts_the_difference_once(world: World, cost: int, difference: int) -> None:
    hold = world.reserve(STRICT)
    world.lapse(hold)
    world.expire(hold)
    resolution = world.budgets.settle(hold, cost, 5, 5, RESULT)
    assert (resolution.outcome, resolution.amount_nano) == ("corrected", difference)
    assert world.settle(hold, cost) == "already"
    assert world.release(hold) == "already"
    assert world.counters() == (cost, 0)
    assert world.costs() == [
        (hold.request_id, "request", "expired", 100),
        (hold.request_id, "correction", "settled", difference),
    ]
    assert world.limits()["inflight"] == 0


def test_a_late_release_takes_the_charge_back_once(world: World) -> None:
    hold = world.reserve(STRICT)
    world.lapse(hold)
    world.expire(hold)
    assert [world.release(hold), world.release(hold)] == ["released", "already"]
    assert world.settle(hold, 5) == "already"
    assert world.counters() == (0, 0)
    assert [cost for *_, cost in world.costs()] == [100, -100]


def test_a_renewed_lease_lasts_and_is_never_shortened(world: World) -> None:
    hold = world.reserve(STRICT)
    world.lapse(hold)
    assert world.budgets.renew([hold.request_id, "frq_unknown"]) == 1
    assert world.budgets.lapsed() == []
    assert not world.expire(hold)
    name = world.budgets.keys.holds
    far = world.now_ms() + 10_000_000
    world.budgets.redis.zadd(name, {hold.request_id: far})
    world.budgets.renew([hold.request_id])
    assert world.budgets.redis.zscore(name, hold.request_id) == far
    assert world.budgets.redis.zscore(name, "frq_unknown") is None
    assert world.budgets.renew([]) == 0


def test_holds_are_found_until_their_end(world: World) -> None:
    wish = world.wish(STRICT, budget(2), bounded=bound(10, 1, 5), model="gpt")
    placed = world.budgets.reserve(wish)
    found = world.budgets.find(wish.request_id)
    assert found == replace(placed, left_nano=-1)
    assert found.model == "gpt"
    world.settle(placed, 3)
    assert world.budgets.find(wish.request_id) is None
    assert world.budgets.find("frq_never") is None


# What is refused leaves no trace


def test_all_budgets_or_none(world: World) -> None:
    many = [budget(number, 1_000) for number in range(1, 31)]
    poor = budget(31, 99)
    before = world.everything()
    with pytest.raises(BudgetRefused) as refused:
        world.reserve(*many, poor)
    assert refused.value.budget is poor
    assert world.everything() == before
    hold = world.reserve(*many)
    assert {world.counters(number) for number in range(1, 31)} == {(0, 100)}
    world.settle(hold, 40)
    assert {world.counters(number) for number in range(1, 31)} == {(40, 0)}


def test_a_stale_policy_is_refused_without_a_trace(world: World) -> None:
    world.budgets.publish(3)
    before = world.everything()
    for version in (1, 2, 4):
        world.version = version
        with pytest.raises(PolicyStale) as stale:
            world.reserve(STRICT)
        assert stale.value.version == 3
    assert world.everything() == before


def test_versions_only_rise(world: World) -> None:
    assert [world.budgets.publish(v) for v in (5, 3, 5, 6)] == [5, 5, 5, 6]
    assert world.budgets.announce(7) == 7
    assert world.budgets.policy_version() == 7


def test_an_empty_redis_admits_nothing_and_is_not_opened_by_a_policy_change(world: World) -> None:
    world.budgets.redis.flushall()
    with pytest.raises(CountersLost):
        world.reserve(STRICT)
    assert world.budgets.announce(9) == 0
    assert world.budgets.policy_version() is None
    with pytest.raises(CountersLost):
        world.reserve(STRICT)
    assert world.everything() == {}


def test_redis_gone_is_said_so() -> None:
    url = f"redis://127.0.0.1:{find_free_port()}"
    budgets = RedisBudgets(connect(url, 0.5), RedisKeys("test"), 60)
    gone = World(url, budgets)
    hold = Hold("frq_1", 1, "m", (), 0, 0, 0, -1, None)  # type: ignore[arg-type]
    for call in (
        lambda: gone.reserve(STRICT),
        lambda: gone.settle(hold, 1),
        lambda: gone.release(hold),
        lambda: budgets.release_unsure(gone.wish()),
        lambda: gone.expire(hold),
        lambda: budgets.renew(["frq_1"]),
        budgets.lapsed,
        lambda: budgets.forget("frq_1"),
        lambda: budgets.publish(1),
        budgets.policy_version,
        budgets.events_waiting,
    ):
        with pytest.raises(StoreDown):
            call()


def test_scripts_are_loaded_again_where_the_server_lost_them(world: World) -> None:
    world.budgets.redis.script_flush()
    hold = world.reserve(STRICT)
    world.budgets.redis.script_flush()
    assert world.settle(hold, 1) == "settled"


# Windows by the server's clock


def test_a_window_is_the_server_s_whatever_our_clock_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hourly = budget(1, 1_000, window=WindowKind.HOUR)
    for skew_ms in (7_200_000, -7_200_000, 90_000_000_000):
        shifted = (world.now_ms() + skew_ms) * 1_000_000
        monkeypatch.setattr("gateway.adapters.redis_budgets.time_ns", lambda at=shifted: at)
        hold = world.reserve(hourly)
        ((_, start_ms),) = hold.budget_windows
        assert window_at(WindowKind.HOUR, "UTC", start_ms).contains(hold.reserved_at_ms)
        world.settle(hold, 1)


def test_a_window_has_its_own_counters_and_they_end(world: World) -> None:
    daily, total = budget(1, 1_000, window=WindowKind.DAY), budget(2, 1_000)
    hold = world.reserve(daily, total)
    (_, start), (_, zero) = hold.budget_windows
    assert zero == 0
    day = window_at(WindowKind.DAY, "UTC", hold.reserved_at_ms)
    keys = world.budgets.keys
    assert world.budgets.redis.pexpiretime(keys.budget(1, start)) == day.end_ms + 40 * 86_400_000
    assert world.budgets.redis.pttl(keys.budget(2, 0)) == -1
    # What an earlier window holds does not count.
    world.budgets.redis.hset(keys.budget(1, start - 86_400_000), "spent", 1_000)
    assert world.reserve(daily).left_nano == 800


def test_a_hold_is_settled_in_the_window_of_its_reserve(world: World) -> None:
    daily = budget(1, 1_000, window=WindowKind.DAY)
    hold = world.reserve(daily)
    ((_, start),) = hold.budget_windows
    # Midnight passes: another process has moved on to the next window.
    later = replace(hold)
    world.settle(later, 70)
    assert world.counters(1, start) == (70, 0)


# Every key on one node


def test_all_keys_share_one_hash_tag(world: World) -> None:
    hold = world.reserve(budget(1, window=WindowKind.DAY), requests_per_minute=5)
    world.settle(hold, 1, 5, 5)
    lapsed = world.reserve(STRICT)
    world.lapse(lapsed)
    world.expire(lapsed)
    names = set(world.budgets.redis.scan_iter())
    assert len(names) >= 7
    assert all(name.startswith(b"{test}:") for name in names)


def settled_as(world: World, hold: Hold, cost: int, charged_nano: int) -> str:
    """As by a caller that has asked SQL."""
    budgets = world.budgets
    return budgets.settle(hold, cost, 5, 5, RESULT, charged_nano=charged_nano).outcome


def test_a_hold_of_another_epoch_that_redis_lost_is_charged_once_sql_was_asked(
    world: World,
) -> None:
    hold = world.reserve(STRICT, budget(2, 5_000))
    world.budgets.redis.flushall()
    world.budgets.publish(1)
    before = world.everything()
    assert [world.settle(hold, 70), world.settle(hold, 70)] == ["late", "late"]
    assert world.everything() == before
    assert [settled_as(world, hold, 70, -1) for _ in "ab"] == ["unheld", "already"]
    assert world.counters(1) == world.counters(2) == (70, 0)
    assert world.costs() == [(hold.request_id, "request", "settled", 70)]
    assert world.limits().get("inflight", 0) == 0


def test_a_lost_hold_that_had_expired_is_corrected(world: World) -> None:
    hold, other = world.reserve(STRICT), world.reserve(STRICT)
    world.budgets.redis.flushall()
    world.budgets.publish(1)
    assert [settled_as(world, hold, 30, 100) for _ in "ab"] == ["corrected", "already"]
    released = [world.budgets.release(other, RESULT, charged_nano=c).outcome for c in (None, 100)]
    assert released == ["late", "released"]
    assert world.release(other) == "already"
    assert world.counters() == (-170, 0), "what it had been charged is in SQL, and set from there"
    assert world.costs() == [
        (hold.request_id, "correction", "settled", -70),
        (other.request_id, "correction", "released", -100),
    ]


def test_a_lost_hold_is_released_with_a_record(world: World) -> None:
    hold = world.reserve(STRICT)
    world.budgets.redis.flushall()
    world.budgets.publish(1)
    assert world.budgets.release(hold, RESULT, charged_nano=-1).outcome == "released"
    assert world.costs() == [(hold.request_id, "request", "released", 0)]
    assert world.counters() == (0, 0)


def test_a_settle_is_charged_and_recorded_although_redis_lost_its_hold(world: World) -> None:
    hold = world.reserve(STRICT)
    world.budgets.redis.delete(world.budgets.keys.hold(hold.request_id))
    world.budgets.redis.delete(world.budgets.keys.budget(1, 0))
    assert [world.settle(hold, 60), world.settle(hold, 60)] == ["unheld", "already"]
    assert world.counters() == (60, 0)
    assert world.costs() == [(hold.request_id, "request", "settled", 60)]
    (event,) = world.events()
    assert (event.row["hold_nano"], event.row["model"]) == (100, "m")
