"""Roll calls that come late, twice, or are interrupted: nothing is lost, or counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine

from gateway.adapters import roll_call as roll_call_module
from gateway.adapters.redis_budgets import HoldMismatch, StoreDown
from tests.adapters.called import Deployment
from tests.adapters.redis_world import RESULT, World


@pytest.fixture
def deployment(world: World, engine: Engine, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(world, engine, tmp_path)
    yield made
    made.one.stop()
    made.two.stop()


def test_what_redis_lost_before_a_long_outage_is_brought_all_the_same(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last seconds before it went away are what it may lack, however long it was away."""
    d = deployment
    image = d.image()
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    later = monotonic() + 3600
    monkeypatch.setattr(roll_call_module, "monotonic", lambda: later)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    assert d.recorded(settled.request_id) == [("request", 60)]


def test_what_redis_has_kept_for_long_enough_is_forgotten(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    d.one.roll_call.answer()
    d.one.keeper.release(d.one.keeper.reserve(d.world.wish(d.budget)), RESULT)
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1
    later = monotonic() + roll_call_module.DURABLE_SECONDS
    monkeypatch.setattr(roll_call_module, "monotonic", lambda: later)
    d.world.budgets.suspend("a test")
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1
    d.rebuild()
    d.one.roll_call.answer()
    assert len(d.one.keeper.recent_endings()) == 1, "an epoch that has just begun proves nothing"
    d.one.roll_call.answer()
    assert d.one.keeper.recent_endings() == []


def test_an_ending_whose_reply_was_lost_is_brought_again_too(deployment: Deployment) -> None:
    d = deployment
    image = d.image()
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.budgets.settle(hold, 60, 5, 5, RESULT)
    d.one.keeper.settle(hold, 60, 5, 5, RESULT)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (60, 0)
    assert d.recorded(hold.request_id) == [("request", 60)]


def test_a_worker_that_missed_a_second_loss_presents_in_the_new_epoch(
    deployment: Deployment,
) -> None:
    """It had presented for the first, and hung while the roll was called for the second."""
    d = deployment
    running = d.one.keeper.reserve(d.world.wish(d.budget))
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.go_back_to({})
    d.rebuild()
    assert d.counters() == (0, 0)
    d.one.roll_call.answer()
    assert d.counters() == (60, 100)
    d.one.keeper.settle(running, 30, 5, 5, RESULT)
    assert d.counters() == (90, 0)
    for request_id, cost in ((running.request_id, 30), (settled.request_id, 60)):
        assert d.recorded(request_id) == [("request", cost)]


def test_a_correction_that_an_older_redis_lacks_is_made_again(deployment: Deployment) -> None:
    """SQL has the hold as expired, and Redis has gone back to when it was open."""
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    image = d.image()
    d.world.lapse(hold)
    assert d.world.expire(hold)
    d.drain()
    d.one.keeper.settle(hold, 30, 5, 5, RESULT)
    d.go_back_to(image)
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (30, 0)
    assert d.recorded(hold.request_id) == [("request", 100), ("correction", -70)]


def test_a_hold_whose_end_waits_for_sql_is_held_until_then(deployment: Deployment) -> None:
    d = deployment
    hold = d.one.keeper.reserve(d.world.wish(d.budget))
    gevent.killall(d.one.tasks)
    d.go_back_to({})
    assert d.one.keeper.settle(hold, 30, 5, 5, RESULT) is None
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (0, 100)
    d.one.tasks.append(gevent.spawn(d.one.keeper.resolve_backlog))
    assert d.one.keeper.drain(10)
    assert d.counters() == (30, 0)
    assert d.recorded(hold.request_id) == [("request", 30)]


def test_a_hold_that_is_settled_while_the_roll_is_called_is_not_placed_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    hold, other = (d.one.keeper.reserve(d.world.wish(d.budget)) for _ in "ab")
    ask = d.one.keeper.ask

    def settle_meanwhile(request_ids: Any) -> Any:
        known = ask(request_ids)
        monkeypatch.setattr(d.one.keeper, "ask", ask)
        d.one.keeper.settle(hold, 30, 5, 5, RESULT)
        assert d.one.keeper.drain(10)
        return known

    monkeypatch.setattr(d.one.keeper, "ask", settle_meanwhile)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.rebuild()
    assert d.counters() == (30, 100)
    d.one.keeper.settle(other, 10, 5, 5, RESULT)
    assert d.counters() == (40, 0)
    assert d.recorded(hold.request_id) == [("request", 30)]


def test_one_ending_that_cannot_be_brought_does_not_keep_its_worker_out(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = deployment
    bad, good = (d.one.keeper.reserve(d.world.wish(d.budget)) for _ in "ab")
    for hold in (bad, good):
        d.one.keeper.settle(hold, 60, 5, 5, RESULT)
    settle = d.one.budgets.settle

    def mismatched(hold: Any, *args: Any, **named: Any) -> Any:
        if hold == bad:
            raise HoldMismatch("a bug")
        return settle(hold, *args, **named)

    monkeypatch.setattr(d.one.budgets, "settle", mismatched)
    d.go_back_to({})
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (60, 0)
    assert d.one.budgets.epoch == d.world.budgets.state().epoch


@pytest.mark.parametrize("after", range(6))
def test_a_roll_call_may_be_interrupted_at_any_call(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    d = deployment
    running = [d.one.keeper.reserve(d.world.wish(d.budget)) for _ in range(2)]
    settled = d.one.keeper.reserve(d.world.wish(d.budget))
    d.one.keeper.settle(settled, 60, 5, 5, RESULT)
    d.go_back_to({})
    calls = 0

    def breaking(really: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == after + 1:
                raise StoreDown("gone")
            return really(*args, **named)

        return call

    for name in ("state", "hold_states", "place_again", "settle"):
        monkeypatch.setattr(d.one.budgets, name, breaking(getattr(d.one.budgets, name)))
    with pytest.raises(StoreDown, match="gone"):
        d.one.roll_call.answer()
    d.one.roll_call.answer()
    d.rebuild()
    d.one.roll_call.answer()
    assert d.counters() == (60, 200)
    assert d.world.limits()["inflight"] == 2
    for hold in running:
        d.one.keeper.settle(hold, 10, 5, 5, RESULT)
    assert d.counters() == (80, 0)
    assert d.recorded(settled.request_id) == [("request", 60)]
