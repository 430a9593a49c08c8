from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache_savings import cache_savings, whole_nano
from gateway.core.prices import CostLine, Meter, Price, Rate, RateTable, cost_of
from gateway.core.usage import Usage


def price_of(rates: RateTable) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "m", (), "test", start, {"default": rates})


def saved(rates: RateTable, usage: Usage) -> Fraction:
    price = price_of(rates)
    return cache_savings(price, usage, "default", cost_of(price, usage, "default").lines)


DEAR, CHEAP = Rate(2_500_000_000), Rate(1_250_000_000)


@pytest.mark.parametrize(
    ("rates", "usage", "nano"),
    [
        (
            {Meter.INPUT: DEAR, Meter.CACHED_INPUT: CHEAP},
            Usage(input_tokens=1_000, cached_input_tokens=600),
            600 * 1_250,
        ),
        ({Meter.INPUT: DEAR, Meter.CACHED_INPUT: CHEAP}, Usage(input_tokens=1_000), 0),
        # Without a rate of its own, cached input costs what other input does.
        ({Meter.INPUT: DEAR}, Usage(input_tokens=1_000, cached_input_tokens=600), 0),
        # Free where it is cached.
        (
            {Meter.INPUT: DEAR, Meter.CACHED_INPUT: Rate(0)},
            Usage(input_tokens=10, cached_input_tokens=10),
            10 * 2_500,
        ),
        # What it cost to write the cache is not taken off.
        (
            {Meter.INPUT: DEAR, Meter.CACHED_INPUT: CHEAP, Meter.CACHE_WRITE: Rate(3_000_000_000)},
            Usage(input_tokens=1_000, cached_input_tokens=100, cache_write_tokens=800),
            100 * 1_250,
        ),
        # A long prompt would have cost its own rate.
        (
            {
                Meter.INPUT: Rate(2_000_000, steps=((200, 4_000_000),)),
                Meter.CACHED_INPUT: Rate(500_000, steps=((200, 1_000_000),)),
            },
            Usage(input_tokens=300, cached_input_tokens=100),
            100 * 3,
        ),
        # Dearer by mistake of an override: below zero, and in whole nano-dollars none.
        (
            {Meter.INPUT: CHEAP, Meter.CACHED_INPUT: DEAR},
            Usage(input_tokens=10, cached_input_tokens=10),
            -10 * 1_250,
        ),
    ],
)
def test_what_was_saved(rates: RateTable, usage: Usage, nano: int) -> None:
    assert saved({**rates, Meter.OUTPUT: DEAR}, usage) == nano


def test_kinds_of_input_are_compared_with_their_own_rate() -> None:
    price = price_of({Meter.INPUT: Rate(1, 1), Meter.AUDIO_INPUT: Rate(9, 1)})
    lines = [
        CostLine(Meter.AUDIO_CACHED_INPUT, 10, 4, 1),
        CostLine(Meter.IMAGE_CACHED_INPUT, 10, 1, 2),
        CostLine(Meter.OUTPUT, 10, 4, 1),
    ]
    found = cache_savings(price, Usage(input_tokens=20), "default", lines)
    # Images have no rate of their own, and cost what text does.
    assert found == 10 * (9 - 4) + 10 * (1 - Fraction(1, 2))


def test_a_price_without_input_says_nothing() -> None:
    price = price_of({Meter.CACHED_INPUT: Rate(1, 1)})
    lines = [CostLine(Meter.CACHED_INPUT, 10, 1, 1)]
    assert cache_savings(price, Usage(), "default", lines) == 0


@pytest.mark.parametrize(
    ("exact", "nano"),
    [(Fraction(7, 2), 3), (Fraction(3), 3), (Fraction(-1, 2), 0), (Fraction(0), 0)],
)
def test_savings_are_rounded_down_and_never_below_zero(exact: Fraction, nano: int) -> None:
    assert whole_nano(exact) == nano


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**10), st.integers(0, 10**10))
def test_cost_and_savings_are_what_it_would_have_cost(
    fresh: int, cached: int, dear: int, cheap: int
) -> None:
    rates = {Meter.INPUT: Rate(dear), Meter.CACHED_INPUT: Rate(min(cheap, dear))}
    usage = Usage(input_tokens=fresh + cached, cached_input_tokens=cached)
    price = price_of(rates)
    cost = cost_of(price, usage, "default")
    without = cost_of(price, Usage(input_tokens=fresh + cached), "default").nano
    kept = whole_nano(cache_savings(price, usage, "default", cost.lines))
    assert 0 <= without - cost.nano - kept <= 1
