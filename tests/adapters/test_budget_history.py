"""Past windows of a budget and whom it refused, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from gateway.adapters.budget_history import refusals_of, windows_of
from gateway.adapters.directory import Directory
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.adapters.usage_rows import record
from tests.adapters.recorded import AT, HOUR, event
from tests.databases import open_migrated

THEN = datetime.fromtimestamp(AT / 1000, tz=UTC).replace(minute=0, second=0, microsecond=0)


def test_the_newest_windows_of_one_budget_come_first(database_url: str) -> None:
    engine = open_migrated(database_url)
    events = [
        event(f"r{n}", 100 + n, at=AT + n * HOUR, budgets=f"1:{n * HOUR}:0:0:strict,2:0:0:0:strict")
        for n in range(4)
    ]
    record(engine, events)
    found = windows_of(engine, 1, 3)
    assert [(window.spent_nano, window.records) for window in found] == [
        (103, 1),
        (102, 1),
        (101, 1),
    ]
    assert found[0].start == datetime.fromtimestamp(3 * 3600, tz=UTC)
    assert [window.spent_nano for window in windows_of(engine, 2, 3)] == [406]
    assert windows_of(engine, 3, 3) == []


def test_refusals_are_by_hour_and_client(database_url: str) -> None:
    engine = open_migrated(database_url)
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("search")
    client = directory.create_client("search", "ranker")
    rows = [
        {"hour": THEN, "client_id": client, "budget_id": 1, "code": "insufficient_quota"},
        {"hour": THEN, "client_id": client, "budget_id": 1, "code": "other"},
        {"hour": THEN - timedelta(hours=2), "client_id": 99, "budget_id": 1, "code": "other"},
        {"hour": THEN - timedelta(days=9), "client_id": client, "budget_id": 1, "code": "other"},
        {"hour": THEN, "client_id": client, "budget_id": 2, "code": "other"},
    ]
    with engine.begin() as connection:
        connection.execute(
            insert(hourly_refusals), [{**row, "team_id": 1, "requests": 3} for row in rows]
        )
    found = refusals_of(engine, 1, THEN - timedelta(days=7), 10)
    assert [(one.hour, one.client_name, one.requests) for one in found] == [
        (THEN, "ranker", 6),
        (THEN - timedelta(hours=2), "", 3),
    ]
    assert len(refusals_of(engine, 1, THEN - timedelta(days=7), 1)) == 1
