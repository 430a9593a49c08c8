from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.prices import (
    CostLine,
    Meter,
    Price,
    Rate,
    RateTable,
    Unpriced,
    cost_of,
    meter_counts,
    sum_lines,
)
from gateway.core.usage import Usage

START = datetime(2026, 1, 1, tzinfo=UTC)


def usd_per_million(nano: int, *steps: tuple[int, int]) -> Rate:
    return Rate(nano, 1_000_000, steps)


def price_of(rates: RateTable, tiers: Mapping[str, RateTable] | None = None) -> Price:
    return Price(1, "m", ("m",), "test", START, {"default": rates, **(tiers or {})})


ALL_RATES: dict[Meter, Rate] = {
    Meter.INPUT: usd_per_million(4_000_000_000),
    Meter.CACHED_INPUT: usd_per_million(400_000_000),
    Meter.CACHE_WRITE: usd_per_million(5_000_000_000),
    Meter.OUTPUT: usd_per_million(16_000_000_000),
    Meter.AUDIO_INPUT: usd_per_million(32_000_000_000),
    Meter.AUDIO_CACHED_INPUT: usd_per_million(400_000_000),
    Meter.AUDIO_OUTPUT: usd_per_million(64_000_000_000),
    Meter.IMAGE_INPUT: usd_per_million(5_000_000_000),
    Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 1000),
}


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(), 0),
        (Usage(input_tokens=1), 4_000),
        (Usage(input_tokens=1000, cached_input_tokens=600), 400 * 4_000 + 600 * 400),
        (Usage(input_tokens=1000, cached_input_tokens=1000), 1000 * 400),
        (Usage(input_tokens=1000, cache_write_tokens=900), 100 * 4_000 + 900 * 5_000),
        (
            Usage(input_tokens=1000, cached_input_tokens=300, cache_write_tokens=200),
            500 * 4_000 + 300 * 400 + 200 * 5_000,
        ),
        (Usage(input_tokens=100, audio_input_tokens=60), 40 * 4_000 + 60 * 32_000),
        (Usage(input_tokens=100, image_input_tokens=60), 40 * 4_000 + 60 * 5_000),
        (Usage(output_tokens=100, audio_output_tokens=90), 10 * 16_000 + 90 * 64_000),
        # No image output rate: the output rate.
        (Usage(output_tokens=100, image_output_tokens=90), 100 * 16_000),
        # Reasoning and rejected predictions are output already.
        (Usage(output_tokens=100, reasoning_tokens=80), 100 * 16_000),
        (Usage(output_tokens=100, rejected_prediction_tokens=80), 100 * 16_000),
        (Usage(web_search_calls=3), 30_000_000),
        (Usage(input_tokens=1, web_search_calls=1), 4_000 + 10_000_000),
    ],
)
def test_each_count_is_billed_once_at_its_own_rate(usage: Usage, nano: int) -> None:
    cost = cost_of(price_of(ALL_RATES), usage, "default")
    assert cost.nano == nano
    assert sum(line.count * Fraction(line.nano, line.per) for line in cost.lines) == nano


def test_seed_example_of_gpt_3_5_turbo() -> None:
    price = price_of(
        {Meter.INPUT: usd_per_million(500_000_000), Meter.OUTPUT: usd_per_million(1_500_000_000)}
    )
    cost = cost_of(price, Usage(input_tokens=27, output_tokens=1000), "default")
    assert cost.nano == 13_500 + 1_500_000
    assert cost.lines == (
        CostLine(Meter.INPUT, 27, 500_000_000, 1_000_000),
        CostLine(Meter.OUTPUT, 1000, 1_500_000_000, 1_000_000),
    )


@pytest.mark.parametrize(
    ("input_tokens", "nano"),
    [
        (272_000, 272_000 * 2_500 + 10 * 15_000),
        (272_001, 272_001 * 5_000 + 10 * 22_500),
        (500_000, 500_000 * 5_000 + 10 * 22_500),
        (500_001, 500_001 * 6_000 + 10 * 22_500),
    ],
)
def test_long_context_rates_apply_to_all_tokens_above_the_edge(
    input_tokens: int, nano: int
) -> None:
    price = price_of(
        {
            Meter.INPUT: usd_per_million(
                2_500_000_000, (272_000, 5_000_000_000), (500_000, 6_000_000_000)
            ),
            Meter.OUTPUT: usd_per_million(15_000_000_000, (272_000, 22_500_000_000)),
        }
    )
    usage = Usage(input_tokens=input_tokens, output_tokens=10)
    assert cost_of(price, usage, "default").nano == nano


