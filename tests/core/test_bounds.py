from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.bounds import (
    BOUND_NANO_MAX,
    CHOICES_MAX,
    FREE,
    OUTPUT_TOKENS_MAX,
    Bound,
    BoundRules,
    bound_chat,
    bound_embedding,
    rewritten_chat,
)
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate
from gateway.core.tokens import PromptBound

RULES = BoundRules(256, "default", "max_completion_tokens")
CLIENT = Client(1, "client", 1, "team")
FACTS = ModelFacts("m", context_window=10_000, output_tokens_max=1_000)
BLANK = ModelFacts("m")

DEFAULT = {Meter.INPUT: Rate(2_000_000_000), Meter.OUTPUT: Rate(8_000_000_000)}
PRIORITY = {Meter.INPUT: Rate(5_000_000_000), Meter.OUTPUT: Rate(20_000_000_000)}
FLEX = {Meter.INPUT: Rate(1_000_000_000), Meter.OUTPUT: Rate(4_000_000_000)}


def price(**tiers: dict[Meter, Rate]) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", (), "test", start, tiers or {"default": DEFAULT})


TIERED = price(default=DEFAULT, priority=PRIORITY, flex=FLEX, batch=FLEX)


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
    return bound_chat(body or {}, row or price(), facts, counted, client, rules)


# Exact bounds: 2,000 nano-dollars an input token, 8,000 an output token


@pytest.mark.parametrize(
    ("body", "worst"),
    [
        ({"max_tokens": 10}, 100 * 2_000 + 10 * 8_000),
        ({"max_completion_tokens": 10}, 100 * 2_000 + 10 * 8_000),
        ({"max_completion_tokens": 10, "max_tokens": None}, 100 * 2_000 + 10 * 8_000),
        ({"max_tokens": 10, "n": None}, 100 * 2_000 + 10 * 8_000),
        ({"max_tokens": 10, "n": 3}, 100 * 2_000 + 3 * 10 * 8_000),
        ({"n": 2}, 100 * 2_000 + 2 * 1_000 * 8_000),
        ({}, 100 * 2_000 + 1_000 * 8_000),
    ],
)
def test_the_worst_case_is_exact(body: dict[str, Any], worst: int) -> None:
    assert bound(body).worst_nano == worst


@pytest.mark.parametrize(
    ("asked", "auto", "input_nano", "output_nano", "written"),
    [
        (None, "default", 2_000, 8_000, "default"),
        ("auto", "default", 2_000, 8_000, "default"),
        ("default", "default", 2_000, 8_000, None),
        # The provider may fall back to standard, so the dearer of the two is held.
        ("flex", "default", 2_000, 8_000, None),
        ("priority", "default", 5_000, 20_000, None),
        (None, "priority", 5_000, 20_000, "priority"),
        ("auto", "priority", 5_000, 20_000, "priority"),
        (None, "flex", 2_000, 8_000, "flex"),
        ("default", "priority", 2_000, 8_000, None),
    ],
)
def test_service_tiers(
    asked: str | None, auto: str, input_nano: int, output_nano: int, written: str | None
) -> None:
    rules = replace(RULES, auto_service_tier=auto)
    found = bound({"service_tier": asked, "max_tokens": 10}, TIERED, rules=rules)
    assert found.worst_nano == 100 * input_nano + 10 * output_nano
    assert found.tier_to_write == written


def test_an_automatic_tier_that_has_no_price_is_the_standard_one() -> None:
    rules = replace(RULES, auto_service_tier="priority")
    assert bound({}, price(), rules=rules).tier_to_write == "default"
    assert bound({}, price()).tier_to_write is None
    flexible = price(default=DEFAULT, flex=FLEX)
    assert bound({}, flexible, rules=rules).tier_to_write == "default"


@pytest.mark.parametrize("asked", ["batch", "scale", "", "Default", 1, True, ["flex"], {}])
def test_other_tiers_are_refused(asked: object) -> None:
    with pytest.raises(BadRequest) as raised:
        bound({"service_tier": asked}, TIERED)
    assert raised.value.param == "service_tier"


def test_a_tier_without_a_price_is_refused() -> None:
    with pytest.raises(ModelUnpriced) as raised:
        bound({"service_tier": "flex"})
    assert raised.value.param == "service_tier"


@pytest.mark.parametrize("field", ["n", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, [], {}, 10**30])
def test_counts_of_a_wrong_type_or_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(BadRequest) as raised:
        bound({field: value})
    assert raised.value.param == field


