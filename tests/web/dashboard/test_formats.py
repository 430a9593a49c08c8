from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.web.dashboard.formats import (
    change,
    duration,
    percent,
    permille,
    short,
    slug,
    span,
    usd,
)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (423_456, "$0.000423"),
        (1_995_000, "$0.002"),
        (99_960_000, "$0.10"),
        (100_000_000, "$0.10"),
        (999_999_999, "$1.00"),
        (1_234_565_000_000, "$1,234.57"),
        (-5_000_000, "-$0.005"),
        (12_345_678_904_999_999, "$12,345,678.90"),
    ],
)
def test_dollars_are_to_the_cent_and_little_keeps_its_digits(nano: int, text: str) -> None:
    assert usd(nano) == text


def test_an_amount_never_reads_as_nothing() -> None:
    for power in range(16):
        assert usd(10**power) != usd(0)
        assert usd(-(10**power)).startswith("-$")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_999, "999k"),
        (1_234_567, "1.23M"),
        (45_600_000_000, "45.6B"),
        (-12_345, "-12.3k"),
    ],
)
def test_large_counts_are_short(value: int, text: str) -> None:
    assert short(value) == text


def test_shares() -> None:
    assert percent(1, 3) == "33 %"
    assert percent(1, 40) == "2.5 %"
    assert percent(3, 100) == "3.0 %"
    assert percent(1, 100_000) == "< 0.1 %"
    assert percent(0, 5) == "0 %"
    assert percent(5, 0) == "—"
    assert permille(5, 0) == 0
    assert permille(7, 5) == 1000
    assert permille(-1, 5) == 0


def test_changes() -> None:
    assert change(5, 0) is None
    assert change(5, None) is None
    more = change(150, 100)
    assert more is not None
    assert (more.permille, more.text) == (500, "50 %")
    less = change(99, 100)
    assert less is not None
    assert (less.permille, less.text) == (-10, "1.0 %")
    many = change(2_500, 100)
    assert many is not None
    assert many.text == "25x"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "—"),
        (0, "0 ms"),
        (999, "999 ms"),
        (2_417, "2.41 s"),
        (32_417, "32.4 s"),
        (200_000, "3 min 20 s"),
        (600_000, "10 min"),
    ],
)
def test_durations(milliseconds: int | None, text: str) -> None:
    assert duration(milliseconds) == text


def test_spans_have_two_units() -> None:
    assert span(timedelta(days=3, hours=4, minutes=5)) == "3 d 4 h"
    assert span(timedelta(days=3, minutes=5)) == "3 d"
    assert span(timedelta(seconds=-5)) == "0 s"
    later = datetime(2026, 5, 4, tzinfo=UTC) - datetime(2026, 5, 3, 23, 59, 20, tzinfo=UTC)
    assert span(later) == "40 s"


def test_slugs_are_ids() -> None:
    assert slug("Cost per 1,000 requests") == "cost-per-1-000-requests"
    assert slug("!") == "part"
