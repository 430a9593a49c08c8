from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alerts import (
    LATE_MS,
    RETRY_SECONDS_MAX,
    AlertKind,
    Rule,
    Standing,
    Verdict,
    Watched,
    anomaly_crossing,
    covers,
    forecast_crossings,
    is_passed,
    pause_seconds,
    threshold_crossings,
    verdict_of_status,
)
from gateway.core.budgets import FOREVER_MS, HOUR_MS, Window
from gateway.core.forecast import DAY_MS, Basis, Forecast

LIMIT = 1_000
NOW_MS = 1_780_000_000_000
WINDOW = Window(NOW_MS - DAY_MS, NOW_MS + 9 * DAY_MS)
BUDGET = Watched(7, "web", "client web", LIMIT, 0, team_id=2, client_id=3)


def rule(kind: AlertKind = AlertKind.THRESHOLD, *percents: int, **about: Any) -> Rule:
    return Rule(
        1, "rule", kind, percents or (50, 80, 100), (1,), about.pop("created_ms", 0), **about
    )


def standing(spent: int, **changes: Any) -> Standing:
    return replace(Standing(BUDGET, WINDOW, spent, 0), **changes)


def crossed(*standings: Standing, **about: Any) -> list[int]:
    return [one.percent for one in threshold_crossings([rule(**about)], standings, NOW_MS)]


@pytest.mark.parametrize(
    ("spent", "percents"),
    [(0, []), (499, []), (500, [50]), (800, [50, 80]), (999, [50, 80]), (1000, [50, 80, 100])],
)
def test_thresholds_are_crossed_to_the_nano_dollar(spent: int, percents: list[int]) -> None:
    assert crossed(standing(spent)) == percents


def test_what_is_held_is_not_spent() -> None:
    assert crossed(standing(499, held_nano=501)) == []


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(1, 1000))
def test_more_spent_never_uncrosses(spent: int, more: int, percent: int) -> None:
    low, high = standing(spent), standing(spent + more)
    assert not is_passed(low, percent) or is_passed(high, percent)


def test_a_budget_that_refuses_is_spent() -> None:
    assert crossed(standing(900, refuses=True)) == [50, 80, 100]
    # One request that was too large for a budget with room says nothing of the budget.
    assert crossed(standing(899, refuses=True)) == [50, 80]


def test_a_limit_of_zero_is_spent_when_it_refuses() -> None:
    none = replace(BUDGET, limit_nano=0)
    assert crossed(Standing(none, WINDOW, 0, 0)) == []
    assert crossed(Standing(none, WINDOW, 0, 0, refuses=True)) == [100]


def test_a_crossing_is_of_a_window_and_a_limit() -> None:
    def keys(one: Standing) -> set[object]:
        return {found.key for found in threshold_crossings([rule()], [one], NOW_MS)}

    first = keys(standing(500))
    assert first == keys(standing(650)), "it is the same crossing however far it goes"
    assert not first & keys(standing(500, window=Window(WINDOW.end_ms, FOREVER_MS)))
    raised = keys(standing(1000, budget=replace(BUDGET, limit_nano=2 * LIMIT)))
    assert raised
    assert not first & raised


def test_windows_that_ended_are_looked_at_for_a_while() -> None:
    ended = Window(NOW_MS - HOUR_MS, NOW_MS - LATE_MS + 1)
    assert crossed(standing(500, window=ended)) == [50]
    assert crossed(standing(500, window=replace(ended, end_ms=NOW_MS - LATE_MS))) == []
    # Made after the window had ended: nobody asked to be told of that.
    assert crossed(standing(500, window=ended), created_ms=ended.end_ms) == []
    young = replace(BUDGET, created_ms=ended.end_ms)
    assert crossed(standing(500, window=ended, budget=young)) == []


