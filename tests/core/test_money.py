from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.money import (
    InvalidAmount,
    decimal_usd,
    display_usd,
    divide_up,
    nano_from_usd,
    usd_from_nano,
)


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        ("0", 0),
        ("0.50", 500_000_000),
        ("1.50", 1_500_000_000),
        ("0.000000001", 1),
        ("-2.5", -2_500_000_000),
        ("1e-9", 1),
        ("1E3", 1_000_000_000_000),
        ("0e999999", 0),
        ("1" + "0" * 15, 10**24),
        (12, 12_000_000_000),
        (Decimal("0.0625"), 62_500_000),
        ("0.1000000000000000000000000000000", 100_000_000),
        ("999999999999999.999999999", 999_999_999_999_999_999_999_999),
    ],
)
def test_dollars_become_nano_dollars_exactly(amount: str | int | Decimal, nano: int) -> None:
    assert nano_from_usd(amount) == nano


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "ten",
        "1,50",
        "$1",
        "NaN",
        "sNaN",
        "Infinity",
        "-inf",
        "0.0000000001",
        # More digits than decimal's default precision: must not be rounded to a valid amount.
        "0.1234567890000000000000000000000000001",
        "1000000000000000.0000000000000000000000000001",
        "1e-999999",
        "1e-9999999999",
        "1e16",
        "-1e16",
        "1e9999999",
        0.5,
        True,
        None,
    ],
)
def test_amounts_that_cannot_be_held_exactly_are_refused(amount: object) -> None:
    with pytest.raises(InvalidAmount):
        nano_from_usd(amount)  # type: ignore[arg-type]


@given(st.integers(-(10**24), 10**24))
def test_dollars_and_nano_dollars_round_trip(nano: int) -> None:
    assert nano_from_usd(usd_from_nano(nano)) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1_500_000_000, "$1.50"),
        (42_000, "$0.000042"),
        (1, "$0.000000001"),
        (-1_250_000_000, "-$1.25"),
        (1_234_567_000_000_000, "$1,234,567.00"),
    ],
)
def test_people_see_all_digits_that_matter(nano: int, text: str) -> None:
    assert display_usd(nano) == text


@given(st.integers(0, 10**30), st.integers(1, 10**9))
def test_divide_up_is_the_least_integer_not_below_the_quotient(top: int, bottom: int) -> None:
    quotient = divide_up(top, bottom)
    assert (quotient - 1) * bottom < top <= quotient * bottom


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (500_000_000_000, "500.00"), (1_500, "0.0000015"), (-1, "-0.000000001")],
)
def test_dollars_for_programs_have_two_decimals_or_as_many_as_it_takes(
    nano: int, text: str
) -> None:
    assert decimal_usd(nano) == text
    assert nano_from_usd(text) == nano
