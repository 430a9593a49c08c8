"""Mistakes that other gateways are known to make in a bill, each with its exact amount."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from gateway.adapters.price_gaps import full_price_list
from gateway.core.events import parse_event
from gateway.core.outcomes import exact
from gateway.core.prices import CostLine, Meter, Price, PriceBook, cost_of
from gateway.core.usage import (
    COUNT_MAX,
    Usage,
    usage_from_batch,
    usage_from_chat,
    usage_from_responses,
    usage_from_speech,
    usage_from_transcription,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(
        Price(place, row.model, row.names, row.source, row.valid_from, row.tiers)
        for place, row in enumerate(full_price_list().rows)
    )


def bill(book: PriceBook, model: str, usage: Usage | None, tier: str = "default") -> int:
    price = book.find(model, NOW)
    assert price is not None
    assert usage is not None
    return cost_of(price, usage, tier).nano


def test_cached_tokens_are_billed_once_at_their_own_rate(book: PriceBook) -> None:
    chat = usage_from_chat(
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 8_000},
        }
    )
    response = usage_from_responses(
        {
            "input_tokens": 10_000,
            "input_tokens_details": {"cached_tokens": 8_000},
            "output_tokens": 100,
        }
    )
    # gpt-4o: 2,000 at $2.50, 8,000 at $1.25 and 100 at $10.00 per million.
    assert bill(book, "gpt-4o", chat) == bill(book, "gpt-4o", response) == 16_000_000
    # Fine-tuned: 2,000 at $3.75, 8,000 at $1.875 and 100 at $15.00.
    assert bill(book, "ft:gpt-4o-2024-08-06:acme::1", chat) == 24_000_000


def test_cache_writes_are_not_dropped(book: PriceBook) -> None:
    usage = usage_from_responses(
        {
            "input_tokens": 10_000,
            "input_tokens_details": {"cached_tokens": 1_000, "cache_write_tokens": 8_000},
            "output_tokens": 0,
        }
    )
    # gpt-6-sol: 1,000 at $2.00, 1,000 at $0.20 and 8,000 at $2.50 per million.
    assert bill(book, "gpt-6-sol", usage) == 2_000_000 + 200_000 + 20_000_000


@pytest.mark.parametrize(
    ("seconds", "nano"),
    [(1, 100_000), (60, 6_000_000), (9, 900_000), (0.5, 50_000), (8.47, 847_000), (0.001, 100)],
)
def test_transcription_by_the_second_is_not_free(
    book: PriceBook, seconds: float, nano: int
) -> None:
    usage = usage_from_transcription({"type": "duration", "seconds": seconds})
    assert bill(book, "whisper-1", usage) == nano


def test_speech_is_tracked(book: PriceBook) -> None:
    assert bill(book, "tts-1", Usage(characters=len("Grüße, 世界"))) == 9 * 15_000
    assert bill(book, "tts-1-hd", Usage(characters=4_096)) == 4_096 * 30_000
    ended = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    assert bill(book, "gpt-4o-mini-tts", usage_from_speech(ended)) == 14 * 600 + 101 * 12_000


def test_an_explicit_zero_is_not_a_missing_count(book: PriceBook) -> None:
    free = {"input_tokens": 0, "output_tokens": 0}
    assert bill(book, "gpt-4o", usage_from_responses(free)) == 0
    assert bill(book, "whisper-1", usage_from_transcription({"seconds": 0})) == 0
    assert usage_from_responses({"input_tokens": 0}) is None
    assert usage_from_responses({"input_tokens": 0, "output_tokens": None}) is None
    assert usage_from_transcription({"type": "duration", "seconds": None}) is None


def test_more_than_ten_billion_tokens_do_not_overflow(book: PriceBook) -> None:
    usage = usage_from_batch(
        {
            "input_tokens": 10_000_000_001,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10_000_000_001,
        }
    )
    assert usage is not None
    price = book.find("gpt-4o-mini", NOW)
    assert price is not None
    ended = exact(price, usage, "batch", 0, status=200)
    assert ended is not None
    assert ended.cost_nano == 10_000_000_001 * 75
    assert ended.lines == (CostLine(Meter.INPUT, 10_000_000_001, 75_000_000, 1_000_000),)
    context = {"team_id": 1, "client_id": 1, "key_id": 1, "endpoint": "batches", "model": "m"}
    fields = {
        "id": "frq_1",
        "kind": "request",
        "outcome": "settled",
        "cost": str(ended.cost_nano),
        "hold": "0",
        "held_at": "1780000000000",
        "at": "1780000000000",
        "budgets": "",
        "context": json.dumps({**context, "price_id": None, "tier": "default", "streamed": False}),
        "result": ended.as_json().decode(),
    }
    row = parse_event({name.encode(): value.encode() for name, value in fields.items()}).row
    assert row["input_tokens"] == 10_000_000_001
    assert row["cost_nano"] == 750_000_000_075
    # The price itself is exact up to the largest count that is believed.
    assert bill(book, "gpt-4o-mini", Usage(input_tokens=COUNT_MAX), "batch") == COUNT_MAX * 75
