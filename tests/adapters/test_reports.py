"""Reports say what the records say, however they are grouped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, insert

from gateway.adapters.reports import grouped, items, latency, refusals, series, totals
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.adapters.tables import hourly_usage, usage_records
from gateway.core.reports import DIMENSIONS, NO_VALUE, Selection, Sums
from tests.adapters.recorded import rows
from tests.adapters.varied import DAYS, FIRST, fill

ALL = Selection(FIRST, FIRST + timedelta(days=DAYS))
# From the middle of a day to the middle of another, so that hours and days are both read.
MIDDLE = Selection(FIRST + timedelta(hours=7), FIRST + timedelta(days=3, hours=19))
SHORT = Selection(FIRST + timedelta(hours=30), FIRST + timedelta(hours=41))

COLUMN = {"team": "team_id", "client": "client_id", "key": "key_id", "tier": "service_tier"}


def chosen(engine: Engine, selection: Selection) -> list[Any]:
    since, until = selection.hours
    return [row for row in rows(engine, usage_records) if since <= row.held_at < until]


@pytest.mark.parametrize("selection", [ALL, MIDDLE, SHORT])
def test_totals_are_those_of_the_records(engine: Engine, selection: Selection) -> None:
    fill(engine)
    found = totals(engine, selection)
    records = chosen(engine, selection)
    assert records
    assert found.cost_nano == sum(row.cost_nano for row in records)
    assert found.requests == sum(row.kind == "request" for row in records)
    assert found.output_tokens == sum(row.output_tokens for row in records)
    assert found.cache_saved_nano == sum(row.cache_saved_nano for row in records)
    parts = found.exact_nano + found.estimated_nano + found.unknown_nano + found.adjusted_nano
    assert parts == found.cost_nano


@pytest.mark.parametrize("by", DIMENSIONS[:-1])
def test_groups_are_those_of_the_records(engine: Engine, by: str) -> None:
    fill(engine)
    wanted: Counter[str] = Counter()
    for row in chosen(engine, MIDDLE):
        wanted[str(row._mapping[COLUMN.get(by, by)])] += row.cost_nano
    groups = grouped(engine, MIDDLE, by)
    assert {group.key: group.sums.cost_nano for group in groups} == wanted
    costs = [group.sums.cost_nano for group in groups]
    assert costs == sorted(costs, reverse=True)
    assert grouped(engine, MIDDLE, by, limit=1) == groups[:1]


def test_groups_have_names(engine: Engine) -> None:
    fill(engine)
    assert {group.name for group in grouped(engine, ALL, "team")} == {"team-1", "team-2"}
    assert {group.name for group in grouped(engine, ALL, "client")} >= {"client-1", "client-4"}
    assert "fg-test...0001" in {group.name for group in grouped(engine, ALL, "key")}


@pytest.mark.parametrize("by", [*DIMENSIONS, "tag:project", "tag:env", "tag:none-has-it"])
def test_every_grouping_sums_to_the_total(engine: Engine, by: str) -> None:
    fill(engine)
    groups = grouped(engine, ALL, by)
    assert sum((group.sums for group in groups), Sums()) == totals(engine, ALL)


def test_groups_by_tag(engine: Engine) -> None:
    fill(engine)
    wanted: Counter[str] = Counter()
    for row in rows(engine, usage_records):
        wanted[orjson.loads(row.tags).get("project", NO_VALUE)] += row.cost_nano
    found = {group.key: group.sums.cost_nano for group in grouped(engine, ALL, "tag:project")}
    assert found == wanted
    alpha = Selection(ALL.since, ALL.until, tag=("project", "alpha"))
    assert totals(engine, alpha).cost_nano == wanted["alpha"]
    clients = grouped(engine, alpha, "client")
    assert sum(group.sums.cost_nano for group in clients) == wanted["alpha"]


@pytest.mark.parametrize(
    ("filters", "keeps"),
    [
        ({"team_ids": (2,)}, lambda row: row.team_id == 2),
        ({"client_ids": (1, 3)}, lambda row: row.client_id in (1, 3)),
        ({"key_ids": (4,)}, lambda row: row.key_id == 4),
        (
            {"models": ("o3",), "tiers": ("flex",)},
            lambda r: (r.model, r.service_tier) == ("o3", "flex"),
        ),
        ({"endpoints": ("embeddings",)}, lambda row: row.endpoint == "embeddings"),
    ],
)
def test_filters(engine: Engine, filters: dict[str, Any], keeps: Callable[[Any], bool]) -> None:
    fill(engine)
    selection = Selection(MIDDLE.since, MIDDLE.until, **filters)
    records = [row for row in chosen(engine, MIDDLE) if keeps(row)]
    assert records
    assert totals(engine, selection).cost_nano == sum(row.cost_nano for row in records)


@pytest.mark.parametrize("step", ["hour", "day"])
@pytest.mark.parametrize("by", [None, "team", "tag:project"])
def test_series_sum_to_the_totals_in_order(engine: Engine, step: str, by: str | None) -> None:
    fill(engine)
    points = series(engine, ALL, step, by)
    assert sum((point.sums for point in points), Sums()) == totals(engine, ALL)
    assert [point.at for point in points] == sorted(point.at for point in points)
    if step == "day" or by == "tag:project":
        assert {point.at.hour for point in points} == {0}
    else:
        assert len({point.at for point in points}) > DAYS


def test_days_of_a_series_join_hours_and_days(engine: Engine) -> None:
    fill(engine)
    wanted: Counter[datetime] = Counter()
    for row in chosen(engine, MIDDLE):
        wanted[row.held_at.replace(hour=0, minute=0, second=0, microsecond=0)] += row.cost_nano
    assert {p.at: p.sums.cost_nano for p in series(engine, MIDDLE, "day")} == wanted


@pytest.mark.parametrize("by", [None, "model", "team", "day"])
def test_line_items_sum_to_the_total(engine: Engine, by: str | None) -> None:
    fill(engine)
    found = items(engine, ALL, by)
    assert sum(item.cost_nano for item in found) == totals(engine, ALL).cost_nano
    if by == "day":
        assert {item.key for item in found} == {f"2026-03-0{day}" for day in range(1, DAYS + 1)}


def test_long_ranges_read_days_and_not_hours(engine: Engine) -> None:
    fill(engine)
    before = totals(engine, ALL)
    with engine.begin() as connection:
        connection.execute(hourly_usage.delete())
    assert totals(engine, ALL) == before


def test_latency_counts_the_requests_with_a_duration(engine: Engine) -> None:
    fill(engine)
    timed = [row for row in rows(engine, usage_records) if row.duration_ms is not None]
    assert sum(latency(engine, ALL).values()) == len(timed) == totals(engine, ALL).timed
    one = Selection(ALL.since, ALL.until, client_ids=(1,))
    assert sum(latency(engine, one).values()) == sum(row.client_id == 1 for row in timed)


def test_refusals(engine: Engine) -> None:
    fill(engine)
    key = {"hour": FIRST, "team_id": 1, "client_id": 1}
    refused = [
        {**key, "budget_id": 7, "code": "insufficient_quota", "requests": 5},
        {**key, "budget_id": 0, "code": "rate_limit_exceeded", "requests": 2},
        {
            **key,
            "hour": datetime(2027, 1, 1, tzinfo=UTC),
            "budget_id": 7,
            "code": "x",
            "requests": 9,
        },
    ]
    with engine.begin() as connection:
        connection.execute(insert(hourly_refusals), refused)
    assert [(r.key, r.requests) for r in refusals(engine, ALL)] == [
        ("insufficient_quota", 5),
        ("rate_limit_exceeded", 2),
    ]
    assert {r.key: r.requests for r in refusals(engine, ALL, "budget")} == {"7": 5, "0": 2}
    assert [(r.name, r.requests) for r in refusals(engine, ALL, "client")] == [("client-1", 7)]


def test_an_empty_deployment_reports_nothing(engine: Engine) -> None:
    assert totals(engine, ALL) == Sums()
    assert not grouped(engine, ALL, "team")
    assert not series(engine, ALL, "hour")
    assert not items(engine, ALL)
    assert latency(engine, ALL) == {}


def test_unknown_groupings_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="not by 'colour'"):
        grouped(engine, ALL, "colour")
    with pytest.raises(ValueError, match="an hour or a day"):
        series(engine, ALL, "minute")
    with pytest.raises(ValueError, match="not kept by tag"):
        items(engine, Selection(ALL.since, ALL.until, tag=("env", "prod")))
    with pytest.raises(ValueError, match="two tags at once"):
        grouped(engine, Selection(ALL.since, ALL.until, tag=("env", "prod")), "tag:project")