@pytest.mark.parametrize(
    ("input_tokens", "nano"), [(0, 5), (10, 5), (11, 9), (20, 9), (21, 9), (10**9, 9)]
)
def test_the_highest_reachable_rate_counts_for_a_bound(input_tokens: int, nano: int) -> None:
    assert Rate(5, 1, ((10, 9), (20, 7))).highest_up_to(input_tokens) == nano


@pytest.mark.parametrize(
    ("nano", "per", "steps"),
    [
        (-1, 1, ()),
        (1, 0, ()),
        (1, -1, ()),
        (1, 1, ((5, -1),)),
        (1, 1, ((-5, 1),)),
        (1, 1, ((5, 1), (4, 2))),
        (1, 1, ((5, 1), (5, 2))),
    ],
)
def test_impossible_rates_are_refused(
    nano: int, per: int, steps: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(nano, per, steps)


def test_service_tiers_have_their_own_rates() -> None:
    tiers = {
        tier: {Meter.INPUT: usd_per_million(nano)}
        for tier, nano in (("flex", 5), ("priority", 40), ("batch", 6))
    }
    price = price_of({Meter.INPUT: usd_per_million(10)}, tiers)
    usage = Usage(input_tokens=1_000_000)
    costs = {tier: cost_of(price, usage, tier).nano for tier in price.tiers}
    assert costs == {"default": 10, "flex": 5, "priority": 40, "batch": 6}


def test_an_unknown_tier_is_unpriced_rather_than_standard() -> None:
    with pytest.raises(Unpriced, match="'scale'"):
        cost_of(price_of(ALL_RATES), Usage(input_tokens=1), "scale")


@pytest.mark.parametrize(
    "usage", [Usage(output_tokens=1), Usage(output_tokens=1, audio_output_tokens=1)]
)
def test_a_count_without_a_rate_is_unpriced(usage: Usage) -> None:
    price = price_of({Meter.INPUT: usd_per_million(1)})
    with pytest.raises(Unpriced, match="output"):
        cost_of(price, usage, "default")
    assert cost_of(price, Usage(input_tokens=1), "default").nano == 1


def test_cached_audio_without_a_rate_gets_no_discount() -> None:
    rates = dict(ALL_RATES)
    del rates[Meter.AUDIO_CACHED_INPUT]
    assert price_of(rates).rate("default", Meter.AUDIO_CACHED_INPUT) == rates[Meter.AUDIO_INPUT]
    text_only: dict[Meter, Rate] = {Meter.INPUT: Rate(4), Meter.CACHED_INPUT: Rate(1)}
    assert price_of(text_only).rate("default", Meter.IMAGE_CACHED_INPUT) == Rate(1)


def test_fractions_are_summed_before_rounding_up_once() -> None:
    third = {Meter.INPUT: Rate(1, 3), Meter.OUTPUT: Rate(1, 3), Meter.WEB_SEARCH_CALLS: Rate(1, 7)}
    price = price_of(third)
    assert cost_of(price, Usage(input_tokens=1, output_tokens=2), "default").nano == 1
    assert cost_of(price, Usage(input_tokens=2, output_tokens=2), "default").nano == 2
    # 1/3 + 1/3 + 1/7 = 17/21, and 4/3 + 3/7 = 37/21.
    assert (
        cost_of(price, Usage(input_tokens=1, output_tokens=1, web_search_calls=1), "default").nano
        == 1
    )
    assert cost_of(price, Usage(input_tokens=4, web_search_calls=3), "default").nano == 2


def test_huge_counts_stay_exact() -> None:
    price = price_of({Meter.INPUT: Rate(600_000_000_001, 1_000_000)})
    usage = Usage(input_tokens=10_000_000_001)
    assert cost_of(price, usage, "default").nano == 6_000_000_000_610_001
    most = Usage(input_tokens=2**53 - 1)
    assert sum_lines(cost_of(price, most, "default").lines) == -(
        -(2**53 - 1) * 600_000_000_001 // 1_000_000
    )


def test_overlapping_parts_are_billed_at_the_dearer_rate() -> None:
    usage = Usage(input_tokens=200, cached_input_tokens=150, audio_input_tokens=100)
    cost = cost_of(price_of(ALL_RATES), usage, "default")
    assert cost.nano == 100 * 32_000 + 100 * 400
    # What OpenAI would bill: 50 cached audio, 50 audio, 100 cached text.
    assert cost.nano >= 50 * 400 + 50 * 32_000 + 100 * 400


def test_overlap_follows_the_rates_and_not_a_fixed_order() -> None:
    rates = {
        Meter.INPUT: usd_per_million(1_000_000),
        Meter.CACHE_WRITE: usd_per_million(9_000_000),
        Meter.IMAGE_INPUT: usd_per_million(2_000_000),
    }
    usage = Usage(input_tokens=10, cache_write_tokens=10, image_input_tokens=4)
    assert cost_of(price_of(rates), usage, "default").nano == 10 * 9


counts = st.integers(0, 10**7)
amounts = st.integers(0, 10**12)
pers = st.sampled_from([1, 7, 1000, 3600, 1_000_000])


@st.composite
def flat_prices(draw: st.DrawFn) -> Price:
    meters = [meter for meter, _ in meter_counts(Usage())]
    return price_of({meter: Rate(draw(amounts), draw(pers)) for meter in meters})


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages whose parts are disjoint."""
    cached, write, audio, image, text = (draw(counts) for _ in range(5))
    out, audio_out, image_out = (draw(counts) for _ in range(3))
    return Usage(
        input_tokens=cached + write + audio + image + text,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        audio_input_tokens=audio,
        image_input_tokens=image,
        output_tokens=out + audio_out + image_out,
        audio_output_tokens=audio_out,
        image_output_tokens=image_out,
        web_search_calls=draw(counts),
        file_search_calls=draw(counts),
        code_interpreter_sessions=draw(counts),
        images=draw(counts),
        audio_milliseconds=draw(counts),
        characters=draw(counts),
        trained_tokens=draw(counts),
    )


def add(a: Usage, b: Usage) -> Usage:
    return Usage(**{name: getattr(a, name) + getattr(b, name) for name in Usage.__slots__})


@given(flat_prices(), usages(), usages())
def test_more_usage_never_costs_less(price: Price, usage: Usage, more: Usage) -> None:
    assert cost_of(price, add(usage, more), "default").nano >= cost_of(price, usage, "default").nano


@given(flat_prices(), usages(), usages())
def test_splitting_a_request_adds_at_most_the_rounding(price: Price, a: Usage, b: Usage) -> None:
    together = cost_of(price, add(a, b), "default").nano
    apart = cost_of(price, a, "default").nano + cost_of(price, b, "default").nano
    assert together <= apart <= together + 1


@given(flat_prices(), st.data())
def test_overlap_is_an_upper_bound_of_every_possible_split(
    price: Price, data: st.DataObject
) -> None:
    """Any tokens, each with a way it was read and a kind, cost at most what the totals cost.

    Each token's true rate is taken as the dearer one of the two that it is counted under.
    """
    rate = {m: Fraction(r.nano, r.per) for m, r in price.tiers["default"].items()}
    cells = {
        (read, kind): data.draw(st.integers(0, 50))
        for read in (None, Meter.CACHED_INPUT, Meter.CACHE_WRITE)
        for kind in (None, Meter.AUDIO_INPUT, Meter.IMAGE_INPUT)
    }
    cells[None, None] = 0  # certain overlap: no token is without a part

    def total(part: Meter) -> int:
        return sum(count for cell, count in cells.items() if part in cell)

    usage = Usage(
        input_tokens=sum(cells.values()),
        cached_input_tokens=total(Meter.CACHED_INPUT),
        cache_write_tokens=total(Meter.CACHE_WRITE),
        audio_input_tokens=total(Meter.AUDIO_INPUT),
        image_input_tokens=total(Meter.IMAGE_INPUT),
    )
    exact = sum(
        count * max(rate[part] for part in cell if part) for cell, count in cells.items() if count
    )
    assert cost_of(price, usage, "default").nano >= exact
    assert sum(count for _, count in meter_counts(usage)) == usage.input_tokens


@pytest.mark.parametrize(
    ("price", "free"),
    [
        (price_of({Meter.INPUT: usd_per_million(0)}), True),
        (price_of({Meter.INPUT: usd_per_million(0)}, {"flex": {}}), True),
        (price_of({Meter.INPUT: usd_per_million(0), Meter.OUTPUT: usd_per_million(1)}), False),
        (price_of({Meter.INPUT: usd_per_million(0)}, {"flex": ALL_RATES}), False),
        (price_of({Meter.INPUT: usd_per_million(0, (100, 5))}), False),
    ],
)
def test_what_is_free_in_every_tier_and_step_is_free(price: Price, free: bool) -> None:
    assert price.is_free is free
