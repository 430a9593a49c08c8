from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budgets import FOREVER_MS, HOUR_MS, Window, WindowKind, window_at
from gateway.core.forecast import DAY_MS, HISTORY_MS, HORIZON_MS, Basis, forecast, run_rate

USD = 1_000_000_000
NOW_MS = int(datetime(2026, 6, 17, 12, 30, tzinfo=UTC).timestamp()) * 1000
"""A Wednesday."""

HOUR = NOW_MS // HOUR_MS * HOUR_MS


def month() -> Window:
    return window_at(WindowKind.MONTH, "UTC", NOW_MS)


def flat(hours: int, nano: int, until_ms: int = HOUR) -> dict[int, int]:
    """``nano`` in each of so many whole hours before ``until_ms``."""
    return {until_ms - n * HOUR_MS: nano for n in range(1, hours + 1)}


histories = st.dictionaries(
    st.integers(0, HISTORY_MS // HOUR_MS).map(lambda n: HOUR - n * HOUR_MS),
    st.integers(-USD, 1000 * USD),
    max_size=60,
)
windows = st.sampled_from([window_at(kind, "Asia/Kolkata", NOW_MS) for kind in WindowKind])
amounts = st.integers(0, 10**15)


@given(windows, amounts, histories, st.none() | amounts)
def test_the_parts_of_a_forecast_agree(
    window: Window, spent: int, hours: dict[int, int], limit: int | None
) -> None:
    found = forecast(window, NOW_MS, spent, hours, limit)
    assert found.rate_nano >= 0
    assert 0 <= found.observed_ms <= DAY_MS
    if window.end_ms == FOREVER_MS:
        assert found.end_nano is None
    else:
        assert found.end_nano is not None
        assert found.end_nano >= spent
        # A moment is named exactly where the end of the window is beyond the limit.
        assert (found.runs_out_ms is not None) == (limit is not None and found.end_nano >= limit)
    if found.runs_out_ms is not None:
        assert NOW_MS <= found.runs_out_ms <= min(window.end_ms, NOW_MS + HORIZON_MS)


@given(windows, amounts, amounts, histories)
def test_more_spent_is_never_less_expected(
    window: Window, spent: int, more: int, hours: dict[int, int]
) -> None:
    low = forecast(window, NOW_MS, spent, hours).end_nano
    high = forecast(window, NOW_MS, spent + more, hours).end_nano
    assert (low is None and high is None) or (low is not None and high is not None and low <= high)


@given(windows, amounts, histories, st.integers(1, 10**15))
def test_a_higher_limit_never_runs_out_earlier(
    window: Window, spent: int, hours: dict[int, int], limit: int
) -> None:
    low = forecast(window, NOW_MS, spent, hours, limit).runs_out_ms
    high = forecast(window, NOW_MS, spent, hours, limit * 2).runs_out_ms
    assert high is None or (low is not None and low <= high)


@given(st.integers(1, 40), st.integers(1, 100 * USD))
def test_what_never_changes_goes_on(days: int, nano: int) -> None:
    """At one amount an hour, whatever the case, the rest of the window costs that amount."""
    window = month()
    hours = flat(days * 24, nano) | {HOUR: nano // 2}
    # As much as the window's own pace would be, had it been so all along.
    spent = nano * (NOW_MS - max(window.start_ms, HOUR - days * DAY_MS)) // HOUR_MS
    found = forecast(window, NOW_MS, spent, hours)
    exact = spent + nano * (window.end_ms - NOW_MS) // HOUR_MS
    assert found.end_nano is not None
    # Each hour is rounded down by three nano-dollars at most.
    assert exact - 3 * 31 * 24 - exact // 100 <= found.end_nano <= exact + exact // 100
    assert abs(found.rate_nano - 24 * nano) <= 24 * nano // 20


def test_two_minutes_are_not_taken_for_the_whole() -> None:
    """The first dollar of a deployment, two minutes old, is a dollar an hour at most."""
    at_ms = HOUR + 120_000
    found = forecast(month(), at_ms, USD, {HOUR: USD})
    assert found.basis is Basis.PACE
    assert found.rate_nano == 24 * USD
    left_hours = (month().end_ms - at_ms) // HOUR_MS + 1
    assert found.end_nano is not None
    assert found.end_nano <= USD + left_hours * USD


@pytest.mark.parametrize(
    "kind", [WindowKind.HOUR, WindowKind.DAY, WindowKind.WEEK, WindowKind.MONTH]
)
def test_the_first_minute_of_a_window_continues_what_was(kind: WindowKind) -> None:
    start = window_at(WindowKind.MONTH, "UTC", NOW_MS).start_ms
    window = window_at(kind, "UTC", start)
    at_ms = window.start_ms + 60_000
    hours = flat(35 * 24, USD, until_ms=start)
    length = (window.end_ms - window.start_ms) // HOUR_MS
    # Nothing yet, and three times as much as usual: neither is the whole story.
    for spent in (0, USD // 20):
        found = forecast(window, at_ms, spent, hours)
        assert found.basis is Basis.WEEKS
        assert found.end_nano is not None
        assert 95 * length * USD // 100 <= found.end_nano <= 106 * length * USD // 100


def test_weekends_are_known() -> None:
    """Spending on working days alone is expected on working days alone."""
    hours = {
        hour: 2 * USD
        for hour in range(HOUR - 35 * DAY_MS, HOUR, HOUR_MS)
        if datetime.fromtimestamp(hour / 1000, UTC).weekday() < 5
    }
    window = window_at(WindowKind.WEEK, "UTC", NOW_MS)
    found = forecast(window, HOUR, 0, hours)
    # Wednesday from 12:00 on, Thursday and Friday.
    assert found.end_nano == (12 + 48) * 2 * USD
    # The limit is reached on Friday, not on Sunday.
    found = forecast(window, HOUR, 0, hours, (12 + 24 + 6) * 2 * USD)
    assert found.runs_out_ms == HOUR + (12 + 24 + 6) * HOUR_MS


def test_the_level_of_today_counts() -> None:
    """Twice as much as in past weeks, for a day: the rest of the window is twice as dear too."""
    hours = flat(35 * 24, USD) | flat(24, 2 * USD)
    found = forecast(month(), HOUR, 0, hours)
    assert found.basis is Basis.WEEKS
    assert found.end_nano == 2 * USD * ((month().end_ms - HOUR) // HOUR_MS)


@pytest.mark.parametrize("now", [0, 10 * USD])
def test_a_past_that_is_no_guide_is_dropped(now: int) -> None:
    hours = flat(35 * 24, USD) | flat(24, now)
    found = forecast(month(), HOUR, 0, hours)
    assert found.basis is not Basis.WEEKS
    # Half of the month has passed without spending in it, so its own pace halves the recent one.
    assert found.end_nano is not None
    assert found.end_nano <= now * ((month().end_ms - HOUR) // HOUR_MS)
    assert (found.end_nano > 0) == (now > 0)


def test_a_short_window_follows_itself() -> None:
    """Half-way through an hour that costs ten times as much as usual."""
    hours = flat(35 * 24, USD) | {HOUR: 5 * USD}
    window = Window(HOUR, HOUR + HOUR_MS)
    found = forecast(window, NOW_MS, 5 * USD, hours, 7 * USD)
    # Half by its own pace, 5, and half by the usual, 0.5.
    assert found.end_nano == 5 * USD + (5 * USD + USD // 2) // 2
    assert found.runs_out_ms is not None
    assert NOW_MS < found.runs_out_ms < window.end_ms


def test_a_total_has_no_end_but_runs_out() -> None:
    window = window_at(WindowKind.TOTAL, "UTC", NOW_MS)
    hours = flat(48, USD)
    found = forecast(window, HOUR, 50 * USD, hours, 100 * USD)
    assert found.end_nano is None
    assert found.runs_out_ms is not None
    assert abs(found.runs_out_ms - (HOUR + 50 * HOUR_MS)) <= 3 * HOUR_MS
    # Not within a year: that is too far to be said.
    assert forecast(window, HOUR, 0, hours, 24 * 400 * USD).runs_out_ms is None


def test_without_spending_nothing_is_expected() -> None:
    found = forecast(month(), NOW_MS, 0, {}, USD)
    assert (found.basis, found.rate_nano, found.end_nano) == (Basis.NOTHING, 0, 0)
    assert found.runs_out_ms is None
    assert found.observed_ms == 0
    # What is spent already has run out already.
    assert forecast(month(), NOW_MS, USD, {}, USD).runs_out_ms == NOW_MS


def test_the_run_rate_is_of_the_last_day() -> None:
    assert run_rate(flat(24 * 30, USD), HOUR) in range(23 * USD, 24 * USD + 1)
    assert run_rate({HOUR: USD}, HOUR + 1) == 24 * USD
    assert run_rate({HOUR - 2 * DAY_MS: USD}, NOW_MS) == 0
    assert run_rate({}, NOW_MS) == 0
