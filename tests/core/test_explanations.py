from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.explanations import (
    ChargedWindow,
    amount_text,
    charged_windows,
    count_text,
    rate_text,
    rounding_text,
    stored_lines,
)
from gateway.core.prices import CostLine, Meter


def test_rates_are_written_as_providers_publish_them() -> None:
    assert rate_text(Meter.INPUT, 2_500_000_000, 1_000_000) == "$2.50 per 1M"
    assert rate_text(Meter.AUDIO_SECONDS, 6_000_000, 60_000) == "$0.006 per minute"
    assert rate_text(Meter.IMAGES, 40_000_000, 1) == "$0.04 per image"
    assert rate_text(Meter.WEB_SEARCH_CALLS, 10_000_000_000, 1000) == "$10.00 per 1,000"


def test_counts_are_in_the_unit_of_their_meter() -> None:
    assert count_text(CostLine(Meter.INPUT, 12_345, 1, 1)) == "12,345"
    assert count_text(CostLine(Meter.AUDIO_SECONDS, 61_500, 1, 1)) == "61.500"
    assert count_text(CostLine(Meter.AUDIO_SECONDS, 3_600_000, 1, 1)) == "3,600"


@given(st.integers(0, 10**9), st.integers(0, 10**12), st.sampled_from([1, 1000, 60_000, 10**6]))
def test_amounts_are_exact_to_fifteen_decimals(count: int, nano: int, per: int) -> None:
    text = amount_text(CostLine(Meter.INPUT, count, nano, per))
    shown = Fraction(text.removeprefix("$").replace(",", ""))
    assert abs(shown - Fraction(count * nano, per * 10**9)) <= Fraction(1, 2 * 10**15)
    assert len(text.partition(".")[2]) >= 2


def test_rounding_is_told_where_there_was_any() -> None:
    whole = CostLine(Meter.INPUT, 1000, 500_000_000, 1_000_000)
    assert rounding_text([whole]) == ""
    assert rounding_text([]) == ""
    assert rounding_text([whole, CostLine(Meter.OUTPUT, 1, 333_000, 1_000_000)]) == (
        "$0.000000000667000"
    )


def test_a_records_lines_and_windows_are_read_back() -> None:
    assert stored_lines('[["input",3,5,7]]') == [CostLine(Meter.INPUT, 3, 5, 7)]
    start = datetime(2026, 5, 1, tzinfo=UTC)
    text = f"4:{int(start.timestamp() * 1000)}:12:500:strict,9:0"
    assert list(charged_windows(text)) == [
        ChargedWindow(4, start, 12, 500, "strict"),
        ChargedWindow(9, datetime.fromtimestamp(0, UTC), 0, 0, ""),
    ]
    assert list(charged_windows("")) == []
