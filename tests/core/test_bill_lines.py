from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from gateway.core.bill_lines import (
    BillNames,
    UnreadableBill,
    item_of,
    nano_of,
    quantity_of,
    unit_rates,
)
from gateway.core.prices import Meter, Price, PriceBook, Rate

DAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt-6-astra, input_tokens", ("gpt-6-astra", "input")),
        ("gpt-4o-2024-08-06, cached input", ("gpt-4o-2024-08-06", "cached_input")),
        ("gpt-4o-2024-08-06, input_cached_tokens", ("gpt-4o-2024-08-06", "cached_input")),
        ("gpt-4o, batch, Output", ("gpt-4o", "output")),
        ("gpt-4o, training", ("gpt-4o", "trained_tokens")),
        ("gpt-4o, trained_tokens", ("gpt-4o", "trained_tokens")),
        ("whisper-1, seconds", ("whisper-1", "audio_seconds")),
        ("web search tool calls", ("", "web_search_calls")),
        ("assistants api | storage", ("", "assistants_api_storage")),
        ("", ("", "")),
    ],
)
def test_line_items_are_read(text: str, expected: tuple[str, str]) -> None:
    assert item_of(text) == expected


def test_amounts_are_the_decimals_that_their_floats_stand_for() -> None:
    assert nano_of(0.1, "usd") == 100_000_000
    assert nano_of(0.8958740000000001, "usd") == 895_874_000
    assert nano_of("1e-9", None) == 1
    assert nano_of(-2, "USD") == -2_000_000_000
    assert nano_of(0.0000000005, "usd") == 0
    for value, currency in ((1.0, "eur"), (float("nan"), "usd"), (1e16, "usd")):
        with pytest.raises(UnreadableBill):
            nano_of(value, currency)


def test_quantities_are_in_our_counts() -> None:
    assert quantity_of(12.0, "tokens", "input") == 12
    assert quantity_of(1.5, "1000_tokens", "input") == 1500
    assert quantity_of(0.1, "duration_minutes", "audio_seconds") == 6000
    assert quantity_of(2.5, None, "audio_seconds") == 2500
    assert quantity_of(3.0, None, "web_search_calls") == 3
    assert quantity_of(None, "tokens", "input") is None
    with pytest.raises(UnreadableBill):
        quantity_of(float("inf"), "tokens", "input")


def price(model: str, *names: str) -> Price:
    rates = {Meter.INPUT: Rate(2_500, 1_000, ((10, 5_000),)), Meter.AUDIO_SECONDS: Rate(60, 60)}
    tiers = {"default": rates, "batch": {Meter.INPUT: Rate(1_250, 1_000)}}
    return Price(1, model, names, "list", DAY, tiers)


def test_names_of_one_price_row_are_one() -> None:
    names = BillNames(PriceBook([price("m", "m", "m-2026-01-01"), price("ft:m", "ft:m*")]), DAY)
    assert [names.name(text) for text in ("m", "m-2026-01-01", "other")] == ["m", "m", "other"]
    # Each fine-tuned model stays what it is.
    assert names.name("ft:m:acme::1") == "ft:m:acme::1"


def test_rates_are_of_every_tier_and_length() -> None:
    book = PriceBook([price("m", "m")])
    assert unit_rates(book, DAY, "m", "input") == {Fraction(5, 2), Fraction(5), Fraction(5, 4)}
    assert unit_rates(book, DAY, "m", "audio_seconds") == {Fraction(1, 1000)}
    assert unit_rates(book, DAY, "m", "storage") == set()
    assert unit_rates(book, DAY, "other", "input") == set()
