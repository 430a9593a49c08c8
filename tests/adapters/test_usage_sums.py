"""Everything that is summed over records equals what the records say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from gateway.adapters.rollup_tables import (
    WHO_AND_WHAT,
    daily_costs,
    daily_latency,
    daily_tags,
    daily_usage,
)
from gateway.adapters.tables import SUMS, hourly_usage, usage_records
from gateway.adapters.usage_rows import record
from gateway.core.latency import bucket_of
from gateway.core.reports import day_of, hour_of
from tests.adapters.recorded import event, rows
from tests.adapters.varied import fill, usage_events


def keyed(row: Any, *names: str) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in names)


@pytest.mark.parametrize(("table", "time"), [(hourly_usage, "hour"), (daily_usage, "day")])
def test_sums_by_time_are_those_of_the_records(engine: Engine, table: Any, time: str) -> None:
    fill(engine)
    start = hour_of if time == "hour" else day_of
    costs: Counter[tuple[Any, ...]] = Counter()
    requests: Counter[tuple[Any, ...]] = Counter()
    who = WHO_AND_WHAT[:-1]
    for row in rows(engine, usage_records):
        key = (start(row.held_at), *keyed(row, *who))
        costs[key] += row.cost_nano
        requests[key] += row.kind == "request"
    found_costs: Counter[tuple[Any, ...]] = Counter()
    found_requests: Counter[tuple[Any, ...]] = Counter()
    for row in rows(engine, table):
        key = keyed(row, time, *who)
        found_costs[key] += row.cost_nano
        found_requests[key] += row.requests
    assert found_costs == costs
    assert found_requests == requests


def test_costs_by_line_item_sum_to_the_costs_by_day(engine: Engine) -> None:
    fill(engine)
    by_item: Counter[tuple[Any, ...]] = Counter()
    for row in rows(engine, daily_costs):
        by_item[keyed(row, "day", *WHO_AND_WHAT)] += row.cost_nano
    by_day = {keyed(row, "day", *WHO_AND_WHAT): row.cost_nano for row in rows(engine, daily_usage)}
    assert {k: v for k, v in by_item.items() if v} == {k: v for k, v in by_day.items() if v}
    items = {row.line_item for row in rows(engine, daily_costs)}
    assert items == {"input", "cached_input", "output", "hold", "estimate"}


def test_a_correction_takes_the_hold_back(engine: Engine) -> None:
    expired = event("frq_1", 500, outcome="expired", certainty="unknown", usage={})
    lines = [["input", 240, 500_000, 1_000_000]]
    correction = event("frq_1", -380, kind="correction", lines=lines)
    record(engine, [expired])
    record(engine, [correction])
    found = {(row.certainty, row.line_item): row.cost_nano for row in rows(engine, daily_costs)}
    assert found == {("unknown", "hold"): 0, ("exact", "input"): 120}


def test_a_record_is_in_the_sums_of_each_of_its_tags(engine: Engine) -> None:
    fill(engine)
    wanted: Counter[tuple[str, str]] = Counter()
    for row in rows(engine, usage_records):
        for tag in orjson.loads(row.tags).items():
            wanted[tag] += row.cost_nano
    found: Counter[tuple[str, str]] = Counter()
    for row in rows(engine, daily_tags):
        found[row.tag, row.value] += row.cost_nano
    assert found == wanted
    assert len(found) == 4


def test_durations_are_counted_by_bucket(engine: Engine) -> None:
    fill(engine)
    wanted: Counter[tuple[Any, ...]] = Counter()
    for row in rows(engine, usage_records):
        if row.duration_ms is not None:
            who = (row.team_id, row.client_id, row.model)
            wanted[day_of(row.held_at), *who, bucket_of(row.duration_ms)] += 1
    found = {tuple(row)[:-1]: row.requests for row in rows(engine, daily_latency)}
    assert found == wanted


def test_an_event_that_is_offered_again_adds_nothing(engine: Engine) -> None:
    events = usage_events(3, 40)
    record(engine, events)
    tables = (hourly_usage, daily_usage, daily_costs, daily_tags, daily_latency)
    before = [rows(engine, table) for table in tables]
    record(engine, events)
    assert [rows(engine, table) for table in tables] == before
    assert all(before)
    assert set(SUMS) <= set(daily_usage.columns.keys())


@pytest.mark.parametrize(
    "lines",
    [
        "no list",
        [["input"]],
        [["input", 1, 2, 0]],
        [["input", 1.5, 2, 1]],
        [["input", -1, 2, 1]],
        [["input", 2**63, 0, 1]],
        [["input", 2**62, 2**62, 1]],
        [["no meter", 1, 2, 3]],
        [["input", "1", 2, 3]],
        [7],
    ],
)
def test_lines_that_cannot_be_read_lose_no_money(engine: Engine, lines: Any) -> None:
    record(engine, [event("frq_1", 120, lines=lines)])
    (cost,) = rows(engine, daily_costs)
    assert (cost.line_item, cost.quantity, cost.cost_nano) == ("estimate", 0, 120)
