from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.budgets import (
    FOREVER_MS,
    HOUR_MS,
    Budget,
    Enforcement,
    Scope,
    Window,
    WindowKind,
    window_at,
)
from gateway.core.tags import NO_TAGS

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",  # 30 minutes off the hour
    "Asia/Kathmandu",  # 45 minutes
    "Pacific/Chatham",  # 45 minutes, and daylight saving
    "Australia/Lord_Howe",  # daylight saving of half an hour
    "America/Havana",  # changes at midnight, and repeats 00:00 to 01:00
    "America/Asuncion",
    "America/Sao_Paulo",  # skipped midnight until 2018
    "Asia/Beirut",
    "Africa/Cairo",
    "Atlantic/Azores",
    "America/Nuuk",
    "Asia/Pyongyang",  # moved by half an hour in 2015 and 2018
    "America/Caracas",  # and in 2016
    "Pacific/Kiritimati",
    "Africa/Casablanca",
    "Antarctica/Troll",  # daylight saving of two hours
]
KINDS = [kind for kind in WindowKind if kind is not WindowKind.TOTAL]
MOMENTS = st.integers(
    int(datetime(2012, 6, 1, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2080, 1, 1, tzinfo=UTC).timestamp() * 1000),
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def window(kind: WindowKind, zone: str, at: str) -> tuple[str, str]:
    found = window_at(kind, zone, ms(at))
    start, end = (
        f"{datetime.fromtimestamp(edge / 1000, tz=UTC).astimezone(ZoneInfo(zone)):%m-%d %H:%M%z}"
        for edge in (found.start_ms, found.end_ms)
    )
    return start, end


@pytest.mark.parametrize(
    ("kind", "zone", "at", "start", "end"),
    [
        ("day", "UTC", "2024-02-29T12:00Z", "02-29 00:00+0000", "03-01 00:00+0000"),
        ("month", "UTC", "2024-02-29T23:59Z", "02-01 00:00+0000", "03-01 00:00+0000"),
        ("month", "UTC", "2025-02-28T23:59Z", "02-01 00:00+0000", "03-01 00:00+0000"),
        ("month", "UTC", "2026-12-31T23:59Z", "12-01 00:00+0000", "01-01 00:00+0000"),
        ("week", "UTC", "2026-01-01T00:00Z", "12-29 00:00+0000", "01-05 00:00+0000"),
        ("week", "UTC", "2026-01-05T00:00Z", "01-05 00:00+0000", "01-12 00:00+0000"),
        # 23 and 25 hours
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "03-29 00:00+0100", "03-30 00:00+0200"),
        ("day", "Europe/Berlin", "2026-10-25T12:00Z", "10-25 00:00+0200", "10-26 00:00+0100"),
        ("week", "Europe/Berlin", "2026-03-25T12:00Z", "03-23 00:00+0100", "03-30 00:00+0200"),
        ("month", "Europe/Berlin", "2026-03-01T00:00Z", "03-01 00:00+0100", "04-01 00:00+0200"),
        # Another date there than in UTC
        ("day", "Pacific/Kiritimati", "2026-01-01T10:00Z", "01-02 00:00+1400", "01-03 00:00+1400"),
        # A skipped midnight: the day begins when the clock is put forward
        ("day", "America/Sao_Paulo", "2018-11-04T12:00Z", "11-04 01:00-0200", "11-05 00:00-0200"),
        ("day", "America/Sao_Paulo", "2018-11-03T12:00Z", "11-03 00:00-0300", "11-04 01:00-0200"),
        # A repeated midnight: the day begins with the first
        ("day", "America/Havana", "2026-11-01T12:00Z", "11-01 00:00-0400", "11-02 00:00-0500"),
        ("day", "America/Havana", "2026-11-01T05:30Z", "11-01 00:00-0400", "11-02 00:00-0500"),
        # Hours begin where the local clock shows a whole hour
        ("hour", "Asia/Kolkata", "2026-01-01T00:00Z", "01-01 05:00+0530", "01-01 06:00+0530"),
        ("hour", "Asia/Kathmandu", "2026-01-01T00:00Z", "01-01 05:00+0545", "01-01 06:00+0545"),
        # A repeated hour is an hour of its own
        ("hour", "Europe/Berlin", "2026-10-25T00:30Z", "10-25 02:00+0200", "10-25 02:00+0100"),
        ("hour", "Europe/Berlin", "2026-10-25T01:30Z", "10-25 02:00+0100", "10-25 03:00+0100"),
        # Clocks that move by half an hour cut the hour in two
        (
            "hour",
            "Australia/Lord_Howe",
            "2026-04-04T14:45Z",
            "04-05 01:00+1100",
            "04-05 01:30+1030",
        ),
        (
            "hour",
            "Australia/Lord_Howe",
            "2026-04-04T15:10Z",
            "04-05 01:30+1030",
            "04-05 02:00+1030",
        ),
    ],
)
def test_windows_follow_the_calendar(kind: str, zone: str, at: str, start: str, end: str) -> None:
    assert window(WindowKind(kind), zone, at) == (start, end)


