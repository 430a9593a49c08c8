from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.directory import Directory
from gateway.adapters.tables import budget_windows, hourly_usage, usage_records
from gateway.adapters.usage_rows import has_records, recent, record, records_of, spending
from gateway.core.events import USAGE_COLUMNS, UsageEvent
from tests.adapters.recorded import AT, HOUR, event, rows

MOMENT = datetime.fromtimestamp(AT / 1000, tz=UTC)
SINCE, UNTIL = MOMENT - timedelta(days=400), MOMENT + timedelta(days=400)


def summed(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        sums = connection.execute(
            text(
                "SELECT sum(requests) AS requests, sum(failures) AS failures,"
                " sum(cost_nano) AS cost, sum(input_tokens) AS input FROM hourly_usage"
            )
        ).one()
    return {name: int(value or 0) for name, value in sums._mapping.items()}


def spent(engine: Engine) -> dict[tuple[int, int], tuple[int, int]]:
    return {
        (row.budget_id, int(row.window_start.timestamp() * 1000)): (row.spent_nano, row.records)
        for row in rows(engine, budget_windows)
    }


def test_an_event_is_written_once_however_often_it_is_offered(engine: Engine) -> None:
    one, two = event("frq_1", 100), event("frq_2", 50)
    assert not has_records(engine)
    assert record(engine, []) == 0
    assert record(engine, [one, one, two, one]) == 2
    assert record(engine, [one]) == 0
    assert record(engine, [two, event("frq_3", 1)]) == 1
    assert len(rows(engine, usage_records)) == 3
    assert summed(engine) == {"requests": 3, "failures": 0, "cost": 151, "input": 21}
    assert spent(engine) == {(1, 0): (151, 3)}
    assert has_records(engine)


def test_every_count_is_recorded_and_summed_by_the_hour(engine: Engine) -> None:
    counts = {name: 10_000_000_000 + place for place, name in enumerate(USAGE_COLUMNS)}
    written = [event("frq_1", usage=counts), event("frq_2", usage=counts), event("frq_3")]
    assert record(engine, written) == 3
    first, _, third = rows(engine, usage_records)
    assert {name: first._mapping[name] for name in USAGE_COLUMNS} == counts
    assert {name: third._mapping[name] for name in USAGE_COLUMNS} == {
        **dict.fromkeys(USAGE_COLUMNS, 0),
        "input_tokens": 7,
        "output_tokens": 3,
    }
    (hour,) = rows(engine, hourly_usage)
    for name in set(USAGE_COLUMNS) & set(hourly_usage.columns.keys()):
        assert hour._mapping[name] == 2 * counts[name] + third._mapping[name], name
    assert set(USAGE_COLUMNS) <= set(hourly_usage.columns.keys())


def test_a_correction_changes_cost_and_no_count(engine: Engine) -> None:
    first = event("frq_1", 500, outcome="expired", certainty="unknown", usage={})
    correction = event("frq_1", -380, kind="correction", at=AT)
    assert record(engine, [first, correction]) == 2
    assert summed(engine) == {"requests": 1, "failures": 0, "cost": 120, "input": 7}
    assert spent(engine) == {(1, 0): (120, 2)}


def test_failures_are_counted(engine: Engine) -> None:
    record(engine, [event(f"frq_{status}", 0, status=status) for status in (200, 399, 400, 504)])
    assert summed(engine)["failures"] == 2


def test_hours_and_groups_are_kept_apart(engine: Engine) -> None:
    start = AT // HOUR * HOUR
    record(
        engine,
        [
            event("frq_1", 1, at=start),
            event("frq_2", 2, at=start + HOUR - 1),
            event("frq_3", 4, at=start + HOUR),
            event("frq_4", 8, at=start, model="other"),
            event("frq_5", 16, at=start, certainty="estimated"),
            event("frq_6", 32, at=start, tier="flex"),
            event("frq_7", 64, at=start, key_id=9),
        ],
    )
    assert sorted(row.cost_nano for row in rows(engine, hourly_usage)) == [3, 4, 8, 16, 32, 64]


def test_all_or_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE budget_windows RENAME TO away"))
    with pytest.raises(SQLAlchemyError):
        record(engine, [event("frq_1")])
    assert rows(engine, usage_records) == []
    assert rows(engine, hourly_usage) == []
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO budget_windows"))
    assert record(engine, [event("frq_1")]) == 1


def test_sums_follow_the_rows_even_where_an_id_comes_back_later(engine: Engine) -> None:
    """Two lives of one id must not be: but if they are, sums and records agree."""
    assert record(engine, [event("frq_1", 10), event("frq_1", 20, at=AT + 1)]) == 2
    assert summed(engine)["cost"] == 30
    assert spent(engine) == {(1, 0): (30, 2)}


def test_months_get_their_partitions(postgres_url: str) -> None:
    from gateway.adapters.database import open_engine
    from gateway.adapters.migrations import upgrade

    engine = open_engine(postgres_url, pooled=False)
    upgrade(engine)
    edges = [
        datetime(2026, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2028, 2, 29, 12, tzinfo=UTC),
    ]
    events = [event(f"frq_{n}", at=round(edge.timestamp() * 1000)) for n, edge in enumerate(edges)]
    results: list[int] = []

    def write(order: tuple[UsageEvent, ...]) -> None:
        results.append(record(engine, order))

    # In every order at once: recorders must not wait for each other crosswise.
    threads = [threading.Thread(target=write, args=(o,)) for o in itertools.permutations(events)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(results) == 3
    assert len(results) == 6
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT tableoid::regclass::text AS name FROM usage_records ORDER BY held_at")
        ).scalars()
        assert list(found) == [
            f"usage_records_{month}" for month in ("2026_12", "2027_01", "2028_02")
        ]
    engine.dispose()


EVENTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        number=st.integers(0, 12),
        cost=st.integers(0, 10**12),
        client_id=st.integers(1, 2),
        kind=st.sampled_from(["request", "correction"]),
        status=st.sampled_from([200, 500]),
        budgets=st.sampled_from(["", "1:0:5:5:strict", "1:0:5:5:strict,2:86400000:5:5:soft"]),
    ),
    max_size=20,
)