def test_the_largest_counts() -> None:
    assert bound({"n": CHOICES_MAX, "max_tokens": 1}).choices == CHOICES_MAX
    with pytest.raises(BadRequest):
        bound({"n": CHOICES_MAX + 1})
    assert bound({"max_tokens": OUTPUT_TOKENS_MAX}).wanted_output_tokens == OUTPUT_TOKENS_MAX
    with pytest.raises(BadRequest):
        bound({"max_tokens": OUTPUT_TOKENS_MAX + 1})


def test_both_maximums_at_once_are_refused() -> None:
    with pytest.raises(BadRequest, match="not both"):
        bound({"max_tokens": 5, "max_completion_tokens": 5})


def test_a_bound_beyond_what_a_counter_holds_is_refused() -> None:
    per_token = BOUND_NANO_MAX // 10_000_000
    rates = {Meter.INPUT: Rate(0), Meter.OUTPUT: Rate(per_token, per=1)}
    assert bound({"max_tokens": 10_000_000}, price(default=rates)).worst_nano <= BOUND_NANO_MAX
    with pytest.raises(BadRequest, match="more than Faregate can hold"):
        bound({"max_tokens": 10_000_000, "n": 2}, price(default=rates))
    with pytest.raises(BadRequest, match="more than Faregate can hold"):
        bound_embedding(price(default={Meter.INPUT: Rate(BOUND_NANO_MAX, per=1)}), [2], FACTS)


def test_a_model_without_an_output_price_is_refused() -> None:
    with pytest.raises(ModelUnpriced):
        bound({}, price(default={Meter.INPUT: Rate(1)}))
    with pytest.raises(ModelUnpriced):
        bound_embedding(price(default={Meter.OUTPUT: Rate(1)}), [1], FACTS)


# What else can be billed


def test_a_prediction_is_billed_once_more_per_choice() -> None:
    prompt = PromptBound(100, predicted_tokens=40)
    found = bound({"max_tokens": 10, "n": 2}, prompt=prompt)
    assert found.worst_nano == 100 * 2_000 + 2 * 40 * 8_000 + 2 * 10 * 8_000


def test_spoken_answers_are_held_at_the_audio_rate() -> None:
    rates = {**DEFAULT, Meter.AUDIO_OUTPUT: Rate(64_000_000_000)}
    spoken: list[dict[str, Any]] = [{"modalities": ["text", "audio"]}, {"audio": {"voice": "x"}}]
    for body in spoken:
        assert bound(body, price(default=rates)).output_token_nano == 64_000
    written: list[dict[str, Any]] = [{"modalities": ["text"]}, {"modalities": "audio"}, {}]
    for body in written:
        assert bound(body, price(default=rates)).output_token_nano == 8_000
    assert bound({"modalities": ["audio"]}).output_token_nano == 8_000


def test_answers_that_may_be_images_are_held_at_the_image_rate() -> None:
    row = price(default={**DEFAULT, Meter.IMAGE_OUTPUT: Rate(30_000_000_000)})
    drawn: list[dict[str, Any]] = [{}, {"modalities": None}, {"modalities": ["text", "image"]}]
    for body in drawn:
        assert bound(body, row).output_token_nano == 30_000
    written: list[dict[str, Any]] = [{"modalities": ["text"]}, {"modalities": ["text", "audio"]}]
    for body in written:
        assert bound(body, row).output_token_nano == 8_000
    assert bound({"modalities": ["image"]}).output_token_nano == 8_000


def test_audio_and_images_are_held_at_their_own_rates() -> None:
    rates = {
        **DEFAULT,
        Meter.AUDIO_INPUT: Rate(40_000_000_000),
        Meter.IMAGE_INPUT: Rate(500_000_000),
    }
    prompt = PromptBound(100, audio_tokens=30, image_tokens=20)
    # A cheaper image rate lowers nothing: the provider may call these tokens text.
    assert bound({}, price(default=rates), prompt).fixed_nano == 70 * 2_000 + 30 * 40_000


@pytest.mark.parametrize("meter", [Meter.CACHE_WRITE, Meter.CACHED_INPUT])
def test_caching_that_costs_more_is_held(meter: Meter) -> None:
    dearer = {**DEFAULT, meter: Rate(2_500_000_000)}
    assert bound({}, price(default=dearer)).fixed_nano == 100 * 2_500
    cheaper = {**DEFAULT, meter: Rate(500_000_000)}
    assert bound({}, price(default=cheaper)).fixed_nano == 100 * 2_000


