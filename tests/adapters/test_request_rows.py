from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from gateway.adapters.directory import Directory
from gateway.adapters.request_rows import (
    Cursor,
    Filters,
    models_used,
    page,
    pages,
)
from gateway.adapters.usage_rows import record
from tests.adapters.recorded import AT
from tests.adapters.recorded import event as usage

MOMENT = datetime.fromtimestamp(AT / 1000, tz=UTC)
ALL = Filters(MOMENT - timedelta(days=40), MOMENT + timedelta(days=40))


@pytest.fixture
def told(engine: Engine) -> Engine:
    """Requests of two teams, of which each filter finds some."""
    directory = Directory(engine)
    directory.initialise("acme")
    for team in ("blue", "red"):
        directory.create_team(team)
        directory.create_client(team, f"{team}-web")
        directory.create_key(f"{team}-web")
    tagged = usage("r1", 10, at=AT + 1)
    tagged.row["tags"] = json.dumps({"project": "apollo", "a": 'say "hi"'}, separators=(",", ":"))
    record(
        engine,
        [
            tagged,
            usage("r2", 2000, at=AT + 2, status=500, reason="provider_failed"),
            usage("r3", 30, at=AT + 3, model="n", team_id=2, client_id=2, key_id=2),
            usage("r4", 40, at=AT + 4, status=404, certainty="estimated"),
            usage("r5", 50, at=AT + 4, endpoint="embeddings", upstream_id="chatcmpl-9"),
            usage("r5", -20, at=AT + 4, kind="correction"),
        ],
    )
    return engine


def found(engine: Engine, **asked: Any) -> list[str]:
    return [row.request_id for row in page(engine, replace(ALL, **asked)).rows]


def test_the_newest_come_first_with_their_names(told: Engine) -> None:
    rows = page(told, ALL).rows
    assert [(row.request_id, row.kind) for row in rows] == [
        ("r5", "request"),
        ("r5", "correction"),
        ("r4", "request"),
        ("r3", "request"),
        ("r2", "request"),
        ("r1", "request"),
    ]
    assert (rows[3].team_name, rows[3].client_name) == ("red", "red-web")


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"team_id": 2}, ["r3"]),
        ({"client_id": 1, "model": "n"}, []),
        ({"client_id": 2, "model": "n", "team_id": 2}, ["r3"]),
        ({"key_id": 2}, ["r3"]),
        ({"key_id": 9}, []),
        ({"model": "n"}, ["r3"]),
        ({"endpoint": "embeddings"}, ["r5"]),
        ({"status": "ok"}, ["r5", "r5", "r3", "r1"]),
        ({"status": "4xx"}, ["r4"]),
        ({"status": "5xx"}, ["r2"]),
        ({"status": "failed"}, ["r4", "r2"]),
        ({"certainty": "estimated"}, ["r4"]),
        ({"tag": ("project", "apollo")}, ["r1"]),
        ({"tag": ("a", 'say "hi"')}, ["r1"]),
        ({"tag": ("project", "apoll")}, []),
        ({"tag": ("project", "APOLLO")}, []),
        ({"tag": ("project", "apoll%")}, []),
        ({"cost_at_least_nano": 50}, ["r5", "r2"]),
        ({"request_id": "r5"}, ["r5", "r5"]),
        ({"request_id": "r3", "scope_team_id": 1}, []),
        ({"upstream_id": "chatcmpl-9"}, ["r5"]),
        ({"scope_client_id": 2, "client_id": 1}, []),
        ({"scope_team_id": 2, "team_id": 1}, []),
        ({"scope_team_id": 2}, ["r3"]),
        ({"since": MOMENT + timedelta(milliseconds=4)}, ["r5", "r5", "r4"]),
        ({"until": MOMENT + timedelta(milliseconds=2)}, ["r1"]),
    ],
)
def test_each_filter_finds_its_records(told: Engine, asked: dict[str, Any], ids: list[str]) -> None:
    assert found(told, **asked) == ids


def test_pages_follow_each_other_without_a_gap(told: Engine) -> None:
    seen, after = [], None
    while True:
        got = page(told, ALL, after=after, limit=1)
        seen += [(row.request_id, row.kind) for row in got.rows]
        if got.after is None:
            break
        after = Cursor.parse(str(got.after))
        assert after == got.after
    assert seen == [(row.request_id, row.kind) for row in page(told, ALL).rows]
    assert len(seen) == 6
    assert [len(rows) for rows in pages(told, ALL, 4)] == [4, 2]
    assert [len(rows) for rows in pages(told, replace(ALL, status="failed"), 1)] == [1, 1]


@pytest.mark.parametrize("text", ["", "x", "1", "-5.r.request", "9" * 30 + ".r.request", "²..a"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="place in the list"):
        Cursor.parse(text)


def test_a_search_that_has_looked_through_enough_says_how_far_it_came(engine: Engine) -> None:
    rare = [usage("rare", 9999, at=AT)]
    record(engine, [*rare, *(usage(f"r{n:03}", 1, at=AT + 1 + n // 2) for n in range(100))])
    dear = replace(ALL, cost_at_least_nano=9999)
    got = page(engine, dear, examined=10)
    assert got.rows == []
    assert got.looked_back_to == MOMENT + timedelta(milliseconds=45)
    tries = 1
    while got.after is not None and not got.rows:
        got = page(engine, dear, after=got.after, examined=10)
        tries += 1
    assert [row.request_id for row in got.rows] == ["rare"]
    assert got.after is None
    assert 8 <= tries <= 12


SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "client_id": st.integers(1, 2),
        "team_id": st.integers(1, 2),
        "model": st.sampled_from(["m", "n"]),
        "status": st.sampled_from(["ok", "failed"]),
        "key_id": st.integers(1, 2),
        "scope_team_id": st.integers(1, 2),
    },
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=SHAPES, limit=st.integers(1, 7), examined=st.integers(1, 9))
def test_every_way_through_finds_what_one_look_at_all_finds(
    told: Engine, asked: dict[str, Any], limit: int, examined: int
) -> None:
    wanted, seen, after = found(told, **asked), [], None
    while True:
        got = page(told, replace(ALL, **asked), after=after, limit=limit, examined=examined)
        seen += [row.request_id for row in got.rows]
        after = got.after
        if after is None:
            break
    assert seen == wanted


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"team_id": 1},
        {"client_id": 1, "model": "m", "team_id": 1},
        {"model": "m", "status": "failed"},
        {"key_id": 1},
        {"upstream_id": "u"},
    ],
)
def test_no_search_reads_the_whole_table(told: Engine, asked: dict[str, Any]) -> None:
    if told.dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by size, and this table is small")
    statements: list[tuple[str, Any]] = []

    @event.listens_for(told, "before_cursor_execute")
    def _keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        statements.append((statement, parameters))

    page(told, replace(ALL, **asked), after=Cursor(MOMENT, "r", "request"))
    for statement, parameters in list(statements):
        # Of two, the index might be entered at the one that is further away.
        assert statement.count("held_at <") == 1, statement
        with told.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        steps = [str(step[-1]) for step in plan]
        assert not any(step.startswith("SCAN usage_records") for step in steps), steps
        assert not any(step == "USE TEMP B-TREE FOR ORDER BY" for step in steps), steps


def test_models_of_a_time_range(told: Engine) -> None:
    assert models_used(told, ALL.since, ALL.until) == ["m", "n"]
    assert models_used(told, ALL.since - timedelta(days=90), ALL.since) == []
