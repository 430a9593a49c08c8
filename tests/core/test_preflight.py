from __future__ import annotations

from typing import Any

from gateway.core.bounds import FREE, Bound
from gateway.core.budgets import FOREVER_MS, Budget, Enforcement, Scope, Window, WindowKind
from gateway.core.errors import OverBudget
from gateway.core.holds import BudgetLook, BudgetRefused, Hold, Look, RateState
from gateway.core.policy import Client
from gateway.core.preflight import answer

CLIENT = Client(1, "bot", 1, "team")
DAILY = Budget(7, "bot daily", Scope.CLIENT, 5_000_000, WindowKind.DAY, "UTC", Enforcement.STRICT)
WINDOW = Window(1_790_000_000_000, 1_790_035_200_000)
BOUND = Bound(
    input_tokens=40,
    fixed_nano=6_000,
    output_token_nano=600,
    choices=2,
    wanted_output_tokens=1_000,
    floor_output_tokens=256,
)


def hold(granted: int) -> Hold:
    amount = BOUND.nano_for(granted)
    return Hold("frq_1", 1, "m", ((7, 0),), granted, amount, 0, 0, RateState())


def look(granted: int | None = 1_000, **given: Any) -> Look:
    holds = -1 if granted is None else BOUND.nano_for(granted)
    refused = BudgetRefused(DAILY, WINDOW, 4_000_000, 500_000, 100) if granted is None else None
    values: dict[str, Any] = {
        "hold": None if granted is None else hold(granted),
        "refused": refused,
        "decides": DAILY if granted != 1_000 else None,
        "budgets": (BudgetLook(DAILY, WINDOW, 4_000_000, 500_000, holds),),
        "in_flight": 2,
        "requests_busy_us": 0,
        "tokens_busy_us": 0,
        "mean_output_tokens": None,
        "deviation_output_tokens": None,
        **given,
    }
    return Look(**values)


def told(found: Look, client: Client = CLIENT, bound: Bound = BOUND, **given: Any) -> Any:
    return answer("chat/completions", "m", client, bound, found, given.get("refusal"))


def test_what_is_granted_is_bounded_line_by_line() -> None:
    found = told(look(300))
    assert (found["admitted"], found["refusal"], found["decided_by"]) == (True, None, "bot daily")
    assert found["output_tokens"] == {"wanted": 1_000, "least": 256, "granted": 300, "choices": 2}
    cost = found["cost"]
    assert cost["at_most_usd"] == "0.000366000"
    assert cost["at_most_if_all_is_granted_usd"] == "0.001206000"
    fixed, output = cost["lines"]
    assert (fixed["input_tokens"], fixed["at_most_usd"]) == (40, "0.000006000")
    assert (output["output_tokens"], output["at_most_usd"]) == (600, "0.000360000")


def test_every_budget_shows_what_is_left_before_and_after() -> None:
    (shown,) = told(look(300))["budgets"]
    assert shown["left_usd"] == "0.000500000"
    assert shown["would_hold_usd"] == "0.000366000"
    assert shown["left_after_usd"] == "0.000134000"
    assert (shown["decides"], shown["resets_at"]) == (True, "2026-09-22T00:00:00Z")


def test_a_refusal_is_the_error_that_would_be_given() -> None:
    found = told(look(None), refusal=OverBudget("No.", details={"budget": {"name": "bot daily"}}))
    assert found["admitted"] is False
    assert found["refusal"]["status"] == 429
    assert found["refusal"]["code"] == "insufficient_quota"
    assert found["refusal"]["budget"] == {"name": "bot daily"}
    assert found["output_tokens"]["granted"] == 0
    # What it would cost is told all the same.
    assert found["cost"]["at_most_usd"] == "0.001206000"
    assert found["budgets"][0]["would_hold_usd"] is None


def test_what_is_usual_is_told_once_it_is_known() -> None:
    assert told(look())["cost"]["expected"] is None
    usual = told(look(mean_output_tokens=99.5, deviation_output_tokens=10.0))["cost"]["expected"]
    assert usual == {
        "output_tokens": 100,
        "cost_usd": "0.000066000",
        "output_tokens_almost_always_below": 140,
    }
    # It never costs more than it can.
    most = told(look(300, mean_output_tokens=5_000.0, deviation_output_tokens=0.0))
    assert most["cost"]["expected"]["cost_usd"] == most["cost"]["at_most_usd"]


def test_what_is_free_has_nothing_expected() -> None:
    found = told(look(0, mean_output_tokens=5.0, deviation_output_tokens=0.0), bound=FREE)
    assert found["cost"]["expected"] is None
    assert found["cost"]["at_most_usd"] == "0.000000000"


def test_limits_that_there_are_not_are_null() -> None:
    assert set(told(look())["rate_limits"].values()) == {None}


def test_limits_show_what_is_left_of_them() -> None:
    client = Client(
        1,
        "bot",
        1,
        "team",
        requests_per_minute=60,
        tokens_per_minute=6_000,
        concurrent_requests=5,
    )
    busy = look(requests_busy_us=10_000_001, tokens_busy_us=70_000_000)
    assert told(busy, client)["rate_limits"] == {
        "requests_per_minute": {"limit": 60, "left": 49, "resets_in_ms": 10_001},
        "tokens_per_minute": {
            "limit": 6_000,
            "left": 0,
            "resets_in_ms": 70_000,
            "input_tokens": 40,
        },
        "concurrent_requests": {"limit": 5, "in_flight": 2},
    }


def test_a_window_without_an_end_does_not_reset() -> None:
    total = BudgetLook(DAILY, Window(0, FOREVER_MS), 0, 0, 0)
    assert told(look(budgets=(total,)))["budgets"][0]["resets_at"] is None