def test_rates_are_compared_by_what_they_are_per() -> None:
    rates = {**DEFAULT, Meter.AUDIO_INPUT: Rate(40_000_000, per=1_000)}
    prompt = PromptBound(100, audio_tokens=100)
    assert bound({}, price(default=rates), prompt).fixed_nano == 100 * 40_000


def test_long_context_is_held_at_the_dearest_step_within_reach() -> None:
    steps = ((1_000, 4_000_000_000), (5_000, 3_000_000_000))
    rates = {
        Meter.INPUT: Rate(2_000_000_000, steps=steps),
        Meter.OUTPUT: Rate(8_000_000_000, steps=((1_000, 12_000_000_000),)),
    }
    row = price(default=rates)
    for tokens, input_nano, output_nano in (
        (1_000, 2_000, 8_000),
        (1_001, 4_000, 12_000),
        (6_000, 4_000, 12_000),
    ):
        found = bound({}, row, tokens)
        assert (found.fixed_nano, found.output_token_nano) == (tokens * input_nano, output_nano)


def test_fractions_of_a_nano_dollar_are_rounded_up() -> None:
    rates = {Meter.INPUT: Rate(1_500_001), Meter.OUTPUT: Rate(1)}
    found = bound({"max_tokens": 1}, price(default=rates), 2)
    assert (found.fixed_nano, found.output_token_nano) == (4, 1)


# Hidden input and web search


def test_hidden_input_is_held_at_the_context_window() -> None:
    found = bound({}, prompt=PromptBound(100, hidden=("a file",)))
    assert found.input_tokens == 10_000
    assert found.fixed_nano == 10_000 * 2_000
    # The answer keeps its room: what is hidden is seldom that large.
    assert found.wanted_output_tokens == 1_000


def test_hidden_input_may_be_of_the_dearest_kind() -> None:
    rates = {**DEFAULT, Meter.AUDIO_INPUT: Rate(40_000_000_000)}
    hidden = PromptBound(100, hidden=("messages[1].audio: an earlier spoken answer",))
    assert bound({}, price(default=rates), hidden).fixed_nano == 10_000 * 40_000


def test_hidden_input_without_a_known_window_is_refused() -> None:
    with pytest.raises(BadRequest, match="a file"):
        bound({"max_tokens": 1}, prompt=PromptBound(1, hidden=("a file",)), facts=BLANK)
    with pytest.raises(BadRequest, match="web search results"):
        bound({"max_tokens": 1, "web_search_options": {}}, facts=BLANK)
    # The advice names what was asked for: an alias keeps its price when its model gets another.
    body = {"model": "m-2026-01-01", "max_tokens": 1}
    with pytest.raises(BadRequest, match=r"price set m-2026-01-01 --context-window N"):
        bound(body, prompt=PromptBound(1, hidden=("a file",)), facts=BLANK)
    row = replace(price(), context_window=500)
    hidden = PromptBound(1, hidden=("a file",))
    assert bound({"max_tokens": 1}, row, hidden, facts=BLANK).input_tokens == 500


@pytest.mark.parametrize("body", [{"web_search_options": {}}, {"model": "gpt-4o-search-preview"}])
def test_a_search_is_paid_for_per_choice(body: dict[str, Any]) -> None:
    with pytest.raises(ModelUnpriced):
        bound(body)
    rates = {**DEFAULT, Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, per=1_000)}
    found = bound({**body, "n": 3, "max_tokens": 5}, price(default=rates))
    assert found.web_search_calls == 3
    assert found.fixed_nano == 10_000 * 2_000 + 3 * 10_000_000


def test_no_search_is_paid_for_where_none_is_asked() -> None:
    rates = {**DEFAULT, Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, per=1_000)}
    found = bound({"web_search_options": None, "model": "gpt-4o"}, price(default=rates))
    assert (found.web_search_calls, found.fixed_nano) == (0, 100 * 2_000)


# How many output tokens


def test_without_a_maximum_the_model_s_is_wanted_down_to_the_floor() -> None:
    found = bound()
    assert (found.wanted_output_tokens, found.floor_output_tokens) == (1_000, 256)
    assert found.limit_field == "max_completion_tokens"
    older = replace(RULES, output_limit_field="max_tokens", output_floor_tokens=64)
    found = bound(rules=older)
    assert (found.limit_field, found.floor_output_tokens) == ("max_tokens", 64)


