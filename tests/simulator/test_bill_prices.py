"""The simulator's prices, which it shares with nobody, are the ones that the gateway knows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.adapters.price_gaps import full_prices
from gateway.core.prices import Price, PriceBook, Unpriced, cost_of
from gateway.core.usage import Usage
from gateway.simulator.bill_prices import billed
from gateway.simulator.models import _OFFERED, Model
from gateway.simulator.truth import Charge
from tests.e2e.money import PUBLISHED_UNITS, cost_nano


@pytest.fixture(scope="module")
def book() -> PriceBook:
    rows = full_prices()
    return PriceBook(
        Price(number, row.model, row.names, row.source, row.valid_from, row.tiers)
        for number, row in enumerate(rows)
    )


TEXT = ("chat", "completions", "embeddings")


@pytest.mark.parametrize(
    "model", [m for m in _OFFERED if m.serves in TEXT and "unpriced" not in m.name], ids=str
)
@pytest.mark.parametrize("tokens", [100_000, 300_000])
def test_text_costs_the_same_in_every_tier(book: PriceBook, model: Model, tokens: int) -> None:
    price = book.find(model.snapshot, datetime.now(UTC))
    assert price is not None
    out = 0 if model.serves == "embeddings" else 1_000_000
    cached = 20_000 if model.caching else 0
    written = 10_000 if model.cache_writes else 0
    usage = Usage(
        input_tokens=tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=out,
    )
    for tier in sorted({*model.tiers, "batch"} & set(price.tiers)):
        charge = Charge(
            "chat/completions",
            model.snapshot,
            tier,
            prompt_tokens=tokens,
            cached_tokens=cached,
            cache_write_tokens=written,
            completion_tokens=out,
        )
        lines = billed(charge)
        try:
            expected = cost_of(price, usage, tier).nano
        except Unpriced:
            continue
        assert sum(line.pico for line in lines) == expected * 1000, tier
        assert sum(line.count for line in lines) == tokens + out


@pytest.mark.parametrize(("model", "variant"), PUBLISHED_UNITS)
def test_units_cost_the_same(model: str, variant: str) -> None:
    unit = {"tts-1": "characters", "tts-1-hd": "characters", "whisper-1": "audio_ms"}
    charge = Charge("e", model, units={unit.get(model, "images"): 60_000}, variant=variant)
    (line,) = billed(charge)
    assert line.pico == cost_nano(charge) * 1000


def test_media_and_training_cost_the_same() -> None:
    charges = [
        Charge("e", "gpt-image-1", prompt_tokens=900, image_tokens=500, completion_tokens=300),
        Charge("e", "gpt-image-1.5-2025-12-16", prompt_tokens=90, completion_tokens=300),
        Charge("e", "gpt-4o-mini-tts", prompt_tokens=90, completion_tokens=300),
        Charge(
            "e", "gpt-4o-transcribe", prompt_tokens=90, audio_prompt_tokens=80, completion_tokens=3
        ),
        Charge("e", "gpt-4o-mini-2024-07-18", units={"trained_tokens": 12_345}),
        Charge("e", "ft:gpt-4o-mini-2024-07-18:a::b", prompt_tokens=100, completion_tokens=10),
        Charge("e", "gpt-4o-mini-2024-07-18", prompt_tokens=10, units={"web_search_calls": 2}),
    ]
    for charge in charges:
        pico = sum(line.pico for line in billed(charge))
        assert -(-pico // 1000) == cost_nano(charge), charge
    assert billed(Charge("moderations", "omni-moderation-2024-09-26", prompt_tokens=9)) == []
