from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bill_lines import BillLine
from gateway.core.reconciling import (
    Cause,
    Difference,
    Figures,
    HourlyUse,
    Recorded,
    days_in_doubt,
    price_text,
)
from gateway.core.reconciling_quantities import compare

DAY = datetime(2026, 5, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=1)


def ours(item: str, quantity: int, nano: int, day: datetime = DAY, **rest: Any) -> Recorded:
    return Recorded(day, "m", item, quantity, nano, **rest)


def theirs(item: str, quantity: int | None, nano: int, day: datetime = DAY) -> BillLine:
    return BillLine(day, "m", item, quantity, nano)


def found(
    recorded: Sequence[Recorded], billed: Sequence[BillLine], **more: Any
) -> list[Difference]:
    return compare(Figures(recorded, billed, more.pop("requests", {}), **more))


def causes(differences: Sequence[Difference]) -> dict[tuple[str, str], int]:
    return {
        (difference.line_item, part.cause): part.nano
        for difference in differences
        for part in difference.parts
    }


def test_what_agrees_is_not_told() -> None:
    assert found([ours("input", 100, 7_500)], [theirs("input", 100, 7_500)]) == []
    assert days_in_doubt([ours("input", 100, 7_500)], [theirs("input", 100, 1)]) == set()
    assert days_in_doubt([ours("input", 100, 1)], [theirs("input", 99, 1)]) == {DAY}
    assert days_in_doubt([], [theirs("input", 99, 1, LATER)]) == {LATER}


def test_rounding_is_within_a_nano_dollar_a_request() -> None:
    requests = {(DAY, "m"): 3}
    differ = found([ours("input", 100, 7_503)], [theirs("input", 100, 7_500)], requests=requests)
    assert causes(differ) == {("input", Cause.ROUNDING): -3}
    differ = found([ours("input", 100, 9_503)], [theirs("input", 100, 9_400)], requests=requests)
    assert causes(differ).keys() == {("input", Cause.PRICE), ("input", Cause.ROUNDING)}


def test_cents_round_more() -> None:
    billed = [theirs("input", 100, 20_000_000), theirs("output", 1, 0)]
    differ = found([ours("input", 100, 24_900_000), ours("output", 1, 4_000_000)], billed)
    assert causes(differ) == {
        ("input", Cause.ROUNDING): -4_900_000,
        ("output", Cause.ROUNDING): -4_000_000,
    }


def test_cached_input_is_told_apart_from_a_general_price_change() -> None:
    recorded = [
        ours("input", 1_000, 2_000_000),
        ours("cached_input", 1_000, 1_000_000),
        ours("output", 100, 800_000),
    ]
    billed = [
        theirs("input", 1_000, 2_400_000),
        theirs("cached_input", 1_000, 1_302_000),
        theirs("output", 100, 960_000),
    ]
    differ = found(recorded, billed)
    assert causes(differ) == {
        ("input", Cause.PRICE): 400_000,
        ("output", Cause.PRICE): 160_000,
        ("cached_input", Cause.PRICE): 200_000,
        ("cached_input", Cause.CACHED_TOKENS): 102_000,
    }
    assert "8.5 % more" in differ[0].parts[1].explanation
    # Where input alone is dearer, cached input is not taken to follow it.
    billed[2] = theirs("output", 100, 800_000)
    billed[1] = theirs("cached_input", 1_000, 1_085_000)
    assert causes(found(recorded, billed)) == {
        ("input", Cause.PRICE): 400_000,
        ("cached_input", Cause.CACHED_TOKENS): 85_000,
    }


def test_another_tier_is_no_other_price() -> None:
    rates = {"input": {Fraction(100), Fraction(50)}}
    differ = found(
        [ours("input", 1_000, 100_000)],
        [theirs("input", 3_000, 200_000)],
        rates=lambda _day, _model, item: rates[item],
    )
    assert causes(differ) == {("input", Cause.MISSING): 100_000}


def test_a_line_without_a_quantity_is_compared_by_its_amount() -> None:
    assert found([ours("input", 7, 70)], [theirs("input", None, 70)]) == []
    differ = found([ours("input", 7, 70)], [theirs("input", None, 170)])
    assert causes(differ) == {("input", Cause.UNEXPLAINED): 100}
    assert causes(found([], [theirs("storage", None, 170)])) == {("storage", Cause.MISSING): 170}


def test_what_is_free_here_and_billed_there_is_a_price() -> None:
    differ = found([ours("input", 7, 0)], [theirs("input", 7, 700)])
    assert causes(differ) == {("input", Cause.PRICE): 700}


def test_a_line_item_without_a_model_is_compared_with_all_models() -> None:
    recorded = [
        Recorded(DAY, "a", "web_search_calls", 2, 20),
        Recorded(DAY, "b", "web_search_calls", 3, 30),
    ]
    assert found(recorded, [BillLine(DAY, "", "web_search_calls", 5, 50)]) == []


def test_earlier_adjustments_are_part_of_what_is_recorded() -> None:
    recorded = [ours("input", 100, 1_000, adjusted_nano=200)]
    assert found(recorded, [theirs("input", 100, 1_200)]) == []
    differ = found(recorded, [theirs("input", 100, 1_500)])
    assert causes(differ) == {("input", Cause.PRICE): 500, ("input", Cause.ADJUSTED): -200}


@pytest.mark.parametrize(
    ("item", "unit", "text"),
    [
        ("input", Fraction(75), "$0.075 per 1M"),
        ("audio_seconds", Fraction(100), "$0.006 per minute"),
        ("images", Fraction(40_000_000), "$0.04 per one"),
    ],
)
def test_prices_are_written_as_published(item: str, unit: Fraction, text: str) -> None:
    assert price_text(item, unit) == text


COUNT = st.integers(0, 10**6)
NANO = st.integers(0, 10**9)
DAYS = st.sampled_from([DAY, LATER])
ITEMS = st.sampled_from(["input", "cached_input", "output", "hold"])
RECORDED = st.builds(
    Recorded, DAYS, st.sampled_from(["m", "n"]), ITEMS, COUNT, NANO, NANO, st.integers(-50, 50)
)
BILLED = st.builds(BillLine, DAYS, st.sampled_from(["m", "n", ""]), ITEMS, st.none() | COUNT, NANO)
HOURS = st.builds(
    HourlyUse,
    st.builds(lambda day, hour: day + timedelta(hours=hour), DAYS, st.integers(0, 23)),
    st.sampled_from(["m", "n"]),
    st.integers(1, 9),
    st.dictionaries(ITEMS, COUNT, min_size=1),
)


@given(
    st.lists(RECORDED, max_size=6),
    st.lists(BILLED, max_size=6),
    st.lists(HOURS, max_size=6),
    st.lists(HOURS, max_size=6),
    st.integers(0, 9),
)
def test_parts_sum_to_the_difference_whatever_the_figures(
    recorded: list[Recorded],
    billed: list[BillLine],
    our_hours: list[HourlyUse],
    their_hours: list[HourlyUse],
    requests: int,
) -> None:
    counted = {(day, model): requests for day in (DAY, LATER) for model in ("m", "n", "")}
    differences = compare(
        Figures(recorded, billed, counted, our_hours, their_hours, lambda _d, _m, _i: {Fraction(7)})
    )
    total = 0
    for difference in differences:
        part = sum(part.nano for part in difference.parts)
        assert part == difference.theirs_nano - difference.ours_nano
        assert all(part.nano and part.explanation for part in difference.parts)
        total += part
    assert total == sum(b.nano for b in billed) - sum(r.total_nano for r in recorded)
