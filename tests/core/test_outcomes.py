from __future__ import annotations

import json
from datetime import UTC, datetime

from gateway.core import outcomes
from gateway.core.money import LIMIT_NANO_MAX
from gateway.core.outcomes import Outcome
from gateway.core.prices import CostLine, Meter, Price, Rate
from gateway.core.usage import Certainty, Usage

PRICE = Price(
    3,
    "gpt-3.5-turbo",
    (),
    "test",
    datetime(2024, 1, 1, tzinfo=UTC),
    {"default": {Meter.INPUT: Rate(500_000_000), Meter.OUTPUT: Rate(1_500_000_000)}},
)


def test_the_seed_example_costs_what_it_must() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=500)
    outcome = outcomes.exact(PRICE, usage, "default", 0, status=200, duration_ms=12)
    assert outcome is not None
    assert outcome.cost_nano == 1_000 * 500 + 500 * 1_500
    assert outcome.certainty is Certainty.EXACT
    assert (outcome.tokens, outcome.output_tokens) == (1_500, 500)
    assert json.loads(outcome.as_json()) == {
        "status": 200,
        "certainty": "exact",
        "tier": "default",
        "lines": [
            ["input", 1_000, 500_000_000, 1_000_000],
            ["output", 500, 1_500_000_000, 1_000_000],
        ],
        "usage": {"input_tokens": 1_000, "output_tokens": 500},
        "duration_ms": 12,
    }


def test_what_caching_saved_is_said_where_it_saved_something() -> None:
    rates = {**PRICE.tiers["default"], Meter.CACHED_INPUT: Rate(125_000_000)}
    caching = Price(5, "m", (), "test", PRICE.valid_from, {"default": rates})
    usage = Usage(input_tokens=1_000, cached_input_tokens=600)
    outcome = outcomes.exact(caching, usage, "default", 0, status=200)
    assert outcome is not None
    assert outcome.saved_nano == 600 * (500 - 125)
    assert json.loads(outcome.as_json())["saved"] == 225_000
    assert outcome.cost_nano + outcome.saved_nano == 1_000 * 500
    plain = outcomes.exact(caching, Usage(input_tokens=1_000), "default", 0, status=200)
    assert plain is not None
    assert "saved" not in json.loads(plain.as_json())


def test_searches_are_added_to_what_was_reported() -> None:
    searching = Price(
        4,
        "m",
        (),
        "test",
        PRICE.valid_from,
        {"default": {**PRICE.tiers["default"], Meter.WEB_SEARCH_CALLS: Rate(10, per=1)}},
    )
    outcome = outcomes.exact(searching, Usage(), "default", 2, status=200)
    assert outcome is not None
    assert outcome.cost_nano == 20
    assert outcome.lines == (CostLine(Meter.WEB_SEARCH_CALLS, 2, 10, 1),)


def test_what_has_no_price_has_no_exact_outcome() -> None:
    usage = Usage(input_tokens=1)
    assert outcomes.exact(PRICE, usage, "priority", 0, status=200) is None
    assert outcomes.exact(PRICE, usage, "default", 1, status=200) is None


def test_usage_that_no_counter_holds_is_not_believed() -> None:
    dear = Price(5, "m", (), "test", PRICE.valid_from, {"default": {Meter.INPUT: Rate(1, per=1)}})
    most = outcomes.exact(dear, Usage(input_tokens=LIMIT_NANO_MAX), "default", 0, status=200)
    assert most is not None
    assert most.cost_nano == LIMIT_NANO_MAX
    more = Usage(input_tokens=LIMIT_NANO_MAX + 1)
    assert outcomes.exact(dear, more, "default", 0, status=200) is None


def test_a_failure_costs_nothing() -> None:
    failure = outcomes.failure(502, "not_sent", {"duration_ms": 3, "service_tier": "flex"})
    assert (failure.cost_nano, failure.certainty) == (0, Certainty.EXACT)
    assert (failure.tokens, failure.output_tokens) == (-1, -1)
    assert json.loads(failure.as_json()) == {
        "status": 502,
        "certainty": "exact",
        "tier": "flex",
        "lines": [],
        "duration_ms": 3,
        "reason": "not_sent",
    }


def test_zero_and_none_are_two_things() -> None:
    zero = Outcome(200, Certainty.EXACT, 0, usage=Usage(), duration_ms=0)
    assert (zero.tokens, zero.output_tokens) == (0, 0)
    assert json.loads(zero.as_json())["usage"] == {}
    assert json.loads(zero.as_json())["duration_ms"] == 0


def test_text_of_the_provider_that_is_no_unicode_does_not_stop_a_settle() -> None:
    outcome = Outcome(200, Certainty.EXACT, 0, service_tier="\ud800\0", upstream_id="é")
    found = json.loads(outcome.as_json())
    assert (found["tier"], found["upstream_id"]) == ("\ud800\0", "é")
