from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from gateway.core.price_steps import Billed, Step, decimal_text, steps

FIRST = datetime(2026, 5, 1, tzinfo=UTC)


def days(
    *pairs: tuple[int, int], unit: Fraction = Fraction(75), tolerance: int = 3
) -> list[Billed]:
    """Days of (ours, theirs) in nano-dollars."""
    return [
        Billed(FIRST + timedelta(days=n), Fraction(ours), theirs, Fraction(tolerance), unit)
        for n, (ours, theirs) in enumerate(pairs)
    ]


def test_days_that_agree_but_for_rounding_are_in_no_step() -> None:
    assert steps(days((1_000, 1_003), (1_000, 997), (0, 50))) == {}


def test_a_percentage_is_found_whatever_the_rounding() -> None:
    found = steps(days((100_000, 108_502), (333_333, 361_665), (100_000, 100_000)))
    assert {step.ratio for step in found.values()} == {Fraction(1085, 1000)}
    assert {step.since for step in found.values()} == {FIRST}
    assert next(iter(found.values())).percent == "8.5 % more"
    assert len(found) == 2


def test_a_step_begins_where_the_price_changes() -> None:
    found = steps(days((10_000, 10_000), (10_000, 12_000), (50_000, 60_001), (10_000, 8_000)))
    second, third, fourth = (FIRST + timedelta(days=n) for n in (1, 2, 3))
    assert found[second] == found[third] == Step(second, Fraction(6, 5))
    assert found[fourth].percent == "20 % less"
    assert found[fourth].since == fourth


def test_a_plain_price_is_preferred_to_an_odd_percentage() -> None:
    # $0.15 to $0.16 a million is 6.67 %.
    (step,) = steps(days((15_000_000, 16_000_000), unit=Fraction(150))).values()
    assert step.ratio * 150 == 160


def test_what_has_no_plain_form_keeps_its_middle() -> None:
    (step,) = steps(days((3 * 10**14, 10**14 + 1), tolerance=0, unit=Fraction(1, 3))).values()
    assert step.ratio == Fraction(10**14 + 1, 3 * 10**14)
    (free,) = steps(days((1_000, 0))).values()
    assert free.percent == "100 % less"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(17, 2), "8.5"),
        (Fraction(20), "20"),
        (Fraction(-1, 3), "-0.3333"),
        (Fraction(0), "0"),
    ],
)
def test_decimals(value: Fraction, text: str) -> None:
    assert decimal_text(value) == text
