from __future__ import annotations

import pytest

from gateway.core.price_overrides import InvalidOverride, parse_override
from gateway.core.prices import Meter, Rate

BASE = {
    "default": {
        Meter.INPUT: Rate(2_500_000_000, 1_000_000, ((272_000, 5_000_000_000),)),
        Meter.CACHED_INPUT: Rate(250_000_000),
        Meter.OUTPUT: Rate(15_000_000_000),
    },
    "priority": {Meter.INPUT: Rate(5_000_000_000), Meter.OUTPUT: Rate(30_000_000_000)},
}


def test_dollars_per_million_become_exact_rates() -> None:
    tiers = parse_override(
        {
            Meter.INPUT: "0.50",
            Meter.OUTPUT: "1.50",
            Meter.CACHED_INPUT: "0.0625",
            Meter.AUDIO_OUTPUT: "0.000000001",
            Meter.WEB_SEARCH_CALLS: "10",
            Meter.AUDIO_SECONDS: "0.006",
        }
    )
    assert tiers == {
        "default": {
            Meter.INPUT: Rate(500_000_000, 1_000_000),
            Meter.OUTPUT: Rate(1_500_000_000, 1_000_000),
            Meter.CACHED_INPUT: Rate(62_500_000, 1_000_000),
            Meter.AUDIO_OUTPUT: Rate(1, 1_000_000),
            Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 1000),
            Meter.AUDIO_SECONDS: Rate(6_000_000, 60),
        }
    }


def test_rates_above_a_number_of_tokens_become_a_step() -> None:
    tiers = parse_override(
        {Meter.INPUT: "1", Meter.OUTPUT: "4"}, above=272_000, amounts_above={Meter.INPUT: "2"}
    )
    assert tiers["default"] == {
        Meter.INPUT: Rate(1_000_000_000, 1_000_000, ((272_000, 2_000_000_000),)),
        Meter.OUTPUT: Rate(4_000_000_000),
    }


def test_what_is_not_stated_is_copied_from_the_row_in_force() -> None:
    tiers = parse_override({Meter.INPUT: "2"}, base=BASE)
    assert tiers == {
        "default": {**BASE["default"], Meter.INPUT: Rate(2_000_000_000)},
        "priority": BASE["priority"],
    }
    assert BASE["default"][Meter.INPUT].steps


def test_a_tier_that_the_base_has_is_completed_from_it() -> None:
    tiers = parse_override({Meter.INPUT: "6"}, tier="priority", base=BASE)
    assert tiers["default"] == BASE["default"]
    assert tiers["priority"] == {
        Meter.INPUT: Rate(6_000_000_000),
        Meter.OUTPUT: Rate(30_000_000_000),
    }


def test_a_new_tier_is_completed_from_the_standard_tier() -> None:
    tiers = parse_override({Meter.INPUT: "1"}, tier="flex", base=BASE)
    assert tiers["flex"] == {**BASE["default"], Meter.INPUT: Rate(1_000_000_000)}


@pytest.mark.parametrize(
    "amount", ["-1", "-0.000000001", "NaN", "inf", "0.0000000001", "x", "1e20"]
)
@pytest.mark.parametrize("meter", [Meter.INPUT, Meter.WEB_SEARCH_CALLS])
def test_amounts_that_cannot_be_charged_are_refused(meter: Meter, amount: str) -> None:
    with pytest.raises(InvalidOverride, match=meter.value):
        parse_override({meter: amount})
    with pytest.raises(InvalidOverride):
        parse_override({meter: "1"}, above=1000, amounts_above={meter: amount})


def test_free_is_a_price_where_it_is_meant() -> None:
    assert parse_override({Meter.INPUT: "0"}, free=True) == {"default": {Meter.INPUT: Rate(0)}}


@pytest.mark.parametrize("amount", ["0", "0.000", "0e5", "-0"])
def test_zero_is_refused_unless_it_is_meant(amount: str) -> None:
    with pytest.raises(InvalidOverride, match="output price is zero"):
        parse_override({Meter.INPUT: "1", Meter.OUTPUT: amount})
    with pytest.raises(InvalidOverride, match="input price is zero"):
        parse_override({Meter.INPUT: "1"}, above=1000, amounts_above={Meter.INPUT: amount})


@pytest.mark.parametrize(
    ("amounts", "above", "amounts_above", "message"),
    [
        ({}, None, None, "at least one price"),
        ({Meter.INPUT: "1"}, 1000, None, "--above"),
        ({Meter.INPUT: "1"}, None, {Meter.INPUT: "2"}, "--above"),
        ({Meter.INPUT: "1"}, 0, {Meter.INPUT: "2"}, "above zero"),
        ({Meter.INPUT: "1"}, -5, {Meter.INPUT: "2"}, "above zero"),
        ({Meter.INPUT: "1"}, 1000, {Meter.OUTPUT: "2"}, "no base price"),
        (
            {Meter.WEB_SEARCH_CALLS: "1"},
            1000,
            {Meter.WEB_SEARCH_CALLS: "2"},
            "does not depend on input tokens",
        ),
    ],
)
def test_incomplete_overrides_are_refused(
    amounts: dict[Meter, str],
    above: int | None,
    amounts_above: dict[Meter, str] | None,
    message: str,
) -> None:
    with pytest.raises(InvalidOverride, match=message):
        parse_override(amounts, above=above, amounts_above=amounts_above)


def test_a_tier_needs_a_standard_tier_beside_it() -> None:
    with pytest.raises(InvalidOverride, match="'flex'"):
        parse_override({Meter.INPUT: "1"}, tier="flex")
    with pytest.raises(InvalidOverride, match="name"):
        parse_override({Meter.INPUT: "1"}, tier="")