def made(spec: dict[str, Any]) -> UsageEvent:
    spec = dict(spec)
    number, cost = spec.pop("number"), spec.pop("cost")
    return event(f"frq_{number}", cost, at=AT + number * HOUR, **spec)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(EVENTS, min_size=1, max_size=3))
def test_sums_are_those_of_the_records(engine: Engine, batches: list[list[dict[str, Any]]]) -> None:
    with engine.begin() as connection:
        for table in (usage_records, hourly_usage, budget_windows):
            connection.execute(delete(table))
    new = sum(record(engine, [made(spec) for spec in batch]) for batch in batches)
    kept = rows(engine, usage_records)
    assert len(kept) == new
    sums = summed(engine)
    assert sums["cost"] == sum(row.cost_nano for row in kept)
    assert sums["input"] == sum(row.input_tokens for row in kept)
    assert sums["requests"] == sum(row.kind == "request" for row in kept)
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    for row in kept:
        for part in filter(None, row.budget_windows.split(",")):
            key = (int(part.split(":")[0]), int(part.split(":")[1]))
            before = expected.get(key, (0, 0))
            expected[key] = (before[0] + row.cost_nano, before[1] + 1)
    assert spent(engine) == expected


# Reports


@pytest.fixture
def named(engine: Engine) -> Engine:
    directory = Directory(engine)
    directory.initialise("Acme")
    for team, client in (("search", "bot"), ("ads", "web")):
        directory.create_team(team)
        directory.create_client(team, client)
    record(
        engine,
        [
            event("frq_1", 100, model="a", status=500),
            event("frq_2", 10, certainty="estimated", at=AT + HOUR),
            event("frq_3", 1_000, team_id=2, client_id=2, at=AT + 24 * HOUR),
            event("frq_4", 500, outcome="expired", certainty="unknown", at=AT + 2 * HOUR),
            event("frq_4", -450, kind="correction", at=AT + 2 * HOUR),
        ],
    )
    return engine


def test_spending_by_every_group(named: Engine) -> None:
    # An expired hold counts as not exact until it is corrected.
    expected: dict[str, list[tuple[object, ...]]] = {
        "team": [("ads", 1, 1_000, 0, 0), ("search", 3, 160, 10, 1)],
        "client": [("web", 1, 1_000, 0, 0), ("bot", 3, 160, 10, 1)],
        "model": [("m", 3, 1_060, 10, 0), ("a", 1, 100, 0, 1)],
        "endpoint": [("chat/completions", 4, 1_160, 10, 1)],
        "day": [("2026-05-28", 3, 160, 10, 1), ("2026-05-29", 1, 1_000, 0, 0)],
    }
    for by, groups in expected.items():
        found = [
            (s.group, s.requests, s.cost_nano, s.not_exact_nano, s.failures)
            for s in spending(named, SINCE, UNTIL, by)
        ]
        assert found == groups, by


def test_spending_has_the_first_hour_and_not_the_last(named: Engine) -> None:
    start = datetime.fromtimestamp(AT // HOUR * HOUR / 1000, tz=UTC)
    hour = timedelta(hours=1)
    assert [s.cost_nano for s in spending(named, start, start + hour)] == [100]
    assert [s.cost_nano for s in spending(named, start + hour, start + 2 * hour)] == [10]
    assert spending(named, UNTIL, UNTIL + hour) == []


def test_the_newest_records_come_first(named: Engine) -> None:
    assert [row.request_id for row in recent(named, 2)] == ["frq_3", "frq_4"]
    assert [row.client_name for row in recent(named, 9, client="web")] == ["web"]
    assert recent(named, 9, client="nobody") == []
    assert [row.kind for row in records_of(named, "frq_4")] == ["request", "correction"]
    assert records_of(named, "frq_9") == []