@settings(max_examples=500)
@given(st.sampled_from(KINDS), st.sampled_from(ZONES), MOMENTS)
@example(WindowKind.HOUR, "Australia/Lord_Howe", ms("2026-04-04T15:10Z"))
@example(WindowKind.HOUR, "Australia/Lord_Howe", ms("2026-10-03T15:30Z"))
@example(WindowKind.HOUR, "Asia/Pyongyang", ms("2018-05-04T15:00Z"))
@example(WindowKind.DAY, "America/Havana", ms("2026-11-01T04:59:59Z"))
def test_windows_tile_time(kind: WindowKind, zone: str, at_ms: int) -> None:
    found = window_at(kind, zone, at_ms)
    assert found.contains(at_ms)
    for inside in (found.start_ms, (found.start_ms + at_ms) // 2, found.end_ms - 1):
        assert window_at(kind, zone, inside) == found
    assert window_at(kind, zone, found.end_ms).start_ms == found.end_ms
    assert window_at(kind, zone, found.start_ms - 1).end_ms == found.start_ms


@pytest.mark.parametrize("zone", ZONES)
def test_no_day_of_eight_years_is_counted_twice_or_lost(zone: str) -> None:
    at, end = ms("2014-01-01T00:00Z"), ms("2022-01-01T00:00Z")
    while at < end:
        found = window_at(WindowKind.DAY, zone, at)
        assert found.start_ms <= at
        assert window_at(WindowKind.DAY, zone, found.end_ms - 1) == found
        assert 20 * HOUR_MS <= found.end_ms - found.start_ms <= 28 * HOUR_MS
        at = found.end_ms
        assert window_at(WindowKind.DAY, zone, at).start_ms == at


@given(st.sampled_from(ZONES), MOMENTS)
def test_an_hour_lasts_an_hour_where_clocks_move_by_hours(zone: str, at_ms: int) -> None:
    found = window_at(WindowKind.HOUR, zone, at_ms)
    assert 0 < found.end_ms - found.start_ms <= HOUR_MS
    if zone not in ("Australia/Lord_Howe", "Asia/Pyongyang", "America/Caracas"):
        assert found.end_ms - found.start_ms == HOUR_MS


def test_total_has_no_end() -> None:
    found = window_at(WindowKind.TOTAL, "Europe/Berlin", ms("2026-01-01T00:00Z"))
    assert found == Window(0, FOREVER_MS)
    assert found.contains(0)
    assert found.contains(FOREVER_MS - 1)


def test_a_window_has_its_start_and_not_its_end() -> None:
    found = Window(10, 20)
    assert [found.contains(at) for at in (9, 10, 19, 20)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("pattern", "model", "covered"),
    [
        (None, "anything", True),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-[45]*", "gpt-5", True),
        ("GPT-4o", "gpt-4o", False),
        ("*", "", True),
        ("", "gpt-4o", False),
    ],
)
def test_a_budget_covers_models_by_pattern(pattern: str | None, model: str, covered: bool) -> None:
    budget = Budget(
        1, "b", Scope.CLIENT, 1, WindowKind.DAY, "UTC", Enforcement.STRICT, model_pattern=pattern
    )
    assert budget.covers(model, NO_TAGS) is covered


@pytest.mark.parametrize(
    ("tag", "tags", "covered"),
    [
        (None, {}, True),
        (None, {"project": "alpha"}, True),
        ("project=alpha", {"project": "alpha", "env": "prod"}, True),
        ("project=alpha", {"project": "beta"}, False),
        ("project=alpha", {"env": "alpha"}, False),
        ("project=alpha", {}, False),
        ("project=a=b", {"project": "a=b"}, True),
        ("project=a=b", {"project": "a"}, False),
    ],
)
def test_a_budget_covers_requests_by_tag(
    tag: str | None, tags: dict[str, str], covered: bool
) -> None:
    budget = Budget(1, "b", Scope.CLIENT, 1, WindowKind.DAY, "UTC", Enforcement.STRICT, tag=tag)
    assert budget.covers("gpt-4o", tags) is covered
    of_a_model = replace(budget, model_pattern="gpt-5*")
    assert of_a_model.covers("gpt-4o", tags) is False
    assert of_a_model.covers("gpt-5", tags) is covered
