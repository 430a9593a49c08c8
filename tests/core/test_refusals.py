from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.core.bounds import Bound
from gateway.core.budgets import FOREVER_MS, Budget, Enforcement, Scope, Window, WindowKind
from gateway.core.holds import BudgetRefused, RateRefused, RateState
from gateway.core.policy import Client
from gateway.core.refusals import over_budget, rate_headers, rate_limited

BUDGET = Budget(
    7, "search", Scope.TEAM, 5_000_000_000, WindowKind.DAY, "Europe/Berlin", Enforcement.STRICT
)
END = int(datetime(2026, 6, 1, 22, tzinfo=UTC).timestamp() * 1000)
WINDOW = Window(END - 86_400_000, END)
BOUND = Bound(
    input_tokens=120,
    fixed_nano=1_000_000,
    output_token_nano=10_000,
    wanted_output_tokens=1_000,
    floor_output_tokens=256,
)
CLIENT = Client(1, "bot", 1, "search", requests_per_minute=60, tokens_per_minute=1_000)


def test_a_budget_refusal_names_everything_one_needs_to_know() -> None:
    refused = BudgetRefused(BUDGET, WINDOW, 4_000_000_000, 998_000_000, 100)
    error = over_budget(refused, BOUND)
    assert error.status == 429
    assert error.headers == {"x-should-retry": "false"}
    assert error.message == (
        "Budget 'search' (team, $5.00 per day) has $0.002 left: $4.00 spent and $0.998 held by"
        " requests in flight. This request can cost $0.00356. It resets at 2026-06-02 00:00"
        " Europe/Berlin; ask for at most 100 output tokens, or ask a platform engineer to raise"
        " it."
    )
    envelope = error.envelope()["error"]
    assert (envelope["type"], envelope["code"]) == ("insufficient_quota", "insufficient_quota")
    assert envelope["budget"] == {
        "name": "search",
        "scope": "team",
        "tag": None,
        "window": "day",
        "limit_usd": "5.000000000",
        "spent_usd": "4.000000000",
        "held_usd": "0.998000000",
        "estimate_usd": "0.003560000",
        "affordable_output_tokens": 100,
        "resets_at": "2026-06-01T22:00:00Z",
    }


def test_a_refusal_names_the_tag_of_its_budget() -> None:
    narrow = replace(BUDGET, tag="project=alpha")
    error = over_budget(BudgetRefused(narrow, WINDOW, 4_000_000_000, 0, 0), BOUND)
    assert (
        "Budget 'search' (team, tag project=alpha, $5.00 per day) has $1.00 left" in error.message
    )
    assert error.envelope()["error"]["budget"]["tag"] == "project=alpha"
    assert error.budget_id == narrow.id


def test_a_budget_that_never_resets_and_is_overdrawn() -> None:
    total = replace(BUDGET, window=WindowKind.TOTAL)
    refused = BudgetRefused(total, Window(0, FOREVER_MS), 9_000_000_000, 0, 0)
    error = over_budget(refused, BOUND)
    assert "$5.00 in total) has $0.00 left" in error.message
    assert "It does not reset; ask a platform engineer to raise it." in error.message
    assert error.details["budget"]["resets_at"] is None


def test_no_advice_to_shorten_an_answer_that_has_none() -> None:
    bound = Bound(input_tokens=9, fixed_nano=10)
    error = over_budget(BudgetRefused(BUDGET, WINDOW, 4_999_999_999, 0, 5), bound)
    assert "output tokens" not in error.message


@pytest.mark.parametrize(
    ("wait_ms", "header", "seconds"), [(1, "1", "1 s"), (1_000, "1", "1 s"), (1_001, "2", "2 s")]
)
def test_requests_per_minute(wait_ms: int, header: str, seconds: str) -> None:
    error = rate_limited(RateRefused("requests", wait_ms, 0), CLIENT, BOUND)
    assert error.status == 429
    assert error.code == "rate_limit_exceeded"
    assert error.headers == {"retry-after": header, "retry-after-ms": str(wait_ms)}
    assert "60 requests per minute" in error.message
    assert seconds in error.message


def test_tokens_per_minute() -> None:
    error = rate_limited(RateRefused("tokens", 30_000, 40), CLIENT, BOUND)
    assert "(40 left, about 120 needed for the prompt alone). Try again in 30 s." in error.message
    assert error.headers == {"retry-after": "30", "retry-after-ms": "30000"}
    never = rate_limited(RateRefused("tokens", -1, 1_000), CLIENT, BOUND)
    assert "Shorten the prompt" in never.message
    assert never.headers == {"x-should-retry": "false"}


def test_requests_in_flight() -> None:
    client = replace(CLIENT, concurrent_requests=3)
    error = rate_limited(RateRefused("concurrent", 1_000, 0), client, BOUND)
    assert "3 requests in flight" in error.message
    assert error.headers == {"retry-after": "1"}


def test_rate_headers_are_openai_s() -> None:
    assert rate_headers(CLIENT, RateState(59, 1_000, 880, 7_201)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "880",
        "x-ratelimit-reset-tokens": "8s",
    }
    # A repeated reserve does not know what is left.
    assert rate_headers(CLIENT, RateState())["x-ratelimit-remaining-requests"] == "0"
    assert rate_headers(Client(1, "c", 1, "t"), RateState()) == {}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (999, "999ms"), (1_000, "1s"), (59_001, "1m0s"), (61_500, "1m2s")],
)
def test_durations_are_written_as_openai_does(milliseconds: int, text: str) -> None:
    rates = RateState(requests_reset_ms=milliseconds)
    assert rate_headers(CLIENT, rates)["x-ratelimit-reset-requests"] == text
