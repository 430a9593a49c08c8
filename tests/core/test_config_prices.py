from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.config_fields import InvalidField
from gateway.core.config_prices import StatedPrice, price_value, rate_value, stated_price
from gateway.core.price_overrides import STEP_METERS
from gateway.core.prices import Meter, Price, Rate

AT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"model": "m", "valid_from": AT, "tiers": {"default": {"input": "0.50"}}}


@st.composite
def rates(draw: st.DrawFn, meter: Meter) -> Rate:
    nano = st.integers(0, 10**12)
    starts = (
        draw(st.lists(st.integers(0, 10**6), max_size=3, unique=True))
        if meter in STEP_METERS
        else []
    )
    steps = tuple((start, draw(nano)) for start in sorted(starts))
    return Rate(draw(nano), draw(st.sampled_from([1, 60, 1000, 1_000_000])), steps)


@st.composite
def tables(draw: st.DrawFn) -> dict[Meter, Rate]:
    meters = draw(st.lists(st.sampled_from(list(Meter)), min_size=1, max_size=4, unique=True))
    return {meter: draw(rates(meter)) for meter in meters}


TIERS = st.dictionaries(
    st.sampled_from(["default", "batch", "standard-1024x1024"]), tables(), min_size=1
)
LIMITS = st.none() | st.integers(1, 2**53 - 1)


@settings(deadline=None)
@given(TIERS, LIMITS, LIMITS)
def test_a_row_as_it_is_written_is_there_already(
    tiers: dict[str, dict[Meter, Rate]], window: int | None, most: int | None
) -> None:
    row = Price(1, "m", ("m",), "override", AT, tiers, window, most, is_override=True)
    stated = stated_price(price_value(row))
    assert stated.is_in(row)
    assert stated.completed({}) == tiers
    assert (stated.context_window, stated.output_tokens_max) == (window, most)


def test_a_rate_is_text_where_there_is_no_more_to_say() -> None:
    assert rate_value(Meter.INPUT, Rate(500_000_000)) == "0.50"
    assert rate_value(Meter.IMAGES, Rate(40_000_000, 1)) == "0.04"
    assert rate_value(Meter.INPUT, Rate(1, 1000)) == {"usd": "0.000000001", "per": 1000}
    stepped = Rate(1_250_000_000, steps=((200_000, 2_500_000_000),))
    assert rate_value(Meter.INPUT, stepped) == {
        "usd": "1.25",
        "above": [{"tokens": 200_000, "usd": "2.50"}],
    }


def test_what_is_not_stated_is_as_in_the_row_in_force() -> None:
    base = {"default": {Meter.INPUT: Rate(1), Meter.OUTPUT: Rate(2)}}
    stated = StatedPrice(
        "m", AT, {"default": {Meter.OUTPUT: Rate(3)}, "flex": {Meter.INPUT: Rate(4)}}
    )
    assert stated.completed(base) == {
        "default": {Meter.INPUT: Rate(1), Meter.OUTPUT: Rate(3)},
        "flex": {Meter.INPUT: Rate(4)},
    }
    whole = Price(1, "m", (), "override", AT, stated.completed(base))
    assert stated.is_in(whole)
    assert not StatedPrice("m", AT, {"default": {Meter.CACHED_INPUT: Rate(1)}}).is_in(whole)
    assert not StatedPrice("m", AT, {}, context_window=5).is_in(whole)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"modell": "x"}, ".modell"),
        ({"model": ""}, ".model"),
        ({"valid_from": "2026-01-01"}, ".valid_from"),
        ({"tiers": []}, ".tiers"),
        ({"tiers": {"default": {}}}, ".tiers.default"),
        ({"tiers": {"": {"input": "1"}}}, ".tiers."),
        ({"tiers": {"default": {"thoughts": "1"}}}, ".tiers.default.thoughts"),
        ({"tiers": {"default": {"input": 0.5}}}, ".tiers.default.input"),
        ({"tiers": {"default": {"input": {"per": 1}}}}, ".tiers.default.input"),
        ({"tiers": {"default": {"input": {"usd": 1}}}}, ".tiers.default.input.usd"),
        ({"tiers": {"default": {"input": {"usd": "1", "unit": 1}}}}, ".tiers.default.input.unit"),
        ({"tiers": {"default": {"input": {"usd": "1", "per": 0}}}}, ".tiers.default.input.per"),
        ({"tiers": {"default": {"input": {"usd": "1", "above": 5}}}}, ".tiers.default.input.above"),
        (
            {"tiers": {"default": {"input": {"usd": "1", "above": [{"tokens": 1}]}}}},
            ".tiers.default.input.above[0]",
        ),
        (
            {"tiers": {"default": {"images": {"usd": "1", "above": [{"tokens": 1, "usd": "1"}]}}}},
            ".tiers.default.images.above",
        ),
        (
            {
                "tiers": {
                    "default": {
                        "input": {
                            "usd": "1",
                            "above": [{"tokens": 2, "usd": "1"}, {"tokens": 1, "usd": "1"}],
                        }
                    }
                }
            },
            ".tiers.default.input.above",
        ),
        ({"tiers": {"default": {"input": "0"}}}, ""),
        ({"tiers": {"default": {"input": "0"}}, "free": "yes"}, ".free"),
        ({"tiers": {}}, ""),
        ({"context_window": 0}, ".context_window"),
    ],
)
def test_a_mistake_has_its_place(more: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidField) as refused:
        stated_price({**GOOD, **more})
    assert refused.value.place == place


def test_what_is_missing_is_said() -> None:
    for needed in ("model", "valid_from"):
        with pytest.raises(InvalidField, match=f"a price needs {needed}"):
            stated_price({name: value for name, value in GOOD.items() if name != needed})
    with pytest.raises(InvalidField, match="must be a table"):
        stated_price("m")
    free = stated_price({**GOOD, "tiers": {"default": {"input": "0"}}, "free": True})
    assert free.tiers["default"][Meter.INPUT] == Rate(0)
