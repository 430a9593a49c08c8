from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.core.reports import Point, Sums
from gateway.web.dashboard.charts import OTHERS, SERIES_MAX, Chart, latencies, over_time
from gateway.web.dashboard.ranges import range_of

NOW = datetime(2026, 3, 31, 13, 20, tzinfo=UTC)
WEEK = range_of({"range": "7d"}, NOW)


def point(days_ago: int, key: str, nano: int) -> Point:
    at = datetime(2026, 3, 31, tzinfo=UTC) - timedelta(days=days_ago)
    return Point(at, key, key, Sums(requests=1, cost_nano=nano))


def spec(chart: Chart) -> Any:
    return json.loads(chart.spec)


def test_a_step_without_spending_is_nothing_and_not_missing() -> None:
    chart = over_time("Spend", WEEK, True, [point(0, "a", 5), point(2, "a", 7)])
    (series,) = spec(chart)["series"]
    assert series["values"] == [0, 0, 0, 0, 7, 0, 5]
    assert len(spec(chart)["labels"]) == 7
    assert chart.rows[-1] == ("Tue 31 Mar 2026", "$0.000000005")


def test_groups_beyond_the_palette_are_summed_as_one() -> None:
    points = [point(1, f"g{n}", 100 - n) for n in range(SERIES_MAX + 3)]
    chart = over_time("Spend", WEEK, True, points)
    series = spec(chart)["series"]
    assert [one["name"] for one in series] == [f"g{n}" for n in range(SERIES_MAX)] + [OTHERS]
    assert series[-1]["swatch"] == "rest"
    assert sum(sum(one["values"]) for one in series) == sum(p.sums.cost_nano for p in points)
    assert [entry.swatch for entry in chart.key] == [str(n + 1) for n in range(SERIES_MAX)] + [
        "rest"
    ]


def test_the_period_before_is_laid_under_this_one() -> None:
    chart = over_time(
        "Spend", WEEK, True, [point(0, "a", 5)], before=[point(7, "", 9), point(13, "", 2)]
    )
    line = spec(chart)["series"][-1]
    assert (line["kind"], line["values"]) == ("line", [2, 0, 0, 0, 0, 0, 9])
    assert chart.columns[-1]["label"] == "Period before"


def test_the_table_and_the_summary_say_what_the_chart_shows() -> None:
    chart = over_time(
        "Spend", WEEK, True, [point(0, "a", 10**9), point(0, "b", 10**9), point(1, "b", 5 * 10**9)]
    )
    assert [column["label"] for column in chart.columns] == ["Day", "b", "a", "Total"]
    assert chart.rows[-1] == ("Tue 31 Mar 2026", "$1.00", "$1.00", "$2.00")
    assert "$7.00 in the last 7 days" in chart.summary
    assert "$5.00 on Mon 30 Mar 2026" in chart.summary


def test_what_is_outside_of_the_range_is_left_out() -> None:
    chart = over_time("Spend", WEEK, True, [point(40, "a", 5)])
    assert spec(chart)["series"] == []
    assert "nothing in the last 7 days" in chart.summary


def test_hours_have_their_times() -> None:
    day = range_of({"range": "24h"}, NOW)
    at = datetime(2026, 3, 31, 0, tzinfo=UTC)
    chart = over_time("Spend", day, False, [Point(at, "a", "a", Sums(cost_nano=3))])
    labels = spec(chart)["labels"]
    assert (len(labels), labels[0], labels[10]) == (24, "14:00", "31 Mar")
    assert spec(chart)["titles"][0] == "30 Mar, 14:00 - 15:00"


def test_durations_have_every_bucket_between() -> None:
    chart = latencies("Requests by duration", {4: 2, 8: 1})
    assert chart is not None
    assert spec(chart)["series"][0]["values"] == [2, 0, 0, 0, 1]
    assert spec(chart)["labels"] == ["2 ms", "2 ms", "3 ms", "3 ms", "4 ms"]
    assert latencies("Requests by duration", {}) is None
