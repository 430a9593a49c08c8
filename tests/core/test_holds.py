from __future__ import annotations

import pytest

from gateway.core.budgets import Budget, Enforcement, Scope, Window, WindowKind
from gateway.core.holds import (
    BudgetRefused,
    HoldClosed,
    PolicyStale,
    RateRefused,
    RateState,
    Refused,
    Resolution,
)

BUDGET = Budget(1, "b", Scope.CLIENT, 10, WindowKind.DAY, "UTC", Enforcement.STRICT)


@pytest.mark.parametrize(
    "refusal",
    [
        PolicyStale(None),
        PolicyStale(7),
        BudgetRefused(BUDGET, Window(0, 1), 1, 2, 3),
        RateRefused("tokens", -1, 0),
        HoldClosed("frq_1"),
    ],
)
def test_every_refusal_is_one(refusal: Refused) -> None:
    assert isinstance(refusal, Refused)
    assert str(refusal)


def test_a_budget_refusal_carries_its_figures() -> None:
    refused = BudgetRefused(BUDGET, Window(0, 1), 1, 2, 3)
    assert (refused.spent_nano, refused.held_nano, refused.affordable_output_tokens) == (1, 2, 3)


def test_what_is_not_known_is_below_zero() -> None:
    assert (RateState().requests_left, RateState().tokens_left) == (-1, -1)
    assert Resolution("already").left_nano == -1
