from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.usage_buckets import COUNTS, FEES, usage_buckets
from gateway.core import usage_families
from gateway.core.time_buckets import DAY as DAYS_WIDE
from gateway.core.time_buckets import HOUR, MINUTE, Page, Width
from gateway.core.usage_families import FAMILIES, SOURCES, Family, Only
from tests.adapters.spent import DAY, DAYS, END, START, counted, recorded_in, traffic

EVENTS = traffic(7)
ROWS = [event.row for event in EVENTS]
ALL = Only()

Group = Callable[[dict[str, Any]], Any]

GROUPS: dict[str, Group] = {
    "project_id": lambda row: row["team_id"],
    "user_id": lambda row: row["client_id"],
    "api_key_id": lambda row: row["key_id"],
    "model": lambda row: row["model"],
    "service_tier": lambda row: row["service_tier"],
    "batch": lambda row: int(row["endpoint"] == "batches" or row["service_tier"] == "batch"),
    "source": lambda row: row["endpoint"],
    "size": lambda row: json.loads(row["tags"]).get("image_size"),
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def recorded(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The traffic, recorded in a database of each kind."""
    with recorded_in(request, EVENTS) as engine:
        yield engine


def page(width: Width, since: int = START, until: int = END) -> Page:
    return Page(width, since, until, None)


def belongs(family: Family, row: dict[str, Any]) -> bool:
    """Whether a record is of a family, said another way than in SQL."""
    if row["endpoint"] == "batches":
        kind = "embeddings" if row["model"].startswith("text-embedding") else "completions"
        return family.name == kind
    return row["endpoint"] in family.endpoints


def expected(
    family: Family, width: int, by: tuple[str, ...], rows: list[dict[str, Any]]
) -> dict[Any, dict[str, int]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if belongs(family, row):
            moment = int(row["held_at"].timestamp())
            groups[(moment - moment % width, *(GROUPS[name](row) for name in by))].append(row)
    sums = {key: counted(found) for key, found in groups.items()}
    wanted = {key: {name: one[name] for name in COUNTS} for key, one in sums.items()}
    return {key: one for key, one in wanted.items() if any(one.values())}


def found(
    engine: Engine, family: Family, asked: Page, by: tuple[str, ...], only: Only = ALL
) -> dict[Any, dict[str, int]]:
    return {
        (one.start, *one.group): dict(one.sums)
        for one in usage_buckets(engine, family, asked, only, by)
    }


def groupings(family: Family) -> list[tuple[str, ...]]:
    """No group, every one alone, every pair, and all at once."""
    names = tuple(name for name in family.group_by if name != "api_source")
    return [(), *((name,) for name in names), *combinations(names, 2), names]


COUNTED = [f for f in FAMILIES.values() if f.endpoints]


@pytest.mark.parametrize("family", COUNTED, ids=lambda family: family.name)
@pytest.mark.parametrize("width", [DAYS_WIDE, HOUR], ids=lambda width: width.name)
def test_every_grouping_sums_to_the_records(recorded: Engine, family: Family, width: Width) -> None:
    for by in groupings(family):
        assert found(recorded, family, page(width), by) == expected(
            family, width.seconds, by, ROWS
        ), by


@pytest.mark.parametrize("family", COUNTED, ids=lambda family: family.name)
def test_minutes_sum_to_the_records(recorded: Engine, family: Family) -> None:
    day = [row for row in ROWS if row["held_at"].timestamp() < START + DAY]
    names = tuple(name for name in family.group_by if name != "api_source")
    for by in ((), names):
        assert found(recorded, family, page(MINUTE, START, START + DAY), by) == expected(
            family, 60, by, day
        )


def test_what_is_counted_is_something() -> None:
    for family in COUNTED:
        assert len(expected(family, DAY, (), ROWS)) == DAYS, family.name


@pytest.mark.parametrize("width", [DAYS_WIDE, HOUR, MINUTE], ids=lambda width: width.name)
@pytest.mark.parametrize(
    ("family", "only", "keeps"),
    [
        ("completions", Only(team_ids=(2,)), lambda row: row["team_id"] == 2),
        ("completions", Only(client_ids=(1, 4)), lambda row: row["client_id"] in (1, 4)),
        ("completions", Only(key_ids=(2,)), lambda row: row["key_id"] == 2),
        ("completions", Only(team_ids=()), lambda _row: False),
        ("completions", Only(models=("gpt-4o",)), lambda row: row["model"] == "gpt-4o"),
        ("completions", Only(batch=True), lambda row: row["endpoint"] == "batches"),
        ("completions", Only(batch=False), lambda row: row["endpoint"] != "batches"),
        (
            "images",
            Only(sizes=("auto", "1024x1024")),
            lambda row: GROUPS["size"](row) in ("auto", "1024x1024"),
        ),
        (
            "images",
            Only(endpoints=("images/edits",), team_ids=(1,)),
            lambda row: row["endpoint"] == "images/edits" and row["team_id"] == 1,
        ),
    ],
)
def test_filters_leave_what_they_say(
    recorded: Engine, width: Width, family: str, only: Only, keeps: Callable[[Any], bool]
) -> None:
    until = START + DAY if width is MINUTE else END
    rows = [row for row in ROWS if keeps(row) and row["held_at"].timestamp() < until]
    asked = page(width, START, until)
    for by in ((), ("model",), *((("size",), ("source", "size")) if family == "images" else ())):
        assert found(recorded, FAMILIES[family], asked, by, only) == expected(
            FAMILIES[family], width.seconds, by, rows
        )


@pytest.mark.parametrize("width", [DAYS_WIDE, HOUR, MINUTE], ids=lambda width: width.name)
@pytest.mark.parametrize(
    "family", [usage_families.CODE_INTERPRETER_SESSIONS, usage_families.FILE_SEARCH_CALLS]
)
def test_fees_are_counted_off_the_lines_of_costs(
    recorded: Engine, width: Width, family: Family
) -> None:
    until = START + DAY if width is MINUTE else END
    for by in ((), family.group_by):
        wanted: dict[Any, dict[str, int]] = defaultdict(lambda: {FEES: 0})
        for row in ROWS:
            moment = int(row["held_at"].timestamp())
            for name, count, *_ in json.loads(row["cost_lines"]):
                if name == family.meter and moment < until:
                    group = (GROUPS[one](row) for one in by)
                    wanted[(moment - moment % width.seconds, *group)][FEES] += count
        assert wanted
        assert found(recorded, family, page(width, START, until), by) == wanted


def test_what_nothing_is_served_of_is_empty(recorded: Engine) -> None:
    stores = usage_families.VECTOR_STORES
    assert found(recorded, stores, page(DAYS_WIDE), ("project_id",)) == {}


def test_a_page_without_buckets_asks_nothing(recorded: Engine) -> None:
    family = usage_families.COMPLETIONS
    assert found(recorded, family, page(DAYS_WIDE, END, END), ()) == {}


def test_buckets_come_in_order(recorded: Engine) -> None:
    starts = [
        one.start
        for one in usage_buckets(
            recorded, usage_families.COMPLETIONS, page(HOUR), ALL, ("api_key_id",)
        )
    ]
    assert starts == sorted(starts)
    assert len(set(SOURCES.values())) == len(SOURCES)
