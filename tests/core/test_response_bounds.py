from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.bounds import Bound, BoundRules
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate
from gateway.core.response_bounds import bound_compaction, bound_response, rewritten_response
from gateway.core.tokens import PromptBound

RULES = BoundRules(256, "default", "max_completion_tokens")
CLIENT = Client(1, "client", 1, "team")
FACTS = ModelFacts("m", context_window=10_000, output_tokens_max=1_000)
BLANK = ModelFacts("m")
SEARCH: dict[str, Any] = {"tools": [{"type": "web_search"}]}

DEFAULT = {
    Meter.INPUT: Rate(2_000_000_000),
    Meter.OUTPUT: Rate(8_000_000_000),
    Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 1_000),
}
PRIORITY = {meter: Rate(2 * rate.nano, rate.per) for meter, rate in DEFAULT.items()}


def price(**tiers: dict[Meter, Rate]) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", (), "test", start, tiers or {"default": DEFAULT})


TIERED = price(default=DEFAULT, priority=PRIORITY)


def bound(
    body: dict[str, Any] | None = None,
    row: Price | None = None,
    prompt: PromptBound | int = 100,
    *,
    facts: ModelFacts = FACTS,
    client: Client = CLIENT,
    rules: BoundRules = RULES,
) -> Bound:
    counted = PromptBound(prompt) if isinstance(prompt, int) else prompt
    return bound_response(body or {}, row or price(), facts, counted, client, rules)


# Exact bounds: 2,000 nano-dollars an input token, 8,000 an output token, a cent a search


@pytest.mark.parametrize(
    ("body", "prompt", "fixed", "wanted", "floor"),
    [
        ({}, 100, 200_000, 1_000, 256),
        ({"max_output_tokens": 50}, 100, 200_000, 50, 50),
        ({"max_output_tokens": 5_000}, 100, 200_000, 5_000, 5_000),
        # What is hidden may fill the window.
        ({}, PromptBound(100, hidden=("a file",)), 20_000_000, 1_000, 256),
        # Five calls by default: six passes over the window, and five fees.
        (SEARCH, 100, 6 * 20_000_000 + 5 * 10_000_000, 1_000, 256),
        ({**SEARCH, "max_tool_calls": 1}, 100, 2 * 20_000_000 + 10_000_000, 1_000, 256),
        # Without a tool of the provider the number of calls means nothing.
        ({"max_tool_calls": 7}, 100, 200_000, 1_000, 256),
    ],
)
def test_the_worst_case(
    body: dict[str, Any], prompt: PromptBound | int, fixed: int, wanted: int, floor: int
) -> None:
    found = bound(body, prompt=prompt)
    assert found.fixed_nano == fixed
    assert found.output_token_nano == 8_000
    assert (found.wanted_output_tokens, found.floor_output_tokens) == (wanted, floor)
    assert found.worst_nano == fixed + 8_000 * wanted
    assert found.limit_field == "max_output_tokens"
    # Counted from the answer, so not taken for granted.
    assert found.web_search_calls == 0


def test_clients_that_take_less_and_clients_with_a_default() -> None:
    clamped = replace(CLIENT, clamp_output=True)
    assert bound({"max_output_tokens": 500}, client=clamped).floor_output_tokens == 256
    short = replace(CLIENT, default_output_tokens=300)
    assert bound(client=short).wanted_output_tokens == 300


def test_each_pass_may_see_the_images_again() -> None:
    row = price(default={**DEFAULT, Meter.IMAGE_INPUT: Rate(5_000_000_000)})
    found = bound({**SEARCH, "max_tool_calls": 2}, row, PromptBound(100, image_tokens=50))
    tokens, image = 3 * 10_000, 3 * 50
    assert found.fixed_nano == (tokens - image) * 2_000 + image * 5_000 + 2 * 10_000_000


def test_long_context_rates_apply_to_all_passes_together() -> None:
    long = {**DEFAULT, Meter.INPUT: Rate(2_000_000_000, steps=((15_000, 4_000_000_000),))}
    found = bound({**SEARCH, "max_tool_calls": 1}, price(default=long))
    assert found.fixed_nano == 2 * 10_000 * 4_000 + 10_000_000


def test_the_dearest_tier_that_may_answer_is_held_for() -> None:
    found = bound({**SEARCH, "service_tier": "priority"}, TIERED)
    assert found.fixed_nano == 2 * (6 * 20_000_000 + 5 * 10_000_000)
    assert (found.tier, found.tier_to_write) == ("priority", None)
    assert bound({}, TIERED).tier_to_write == "default"
    with pytest.raises(BadRequest, match="service_tier"):
        bound({"service_tier": "ultrafast"}, TIERED)


@pytest.mark.parametrize("calls", [0, -1, 1_001, "3", True, 1.0])
def test_calls_are_an_integer_within_reason(calls: object) -> None:
    with pytest.raises(BadRequest) as refused:
        bound({**SEARCH, "max_tool_calls": calls})
    assert refused.value.param == "max_tool_calls"


def test_a_search_without_a_price_is_not_priced() -> None:
    row = price(default={k: r for k, r in DEFAULT.items() if k is not Meter.WEB_SEARCH_CALLS})
    with pytest.raises(ModelUnpriced, match="web_search_calls"):
        bound(SEARCH, row)


def test_a_search_whose_fee_is_not_priced_is_refused() -> None:
    with pytest.raises(BadRequest, match="web_search_preview"):
        bound({"tools": [{"type": "web_search_preview"}]})


@pytest.mark.parametrize("body", [SEARCH, {}])
def test_without_a_known_window_nothing_hidden_is_bounded(body: dict[str, Any]) -> None:
    prompt = PromptBound(100, hidden=() if body else ("previous_response_id",))
    with pytest.raises(BadRequest, match="context window") as refused:
        bound({**body, "max_output_tokens": 10}, prompt=prompt, facts=BLANK)
    assert refused.value.param == "input"


def test_without_a_known_maximum_the_client_must_name_one() -> None:
    with pytest.raises(BadRequest, match="Set max_output_tokens"):
        bound(facts=BLANK)


# Rewriting


def test_what_was_held_for_is_written() -> None:
    body = {"model": "m", "input": "x", "metadata": {"a": "b"}}
    found = bound(body)
    assert rewritten_response(body, found, 700) == {**body, "max_output_tokens": 700}
    searching = {**body, **SEARCH, "max_output_tokens": 900}
    found = bound(searching, TIERED)
    assert rewritten_response(searching, found, 900) == {
        **searching,
        "max_tool_calls": 5,
        "service_tier": "default",
    }
    assert body == {"model": "m", "input": "x", "metadata": {"a": "b"}}


def test_the_clients_own_number_of_calls_stays() -> None:
    body = {**SEARCH, "max_tool_calls": 2}
    assert rewritten_response(body, bound(body), 10)["max_tool_calls"] == 2
    plain = {"max_tool_calls": 9}
    assert rewritten_response(plain, bound(plain), 10)["max_tool_calls"] == 9


# Compactions


def test_a_compaction_is_held_at_the_most_that_the_model_can_answer() -> None:
    found = bound_compaction({}, price(), FACTS, PromptBound(100), RULES)
    assert found.least_nano == found.worst_nano == 200_000 + 8_000 * 1_000
    assert rewritten_response({"model": "m"}, found, 1_000) == {"model": "m"}
    hidden = PromptBound(100, hidden=("previous_response_id",))
    assert bound_compaction({}, price(), FACTS, hidden, RULES).fixed_nano == 20_000_000
    with pytest.raises(BadRequest, match="not known"):
        bound_compaction({}, price(), BLANK, PromptBound(100), RULES)
