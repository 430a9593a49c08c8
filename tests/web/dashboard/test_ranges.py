from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.web.dashboard.ranges import DAYS_MAX, PRESETS, range_of

NOW = datetime(2026, 3, 31, 13, 20, tzinfo=UTC)


def at(day: int, hour: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("24h", at(30, 14), at(31, 14)),
        ("7d", at(25), at(31, 14)),
        ("30d", at(2), at(31, 14)),
        ("month", at(1), at(31, 14)),
        ("last-month", at(1, month=2), at(1)),
    ],
)
def test_presets_are_whole_hours_in_utc(name: str, since: datetime, until: datetime) -> None:
    found = range_of({"range": name}, NOW)
    assert (found.name, found.since, found.until) == (name, since, until)


def test_a_custom_range_is_of_whole_days_and_includes_the_last() -> None:
    found = range_of({"from": "2026-03-04", "to": "2026-03-02", "range": "7d"}, NOW)
    assert (found.name, found.since, found.until) == ("custom", at(2), at(5))
    assert (found.first_day, found.last_day) == ("2026-03-02", "2026-03-04")
    assert found.text == "2 Mar - 4 Mar 2026"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"range": "9y"},
        {"from": "yesterday", "to": "2026-03-02"},
        {"from": "2026-03-02"},
        {"from": "0001-01-01", "to": "9999-12-31"},
    ],
)
def test_what_is_malformed_is_thirty_days(query: dict[str, str]) -> None:
    assert range_of(query, NOW).name == "30d"


def test_a_custom_range_is_bounded() -> None:
    found = range_of({"from": "2001-01-01", "to": "2026-03-02"}, NOW)
    assert found.until - found.since == timedelta(days=DAYS_MAX)


def test_what_is_compared_with_is_as_long_and_ends_where_this_begins() -> None:
    week = range_of({"range": "7d"}, NOW)
    assert (week.previous.since, week.previous.until) == (at(18), at(24, 14))
    days = range_of({"from": "2026-03-03", "to": "2026-03-04"}, NOW)
    assert (days.previous.since, days.previous.until) == (at(1), at(3))


def test_months_are_compared_with_months() -> None:
    # As much of February as has passed of March, but no more than there was.
    month = range_of({"range": "month"}, NOW)
    assert (month.previous.since, month.previous.until) == (at(1, month=2), at(1))
    early = range_of({"range": "month"}, at(10, 6))
    assert (early.previous.since, early.previous.until) == (at(1, month=2), at(10, 6, month=2))
    last = range_of({"range": "last-month"}, NOW)
    assert (last.previous.since, last.previous.until) == (at(1, month=1), at(1, month=2))


def test_every_step_is_in_its_range() -> None:
    for name in PRESETS:
        found = range_of({"range": name}, NOW)
        for by_day in (True, False):
            steps = found.steps(by_day)
            assert steps == sorted(set(steps))
            assert steps[-1] < found.until
            assert steps[0] <= found.since
    assert len(range_of({"range": "24h"}, NOW).steps(by_day=False)) == 24
    assert len(range_of({"range": "7d"}, NOW).steps(by_day=True)) == 7