@pytest.mark.parametrize(
    ("about", "is_about"),
    [
        ({}, True),
        ({"budget_id": 7}, True),
        ({"budget_id": 8}, False),
        ({"team_id": 2}, True),
        ({"team_id": 1}, False),
        ({"client_id": 3}, True),
        ({"client_id": 2}, False),
    ],
)
def test_what_rules_are_about(about: dict[str, Any], is_about: bool) -> None:
    assert covers(rule(**about), BUDGET) is is_about
    assert crossed(standing(1000), **about) == ([50, 80, 100] if is_about else [])
    assert rule(**about).is_for_all == (not about)


def test_rules_about_one_thing_say_nothing_of_others() -> None:
    other = rule(AlertKind.FORECAST, 100)
    assert list(threshold_crossings([other], [standing(1000)], NOW_MS)) == []
    expected = Forecast(1, 10 * LIMIT, NOW_MS, Basis.PACE, DAY_MS)
    assert list(forecast_crossings([rule()], standing(1), expected)) == []


@pytest.mark.parametrize(
    ("spent", "end", "percents"),
    [
        (100, 999, [80]),
        (100, 1000, [80, 100]),
        (799, 1000, [80, 100]),
        # Spent already: a threshold's to tell.
        (800, 1000, [100]),
        (1000, 5000, []),
        (100, 799, []),
    ],
)
def test_forecasts_are_crossed_before_the_limit_is(
    spent: int, end: int, percents: list[int]
) -> None:
    expected = Forecast(10, end, None, Basis.WEEKS, DAY_MS)
    rules = [rule(AlertKind.FORECAST, 80, 100)]
    found = list(forecast_crossings(rules, standing(spent), expected))
    assert [one.percent for one in found] == percents
    assert all(one.facts["forecast_nano"] == end for one in found)


def test_a_forecast_of_little_is_not_told() -> None:
    rules = [rule(AlertKind.FORECAST, 100)]
    little = Forecast(10, 10 * LIMIT, None, Basis.PACE, DAY_MS - 1)
    assert list(forecast_crossings(rules, standing(1), little)) == []
    short = standing(1, window=Window(NOW_MS - HOUR_MS // 2, NOW_MS + HOUR_MS // 2))
    tenth = replace(little, observed_ms=HOUR_MS // 10)
    assert [one.percent for one in forecast_crossings(rules, short, tenth)] == [100]
    endless = replace(little, end_nano=None, observed_ms=DAY_MS)
    assert list(forecast_crossings(rules, standing(1), endless)) == []


def test_an_anomaly_is_of_its_hour() -> None:
    about = rule(AlertKind.ANOMALY, 300)
    one = anomaly_crossing(about, "team:1", "team a", NOW_MS, 300, 9, 2)
    assert one.key == (1, "team:1", NOW_MS, 300)
    assert (one.facts["spent_nano"], one.facts["usual_nano"]) == (9, 2)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.SENT) for status in (200, 201, 202, 204, 299)),
        *((status, Verdict.AGAIN) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
        *(
            (status, Verdict.FAILED)
            for status in (301, 302, 307, 308, 400, 401, 403, 404, 410, 422)
        ),
        (199, Verdict.FAILED),
    ],
)
def test_verdicts(status: int, verdict: Verdict) -> None:
    assert verdict_of_status(status) is verdict


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 10**9))
def test_pauses_grow_and_have_an_end(attempts: int, chance: float, asked: float) -> None:
    pause = pause_seconds(attempts, chance, asked)
    assert 0.5 <= pause <= 1.5 * RETRY_SECONDS_MAX
    assert pause >= min(asked, RETRY_SECONDS_MAX)
    assert pause_seconds(attempts + 2, chance) >= pause_seconds(attempts, chance)


def test_pauses_are_doubled_and_spread() -> None:
    assert [pause_seconds(n, 0.5) for n in range(1, 6)] == [1, 2, 4, 8, 16]
    assert (pause_seconds(3, 0.0), pause_seconds(3, 1.0)) == (2, 6)
    assert pause_seconds(1, 0.5, 30) == 30
