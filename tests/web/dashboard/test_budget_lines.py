"""How a budget is said to do, and its burn-down."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.adapters.budget_state import BudgetState
from gateway.core.budgets import HOUR_MS, WindowKind, window_at
from gateway.web.dashboard.budget_lines import BudgetLine, line_of
from gateway.web.dashboard.budgets import burn_down, totals_of, window_label

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
USD = 10**9


def line(
    spent: int = 0,
    held: int | None = 0,
    limit: int = 100 * USD,
    kind: WindowKind = WindowKind.MONTH,
    hours: dict[int, int] | None = None,
    **terms: Any,
) -> BudgetLine:
    fields = {
        "id": 1,
        "name": "b",
        "limit_nano": limit,
        "window": kind.value,
        "time_zone": "UTC",
        "enforcement": "strict",
        "team_id": None,
        "client_id": None,
        "team_name": None,
        "client_name": None,
        "model_pattern": None,
        "tag": None,
        **terms,
    }
    state = BudgetState(window_at(kind, "UTC", NOW_MS), spent, held)
    return line_of(SimpleNamespace(**fields), state, hours or {}, NOW)


def even(per_hour: int, days: int = 15) -> dict[int, int]:
    first = NOW_MS // HOUR_MS * HOUR_MS
    return {first - n * HOUR_MS: per_hour for n in range(days * 24)}


def test_what_is_left_is_the_limit_less_spent_and_held() -> None:
    found = line(30 * USD, 5 * USD, hours=even(USD // 12))
    assert found.left_nano == 65 * USD
    assert (found.meter.spent, found.meter.held, found.meter.tone) == (300, 50, "")
    assert found.meter.text == "$30.00 spent, $5.00 held, $65.00 left of $100.00"
    assert line(30 * USD, None).left_nano == 70 * USD
    assert line(140 * USD).left_nano == 0


def test_a_meter_is_never_longer_than_its_track() -> None:
    for spent, held in ((0, 0), (99 * USD, 9 * USD), (500 * USD, 9 * USD), (1, 1)):
        meter = line(spent, held).meter
        assert 0 <= meter.spent + meter.held <= 1000
    assert line(0, 0, limit=0).meter.spent == 1000


@pytest.mark.parametrize(
    ("found", "text", "tone"),
    [
        (line(), "No spend yet", ""),
        (line(100 * USD), "Spent", "bad"),
        (line(100 * USD, enforcement="soft"), "Over the limit", "bad"),
        (line(60 * USD, 40 * USD), "All held", "warn"),
        (line(10 * USD, hours=even(USD // 50)), "On track", "good"),
    ],
)
def test_a_budget_says_how_it_does(found: BudgetLine, text: str, tone: str) -> None:
    assert (found.status.text, found.status.tone) == (text, tone)


def test_a_budget_that_will_run_out_says_when() -> None:
    # A dollar an hour: the 20 that are left last 20 hours.
    found = line(80 * USD, hours=even(USD))
    assert found.runs_out_at is not None
    assert timedelta(hours=19) <= found.runs_out_at - NOW <= timedelta(hours=21)
    assert found.status.text.startswith("Runs out in ")
    assert found.meter.tone == "warn"


def test_what_it_is_on_and_counts() -> None:
    assert line().scope == "Organization"
    team = line(team_id=3, team_name="search", model_pattern="gpt-5*", tag="env=test")
    assert (team.scope, team.scope_path) == ("Team search", "/teams/3")
    assert team.narrowed == "models gpt-5*, tag env=test"
    assert line(client_id=4, client_name="ranker").scope_path == "/clients/4"


def test_budgets_are_counted_by_how_they_do() -> None:
    found = totals_of([line(), line(100 * USD), line(80 * USD, hours=even(USD))])
    assert (found.spent, found.running_out, found.on_track) == (1, 1, 1)


# The burn-down


def curves(found: BudgetLine, hours: dict[int, int]) -> dict[str, list[int | None]]:
    series = json.loads(burn_down(found, hours).spec)["series"]
    return {one["name"]: one["values"] for one in series}


def test_a_month_burns_down_from_its_limit_and_meets_what_is_expected_now() -> None:
    hours = even(USD // 10, days=40)
    spent = sum(
        n for at, n in hours.items() if at >= window_at(WindowKind.MONTH, "UTC", NOW_MS).start_ms
    )
    found = curves(line(spent, hours=hours), hours)
    left, expected = found["Left"], found["Expected"]
    assert left[0] == 100 * USD
    known = [value for value in left if value is not None]
    assert known == sorted(known, reverse=True)
    assert known[-1] == 100 * USD - spent
    place = len(known) - 1
    assert expected[place] == known[-1]
    ahead = [value for value in expected[place:] if value is not None]
    assert len(ahead) == len(left) - place
    assert ahead == sorted(ahead, reverse=True)
    assert found["Even spending"][-1] == 0


def test_what_runs_out_stays_at_nothing() -> None:
    hours = even(USD, days=4)
    found = curves(line(80 * USD, hours=hours), hours)
    assert found["Expected"][-1] == 0


@pytest.mark.parametrize("kind", list(WindowKind))
def test_every_kind_of_window_has_a_burn_down(kind: WindowKind) -> None:
    for hours in ({}, even(USD // 100)):
        chart = burn_down(line(USD, kind=kind, hours=hours), hours)
        labels = json.loads(chart.spec)["labels"]
        assert 8 <= len(labels) <= 130
        assert len(chart.rows) == len(labels)


def test_windows_are_called_by_their_days() -> None:
    # A month of Seoul begins on the last day of the month before, in UTC.
    assert window_label(datetime(2026, 2, 28, 15, tzinfo=UTC), "month") == "March 2026"
    assert window_label(datetime(2026, 3, 1, 8, tzinfo=UTC), "month") == "March 2026"
    assert window_label(datetime(2026, 3, 1, 15, tzinfo=UTC), "day") == "2 Mar 2026"
    assert window_label(datetime(2026, 3, 1, 15, tzinfo=UTC), "hour") == "1 Mar 2026, 15:00"
    assert window_label(datetime(2026, 3, 2, tzinfo=UTC), "week") == "Week of 2 Mar 2026"
    assert window_label(datetime(1970, 1, 1, tzinfo=UTC), "total") == "All time"
