from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.adjustments import Adjustment, Source, post
from gateway.adapters.cost_buckets import cost_buckets
from gateway.adapters.usage_rows import record
from gateway.core.time_buckets import COST_DAY, Page
from gateway.core.usage_families import Only
from tests.adapters.spent import DAY, END, START, recorded_in, traffic

EVENTS = traffic(11)
ROWS = [event.row for event in EVENTS]
TOTAL = sum(row["cost_nano"] for row in ROWS)
PAGE = Page(COST_DAY, START, END, None)
ALL = Only()

GROUPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "project_id": lambda row: row["team_id"],
    "user_id": lambda row: row["client_id"],
    "api_key_id": lambda row: row["key_id"],
    "model": lambda row: row["model"],
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def recorded(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The traffic, recorded in a database of each kind."""
    with recorded_in(request, EVENTS) as engine:
        yield engine


def expected(by: tuple[str, ...], rows: list[dict[str, Any]], tag: str | None = None) -> Any:
    sums: Counter[Any] = Counter()
    for row in rows:
        moment = int(row["held_at"].timestamp())
        group = [GROUPS[name](row) for name in by]
        if tag is not None:
            group.append(json.loads(row["tags"]).get(tag))
        sums[(moment - moment % DAY, *group)] += row["cost_nano"]
    return {key: nano for key, nano in sums.items() if nano}


def found(engine: Engine, by: tuple[str, ...], only: Only = ALL, tag: str | None = None) -> Any:
    return {
        (one.start, *one.group): one.cost_nano for one in cost_buckets(engine, PAGE, only, by, tag)
    }


def groupings() -> list[tuple[str, ...]]:
    return [part for size in range(len(GROUPS) + 1) for part in combinations(GROUPS, size)]


def test_every_grouping_sums_to_the_records(recorded: Engine) -> None:
    assert TOTAL > 0
    for by in groupings():
        costs = found(recorded, by)
        assert costs == expected(by, ROWS), by
        assert sum(costs.values()) == TOTAL, by


@pytest.mark.parametrize("tag", ["project", "image_size", "nobody-sends-this"])
def test_every_grouping_by_tag_sums_to_the_records(recorded: Engine, tag: str) -> None:
    for by in groupings():
        costs = found(recorded, by, tag=tag)
        assert costs == expected(by, ROWS, tag), by
        assert sum(costs.values()) == TOTAL, by


def test_line_items_sum_to_the_records_with_every_other_group(recorded: Engine) -> None:
    for by in groupings():
        costs = found(recorded, (*by, "line_item"))
        assert sum(costs.values()) == TOTAL, by
        sums: Counter[Any] = Counter()
        for key, nano in costs.items():
            sums[key[:-1]] += nano
        assert {key: nano for key, nano in sums.items() if nano} == expected(by, ROWS), by


def test_a_line_item_has_the_units_that_the_records_have(recorded: Engine) -> None:
    units: Counter[Any] = Counter()
    for row in ROWS:
        for item, count, *_ in json.loads(row["cost_lines"]):
            units[(row["model"], item)] += count
    quantities: Counter[Any] = Counter()
    for one in cost_buckets(recorded, PAGE, ALL, ("line_item",)):
        assert one.quantity is not None
        quantities[one.group[0]] += one.quantity
    assert +quantities == +units
    assert all(one.quantity is None for one in cost_buckets(recorded, PAGE, ALL, ("model",)))


@pytest.mark.parametrize(
    ("only", "keeps"),
    [
        (Only(team_ids=(2,)), lambda row: row["team_id"] == 2),
        (Only(client_ids=(1, 3)), lambda row: row["client_id"] in (1, 3)),
        (Only(key_ids=(5,)), lambda row: row["key_id"] == 5),
        (Only(models=("gpt-4o", "tts-1")), lambda row: row["model"] in ("gpt-4o", "tts-1")),
        (Only(team_ids=()), lambda _row: False),
    ],
)
def test_filters_leave_what_they_say(
    recorded: Engine, only: Only, keeps: Callable[[Any], bool]
) -> None:
    rows = [row for row in ROWS if keeps(row)]
    for by in ((), ("model",), ("project_id", "api_key_id")):
        assert found(recorded, by, only) == expected(by, rows)
        assert found(recorded, by, only, "project") == expected(by, rows, "project")


def test_line_items_are_filtered_whole(recorded: Engine) -> None:
    every = found(recorded, ("line_item",))
    wanted = (("gpt-4o-mini", "input"), ("whisper-1", "hold"), ("gpt-4o", "no such item"))
    kept = {key: nano for key, nano in every.items() if key[1] in wanted}
    assert kept
    assert found(recorded, ("line_item",), Only(line_items=wanted)) == kept


def test_a_page_without_days_asks_nothing(recorded: Engine) -> None:
    assert cost_buckets(recorded, Page(COST_DAY, END, END, None), ALL, ()) == []


def test_adjustments_are_costs_too(engine: Engine) -> None:
    record(engine, EVENTS[:50])
    recorded_nano = sum(event.row["cost_nano"] for event in EVENTS[:50])
    day = datetime.fromtimestamp(START, tz=UTC)
    posted = (
        Adjustment(day, "gpt-4o", "input", -7, "price", "", team_id=1, client_id=1, key_id=1),
        Adjustment(day, "gpt-4o", "missing", 50, "missing", "nobody knows whose"),
    )
    with engine.begin() as connection:
        assert post(connection, Source.RECONCILIATION, 1, posted, "a test") == 2
    for by in (*groupings(), ("line_item",)):
        assert sum(found(engine, by).values()) == recorded_nano + 43, by
        if by != ("line_item",):
            assert sum(found(engine, by, tag="project").values()) == recorded_nano + 43, by
    assert found(engine, ("project_id", "line_item"))[(START, 0, ("gpt-4o", "missing"))] == 50
