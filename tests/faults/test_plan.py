"""The schedule: the same for the same seed, and as much as it is meant to be."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway import failpoints as gateway_failpoints
from tests.faults.plan import (
    FAILPOINTS,
    KILLS,
    POWER_LOSS_RATES,
    SAME_THING,
    Action,
    failpoints,
    rates,
    schedule,
)
from tests.faults.proxy import Mode

MINUTES = 20


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_same_seed_breaks_the_same_things(database: str) -> None:
    often = rates(database, power_loss=True)
    assert schedule("a", 600, often) == schedule("a", 600, often)
    assert schedule("a", 600, often) != schedule("b", 600, often)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_twenty_minutes_have_more_than_1500_kills_besides_failpoints(database: str) -> None:
    steps = schedule("a", MINUTES * 60, rates(database, power_loss=False))
    assert sum(step.action in KILLS for step in steps) > 1_500
    assert not {step.action for step in steps} & POWER_LOSS_RATES.keys()


def test_everything_happens_and_lasts_for_its_time() -> None:
    often = rates("postgresql", power_loss=True)
    steps = schedule("a", MINUTES * 60, often)
    assert {step.action for step in steps} == set(Action)
    assert {step.mode for step in steps} == set(Mode)
    for step in steps:
        rate = often[step.action]
        assert rate.shortest <= step.seconds <= rate.longest
        assert 0 <= step.at < MINUTES * 60
        assert 0 <= step.pick < 1


def test_one_thing_is_broken_in_one_way_at_a_time() -> None:
    steps = schedule("a", MINUTES * 60, rates("postgresql", power_loss=True), factor=3)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    for same in SAME_THING:
        hits = [step for step in steps if step.action in same]
        assert len(hits) > 10
        assert all(one.at + one.seconds < other.at for one, other in pairwise(hits))


def test_processes_may_die_at_every_point() -> None:
    assert FAILPOINTS.keys() == gateway_failpoints.POINTS.keys()
    on, seed = gateway_failpoints.parse(failpoints("s", factor=2))
    assert seed == "s"
    assert on.keys() == FAILPOINTS.keys()
    assert all(on[name].chance == FAILPOINTS[name] * 2 for name in on)
