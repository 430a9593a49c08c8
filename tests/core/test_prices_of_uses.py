"""Prices of what is no token: images, audio time, characters, training and fees of tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.core.prices import CostLine, Meter, Price, Rate, RateTable, Unpriced, cost_of
from gateway.core.usage import Usage

BY_TOKENS: dict[Meter, Rate] = {
    Meter.INPUT: Rate(4_000_000_000),
    Meter.OUTPUT: Rate(16_000_000_000),
}
BY_USE: dict[Meter, Rate] = {
    Meter.IMAGES: Rate(40_000_000, 1),
    Meter.AUDIO_SECONDS: Rate(6_000_000, 60),
    Meter.CHARACTERS: Rate(15_000_000_000),
    Meter.TRAINED_TOKENS: Rate(25_000_000_000),
    Meter.FILE_SEARCH_CALLS: Rate(2_500_000_000, 1000),
    Meter.CODE_INTERPRETER_SESSIONS: Rate(30_000_000, 1),
}


def price_of(rates: RateTable, tiers: Mapping[str, RateTable] | None = None) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", ("m",), "test", start, {"default": rates, **(tiers or {})})


@pytest.mark.parametrize(
    ("usage", "nano", "line"),
    [
        (Usage(images=3), 120_000_000, CostLine(Meter.IMAGES, 3, 40_000_000, 1)),
        # A second is $0.0001, and a millisecond 100 nano-dollars.
        (
            Usage(audio_milliseconds=1),
            100,
            CostLine(Meter.AUDIO_SECONDS, 1, 6_000_000, 60_000),
        ),
        (
            Usage(audio_milliseconds=8_470),
            847_000,
            CostLine(Meter.AUDIO_SECONDS, 8_470, 6_000_000, 60_000),
        ),
        (
            Usage(characters=4_096),
            61_440_000,
            CostLine(Meter.CHARACTERS, 4_096, 15_000_000_000, 1_000_000),
        ),
        (
            Usage(trained_tokens=10_000_000_001),
            250_000_000_025_000,
            CostLine(Meter.TRAINED_TOKENS, 10_000_000_001, 25_000_000_000, 1_000_000),
        ),
        (
            Usage(file_search_calls=3),
            7_500_000,
            CostLine(Meter.FILE_SEARCH_CALLS, 3, 2_500_000_000, 1000),
        ),
        (
            Usage(code_interpreter_sessions=2),
            60_000_000,
            CostLine(Meter.CODE_INTERPRETER_SESSIONS, 2, 30_000_000, 1),
        ),
    ],
)
def test_what_is_no_token_is_billed_by_its_unit(usage: Usage, nano: int, line: CostLine) -> None:
    cost = cost_of(price_of(BY_USE), usage, "default")
    assert cost.nano == nano
    assert cost.lines == (line,)


def test_audio_time_is_rounded_up_with_the_rest_of_the_bill_once() -> None:
    price = price_of({Meter.AUDIO_SECONDS: Rate(1, 3), Meter.CHARACTERS: Rate(1, 3)})
    # 1 ms is a three-thousandth: with 2/3 it is still one nano-dollar.
    assert cost_of(price, Usage(audio_milliseconds=1, characters=2), "default").nano == 1
    assert cost_of(price, Usage(audio_milliseconds=1001, characters=2), "default").nano == 2


@pytest.mark.parametrize(
    "measured", [Usage(images=1), Usage(audio_milliseconds=1), Usage(characters=1)]
)
def test_a_measure_is_free_only_where_tokens_are_billed_instead(measured: Usage) -> None:
    price = price_of(BY_TOKENS)
    assert cost_of(price, replace(measured, input_tokens=2), "default").nano == 8_000
    assert cost_of(price, replace(measured, output_tokens=1), "default").nano == 16_000
    with pytest.raises(Unpriced):
        cost_of(price, measured, "default")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(trained_tokens=1),
        Usage(file_search_calls=1),
        Usage(code_interpreter_sessions=1),
    ],
)
def test_fees_and_training_are_never_free_for_want_of_a_rate(usage: Usage) -> None:
    with pytest.raises(Unpriced):
        cost_of(price_of(BY_TOKENS), replace(usage, input_tokens=1), "default")


def test_a_measure_with_a_rate_is_billed_beside_tokens() -> None:
    price = price_of({**BY_TOKENS, Meter.IMAGES: Rate(7, 1)})
    assert cost_of(price, Usage(input_tokens=1, images=2), "default").nano == 4_014


def test_variants_of_an_image_are_tiers() -> None:
    price = price_of(
        {Meter.IMAGES: Rate(12, 1)}, {"standard-1024x1024": {Meter.IMAGES: Rate(4, 1)}}
    )
    assert cost_of(price, Usage(images=2), "standard-1024x1024").nano == 8
    assert cost_of(price, Usage(images=2), "default").nano == 24


def test_a_rate_may_be_asked_for_without_being_there() -> None:
    price = price_of({Meter.INPUT: Rate(3)})
    assert price.rate_or_none("default", Meter.CACHED_INPUT) == Rate(3)
    assert price.rate_or_none("default", Meter.IMAGES) is None
    with pytest.raises(Unpriced):
        price.rate_or_none("flex", Meter.INPUT)