def test_the_client_s_own_default_and_floor() -> None:
    client = replace(CLIENT, default_output_tokens=500, output_floor_tokens=50)
    found = bound(client=client)
    assert (found.wanted_output_tokens, found.floor_output_tokens) == (500, 50)
    # More than the model can answer would be refused by the provider.
    assert bound(client=replace(CLIENT, default_output_tokens=5_000)).wanted_output_tokens == 1_000
    found = bound(client=client, facts=BLANK)
    assert found.wanted_output_tokens == 500
    small = replace(CLIENT, default_output_tokens=100)
    assert bound(client=small).floor_output_tokens == 100


def test_a_maximum_of_the_client_s_own_is_all_or_nothing_unless_it_may_be_cut() -> None:
    assert bound({"max_tokens": 900}).floor_output_tokens == 900
    cut = replace(CLIENT, clamp_output=True)
    assert bound({"max_tokens": 900}, client=cut).floor_output_tokens == 256
    assert bound({"max_tokens": 9}, client=cut).floor_output_tokens == 9
    assert bound({"max_tokens": 9}).limit_field == "max_tokens"


def test_the_answer_is_fitted_beside_the_prompt() -> None:
    assert bound(prompt=9_500).wanted_output_tokens == 500
    # The prompt is counted from above: near the end the provider decides whether it fits.
    for prompt in (9_800, 10_000, 50_000):
        found = bound(prompt=prompt)
        assert (found.wanted_output_tokens, found.floor_output_tokens) == (256, 256)
    # What the client asked for is its own affair.
    assert bound({"max_tokens": 900}, prompt=9_800).wanted_output_tokens == 900


def test_an_unknown_maximum_must_be_named() -> None:
    with pytest.raises(BadRequest) as raised:
        bound(facts=BLANK)
    assert raised.value.param == "max_completion_tokens"
    assert bound({"max_tokens": 5}, facts=BLANK).wanted_output_tokens == 5
    window_only = replace(BLANK, context_window=4_000)
    assert bound(facts=window_only).wanted_output_tokens == 3_900
    priced = replace(price(), output_tokens_max=77)
    assert bound(row=priced, facts=BLANK).wanted_output_tokens == 77


# Embeddings, and what is free


def test_embeddings() -> None:
    rates = {Meter.INPUT: Rate(20_000_000, steps=((10, 40_000_000),))}
    assert bound_embedding(price(default=rates), [4, 6], FACTS).worst_nano == 200
    assert bound_embedding(price(default=rates), [11], FACTS).worst_nano == 440
    found = bound_embedding(price(default=rates), [0], FACTS)
    assert (found.worst_nano, found.wanted_output_tokens, found.limit_field) == (0, 0, None)


def test_free() -> None:
    assert (FREE.worst_nano, FREE.least_nano, FREE.limit_field) == (0, 0, None)


# What is forwarded


def test_the_grant_is_written_into_the_field_that_was_asked_with() -> None:
    for body, field in (
        ({"max_tokens": 50}, "max_tokens"),
        ({"max_completion_tokens": 50}, "max_completion_tokens"),
        ({"max_completion_tokens": None}, "max_completion_tokens"),
        ({}, "max_completion_tokens"),
    ):
        sent: dict[str, Any] = {"model": "m", **body}
        forwarded = rewritten_chat(sent, bound(sent), 40)
        assert forwarded == {**sent, field: 40}
        assert sent == {"model": "m", **body}


def test_the_tier_that_was_held_for_is_written() -> None:
    for sent in ({}, {"service_tier": "auto"}, {"service_tier": None}):
        assert rewritten_chat(sent, bound(sent, TIERED), 1)["service_tier"] == "default"
    sent = {"service_tier": "priority"}
    assert rewritten_chat(sent, bound(sent, TIERED), 1)["service_tier"] == "priority"
    assert "service_tier" not in rewritten_chat({}, bound(), 1)


@pytest.mark.parametrize(
    ("options", "forwarded"),
    [
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_a_stream_is_always_asked_for_its_usage(options: Any, forwarded: dict[str, Any]) -> None:
    sent = {"stream": True, "stream_options": options}
    assert rewritten_chat(sent, bound(sent), 1)["stream_options"] == forwarded
    assert "stream_options" not in rewritten_chat({"stream": False}, bound(), 1)


def test_an_embedding_is_forwarded_as_it_is() -> None:
    sent = {"model": "m", "input": "x"}
    assert rewritten_chat(sent, bound_embedding(price(), [1], FACTS), 0) == sent
