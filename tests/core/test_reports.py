from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

from gateway.adapters.tables import SUMS
from gateway.core.reports import Selection, Sums, day_after, hour_after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_sums_have_every_column_that_is_summed() -> None:
    names = [field.name for field in fields(Sums)]
    assert names[: len(SUMS)] == list(SUMS)


def test_sums_add_and_subtract_field_by_field() -> None:
    one = Sums(requests=2, cost_nano=500, exact_nano=500)
    assert one + one == Sums(requests=4, cost_nano=1000, exact_nano=1000)
    assert one - one == Sums()


def test_cost_per_thousand_requests() -> None:
    assert Sums(requests=3, cost_nano=10).nano_per_thousand_requests == 3_333
    assert Sums().nano_per_thousand_requests == 0


def test_a_range_is_widened_to_whole_hours_or_days() -> None:
    late = NOON.replace(minute=1)
    selection = Selection(late, late)
    assert selection.hours == (NOON, NOON.replace(hour=13))
    assert selection.days == (NOON.replace(hour=0), datetime(2026, 3, 2, tzinfo=UTC))
    assert hour_after(NOON) == NOON
    assert day_after(NOON.replace(hour=0)) == NOON.replace(hour=0)
