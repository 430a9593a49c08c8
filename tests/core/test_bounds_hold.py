"""The promise of every bound: no usage within it costs more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.bounds import BoundRules, bound_chat, bound_embedding
from gateway.core.catalog import ModelFacts
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate, cost_of
from gateway.core.tokens import PromptBound
from gateway.core.usage import Usage

CLIENT = Client(1, "client", 1, "team")
FACTS = ModelFacts("m", context_window=3_000)
OPTIONAL = [
    Meter.CACHED_INPUT,
    Meter.CACHE_WRITE,
    Meter.AUDIO_INPUT,
    Meter.AUDIO_OUTPUT,
    Meter.IMAGE_INPUT,
    Meter.AUDIO_CACHED_INPUT,
]

AMOUNTS = st.integers(0, 50_000_000_000)
STEPS = st.dictionaries(st.integers(0, 4_000), AMOUNTS, max_size=2).map(
    lambda found: tuple(sorted(found.items()))
)
RATES = st.builds(Rate, AMOUNTS, st.sampled_from([1, 7, 1_000, 1_000_000]), STEPS)


@st.composite
def tables(draw: st.DrawFn) -> dict[Meter, Rate]:
    extra = draw(st.lists(st.sampled_from(OPTIONAL), unique=True))
    always = (Meter.INPUT, Meter.OUTPUT, Meter.WEB_SEARCH_CALLS)
    return {meter: draw(RATES) for meter in (*always, *extra)}


@st.composite
def prices(draw: st.DrawFn) -> Price:
    names = ["default", *draw(st.lists(st.sampled_from(["flex", "priority"]), unique=True))]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", (), "test", start, {name: draw(tables()) for name in names})


def parts(draw: Callable[[st.SearchStrategy[int]], int], total: int, *most: int) -> list[int]:
    """Counts within ``most``, that together are within ``total``."""
    found = []
    for limit in most:
        found.append(draw(st.integers(0, min(limit, total))))
        total -= found[-1]
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Price, PromptBound, dict[str, Any], BoundRules]:
    price = draw(prices())
    audio, image, text = (draw(st.integers(0, 900)) for _ in range(3))
    prompt = PromptBound(
        audio + image + text,
        audio,
        image,
        predicted_tokens=draw(st.integers(0, 50)),
        hidden=draw(st.sampled_from([(), ("a file",)])),
    )
    asked = ["auto", None, *price.tiers]
    body: dict[str, Any] = {
        "n": draw(st.integers(1, 4)),
        "max_tokens": draw(st.none() | st.integers(1, 500)),
        "service_tier": draw(st.sampled_from(asked)),
        "modalities": draw(st.sampled_from([["text"], ["text", "audio"]])),
        "web_search_options": draw(st.sampled_from([None, {}])),
    }
    auto = draw(st.sampled_from(["default", "flex", "priority"]))
    return price, prompt, body, BoundRules(16, auto, "max_completion_tokens")


@settings(max_examples=150)
@given(cases(), st.data())
def test_no_usage_within_a_bound_costs_more(
    case: tuple[Price, PromptBound, dict[str, Any], BoundRules], data: st.DataObject
) -> None:
    price, prompt, body, rules = case
    bound = bound_chat(body, price, FACTS, prompt, CLIENT, rules)
    granted = data.draw(
        st.integers(bound.floor_output_tokens, bound.wanted_output_tokens), label="granted"
    )
    draw = data.draw
    used = draw(st.integers(0, bound.input_tokens))
    hidden = bool(prompt.hidden)
    audio, image = parts(
        draw, used, *((used, used) if hidden else (prompt.audio_tokens, prompt.image_tokens))
    )
    cached, written = parts(draw, used, used, used)
    most = bound.choices * (granted + prompt.predicted_tokens)
    out = draw(st.integers(0, most))
    spoken = draw(st.integers(0, out)) if "audio" in body["modalities"] else 0
    usage = Usage(
        input_tokens=used,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        audio_input_tokens=audio,
        image_input_tokens=image,
        output_tokens=out,
        audio_output_tokens=spoken,
        web_search_calls=bound.web_search_calls,
    )
    # The provider bills the tier that was asked for, or falls back to the standard one.
    asked = bound.tier_to_write or body["service_tier"]
    billed = {"default", asked if asked in price.tiers else "default"}
    for tier in billed:
        assert cost_of(price, usage, tier).nano <= bound.nano_for(granted)


@given(RATES, st.integers(0, 5_000), st.data())
def test_no_embedding_costs_more_than_its_bound(
    rate: Rate, tokens: int, data: st.DataObject
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    price = Price(1, "m", (), "test", start, {"default": {Meter.INPUT: rate}})
    used = data.draw(st.integers(0, tokens))
    bound = bound_embedding(price, [tokens // 2, tokens - tokens // 2], FACTS)
    assert cost_of(price, Usage(input_tokens=used), "default").nano <= bound.worst_nano
