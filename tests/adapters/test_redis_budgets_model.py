"""The scripts against a small model of them, through random lives of many requests.

``FAREGATE_MODEL_STEPS`` (a number) plays that many steps instead of about two thousand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.core.budgets import Budget, Enforcement
from gateway.core.holds import BudgetRefused, Hold, HoldClosed, HoldRequest
from tests.adapters.redis_world import World, bound, budget, open_world

STEPS_EACH = 30
STEPS = int(os.environ.get("FAREGATE_MODEL_STEPS", "1800"))

BUDGETS = (
    budget(1, 1_000),
    budget(2, 2_500),
    budget(3, 500, Enforcement.SOFT),
    budget(4, 700),
)
SETS = st.sampled_from(
    [(BUDGETS[0],), BUDGETS[:2], BUDGETS[2:], BUDGETS, (BUDGETS[1], BUDGETS[3]), ()]
)


@dataclass
class Life:
    """What the model knows of one request."""

    wish: HoldRequest
    hold: Hold
    budgets: tuple[Budget, ...]
    state: str = "open"
    handed: bool = False
    charges: list[int] = field(default_factory=list)

    @property
    def charged(self) -> int:
        return sum(self.charges)


class Holds(RuleBasedStateMachine):
    """Reserves, hand-overs, settles, releases and expiries, repeated and in any order."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = open_world(self.url)
        self.world.budgets.redis.flushall()
        self.world.budgets.publish(1)
        self.lives: list[Life] = []
        self.refused = 0

    def teardown(self) -> None:
        self.world.budgets.redis.close()

    # The model

    def spent(self, number: int) -> int:
        return sum(life.charged for life in self.lives if self.is_on(life, number))

    def held(self, number: int) -> int:
        return sum(
            life.hold.amount_nano
            for life in self.lives
            if life.state == "open" and self.is_on(life, number)
        )

    @staticmethod
    def is_on(life: Life, number: int) -> bool:
        return any(budget.id == number for budget in life.budgets)

    def affordable(self, budgets: tuple[Budget, ...], fixed: int, rate: int, wanted: int) -> int:
        granted = wanted
        for one in budgets:
            if one.enforcement is Enforcement.SOFT:
                continue
            room = one.limit_nano - self.spent(one.id) - self.held(one.id)
            if fixed + rate * granted > room:
                granted = min(granted, (room - fixed) // rate if rate and room >= fixed else -1)
        return granted

    def pick(self, index: int) -> Life:
        return self.lives[index % len(self.lives)]

    # What can happen

    @rule(
        budgets=SETS,
        fixed=st.integers(0, 400),
        rate=st.integers(0, 9),
        wanted=st.integers(0, 60),
        floor=st.integers(0, 20),
        repeats=st.integers(1, 2),
    )
    def reserve(
        self,
        budgets: tuple[Budget, ...],
        fixed: int,
        rate: int,
        wanted: int,
        floor: int,
        repeats: int,
    ) -> None:
        asked = bound(fixed, per_token=rate, wanted=wanted, floor=min(floor, wanted))
        wish = self.world.wish(*budgets, bounded=asked)
        granted = self.affordable(budgets, fixed, rate, wanted)
        if granted < asked.floor_output_tokens:
            with pytest.raises(BudgetRefused):
                self.world.budgets.reserve(wish)
            self.refused += 1
            return
        for _ in range(repeats):
            hold = self.world.budgets.reserve(wish)
            assert hold.granted_output_tokens == granted
            assert hold.amount_nano == fixed + rate * granted
        self.lives.append(Life(wish, hold, budgets))
        for one in budgets:
            if one.enforcement is not Enforcement.SOFT:
                # I1: at every admission
                assert self.spent(one.id) + self.held(one.id) <= one.limit_nano

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99), share=st.floats(0, 1))
    def settle(self, index: int, share: float) -> None:
        life = self.pick(index)
        cost = int(life.hold.amount_nano * share)
        outcome = self.world.settle(life.hold, cost, 10, 10)
        if life.state == "open":
            assert outcome == "settled"
            life.charges.append(cost)
        elif life.state == "expired":
            assert outcome == "corrected"
            life.charges.append(cost - life.hold.amount_nano)
        else:
            assert outcome == "already"
            return
        life.state = "closed"

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99))
    def release(self, index: int) -> None:
        life = self.pick(index)
        outcome = self.world.release(life.hold)
        if life.state == "closed":
            assert outcome == "already"
            return
        assert outcome == "released"
        life.charges.append(0 if life.state == "open" else -life.hold.amount_nano)
        life.state = "closed"

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99), lapsed=st.booleans())
    def expire(self, index: int, lapsed: bool) -> None:
        life = self.pick(index)
        if lapsed:
            self.world.lapse(life.hold)
        expired = self.world.expire(life.hold)
        assert expired == (lapsed and life.state == "open")
        if expired:
            life.charges.append(life.hold.amount_nano)
            life.state = "expired"
        else:
            self.world.budgets.renew([life.hold.request_id])

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99))
    def hand_over(self, index: int) -> None:
        life = self.pick(index)
        hold = life.hold
        handed = self.world.budgets.hand_over(hold.request_id, hold.client_id, 100)
        assert handed == (life.state == "open")
        life.handed |= handed

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99))
    def place_again(self, index: int) -> None:
        """What Redis has not lost is not placed again, whatever its state."""
        hold = self.pick(index).hold
        before = self.world.everything()
        assert not self.world.budgets.place_again(hold, [0] * len(hold.budget_windows), 100)
        assert self.world.everything() == before

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, 99))
    def reserve_again(self, index: int) -> None:
        life = self.pick(index)
        before = self.world.everything()
        if life.state == "open":
            assert self.world.budgets.reserve(life.wish).amount_nano == life.hold.amount_nano
        else:
            with pytest.raises(HoldClosed):
                self.world.budgets.reserve(life.wish)
        # I7: a repetition changes nothing
        assert self.world.everything() == before

    # What must hold after each of them

    @invariant()
    def counters_are_the_model_s(self) -> None:
        """I6: held is the sum of the open holds; spent is the sum of the charges."""
        redis, keys = self.world.budgets.redis, self.world.budgets.keys
        with redis.pipeline(transaction=False) as pipe:
            for one in BUDGETS:
                pipe.hmget(keys.budget(one.id, 0), "spent", "held")
            found = [(int(spent or 0), int(held or 0)) for spent, held in pipe.execute()]
        assert found == [(self.spent(one.id), self.held(one.id)) for one in BUDGETS]
        assert min(min(pair) for pair in found) >= 0

    @invariant()
    def in_flight_is_the_open_holds(self) -> None:
        alive = [life for life in self.lives if life.state == "open"]
        open_holds = {life.hold.request_id for life in alive}
        in_flight = sum(not life.handed for life in alive)
        assert self.world.limits().get("inflight", 0) == in_flight
        listed = self.world.budgets.redis.zrange(self.world.budgets.keys.holds, 0, -1)
        assert {name.decode() for name in listed} == open_holds

    @invariant()
    def every_end_is_one_event(self) -> None:
        """I4: one ending each, at most one correction, and the events sum to the charges."""
        found: dict[str, list[tuple[str, int]]] = {}
        for request_id, kind, _, cost in self.world.costs():
            found.setdefault(request_id, []).append((kind, cost))
        for life in self.lives:
            kinds = ["request", "correction"][: len(life.charges)]
            expected = list(zip(kinds, life.charges, strict=True))
            assert found.pop(life.hold.request_id, []) == expected
        assert found == {}


@pytest.fixture
def machine(redis_url: str) -> Iterator[type[Holds]]:
    Holds.url = redis_url
    yield Holds
    Holds.url = ""


@pytest.mark.timeout(120 if STEPS <= 1800 else 0)
def test_scripts_do_as_their_model(machine: type[Holds]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(STEPS // STEPS_EACH, 1),
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
