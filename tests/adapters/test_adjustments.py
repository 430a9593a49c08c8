from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from gateway.adapters.adjustments import (
    Adjustment,
    Source,
    adjusted_nano,
    adjustments_of,
    adjustments_of_request,
    post,
)
from gateway.adapters.control_tables import adjustments
from gateway.adapters.rollup_tables import daily_costs, daily_tags, daily_usage
from gateway.adapters.tables import budget_windows, hourly_usage
from gateway.adapters.usage_rows import record
from tests.adapters.recorded import AT, event, rows

DAY = datetime(2026, 5, 28, tzinfo=UTC)
ONE = Adjustment(DAY, "m", "input", 70, "price", "Dearer than we thought.")


def posted(engine: Engine, source_id: int, *items: Adjustment) -> int:
    with engine.begin() as connection:
        return post(connection, Source.RECONCILIATION, source_id, items, "user:ann")


def test_an_adjustment_is_in_every_sum_and_in_no_budget(engine: Engine) -> None:
    record(engine, [event("frq_1", 100, at=AT, tags={"a": "b"})])
    before = [rows(engine, table) for table in (budget_windows, daily_tags)]
    assert posted(engine, 1, ONE, replace(ONE, line_item="output", cost_nano=-20)) == 2
    for table, time in ((hourly_usage, "hour"), (daily_usage, "day")):
        (cell,) = [row for row in rows(engine, table) if row.certainty == "adjusted"]
        assert cell._mapping[time] == DAY
        assert (cell.cost_nano, cell.requests, cell.input_tokens) == (50, 0, 0)
        assert (cell.team_id, cell.client_id, cell.key_id, cell.model) == (0, 0, 0, "m")
    costs = [row for row in rows(engine, daily_costs) if row.certainty == "adjusted"]
    assert [(row.line_item, row.quantity, row.cost_nano) for row in costs] == [
        ("input", 0, 70),
        ("output", 0, -20),
    ]
    assert [rows(engine, table) for table in (budget_windows, daily_tags)] == before
    (first, _) = adjustments_of(engine, Source.RECONCILIATION, 1)
    assert (first.cost_nano, first.reason, first.posted_by) == (70, "price", "user:ann")
    assert first.note == "Dearer than we thought."


def test_two_amounts_for_one_place_are_no_posting(engine: Engine) -> None:
    with pytest.raises(ValueError, match="add them up"):
        posted(engine, 1, ONE, replace(ONE, cost_nano=9))
    assert rows(engine, adjustments) == []


def test_a_source_posts_once(engine: Engine) -> None:
    assert posted(engine, 1, ONE, ONE) == 1
    assert posted(engine, 1, ONE, replace(ONE, cost_nano=9)) == 0
    assert posted(engine, 1, ONE, replace(ONE, reason="missing")) == 1
    assert posted(engine, 2, ONE) == 1
    assert posted(engine, 3, replace(ONE, cost_nano=0)) == 0
    assert len(rows(engine, adjustments)) == 3
    (cell,) = rows(engine, daily_usage)
    assert cell.cost_nano == 210


def test_each_request_is_adjusted_by_itself(engine: Engine) -> None:
    many = [replace(ONE, request_id=f"frq_{n}", cost_nano=n) for n in range(1, 1202)]
    assert posted(engine, 1, *many) == 1201
    assert posted(engine, 1, *many, ONE) == 1
    assert [row.cost_nano for row in adjustments_of_request(engine, "frq_7")] == [7]
    assert posted(engine, 2, many[6]) == 1
    with engine.connect() as connection:
        found = adjusted_nano(connection, [f"frq_{n}" for n in range(2000)])
    assert found["frq_7", "input"] == 14
    assert found["frq_1201", "input"] == 1201
    assert len(found) == 1201


def test_postings_at_once_post_once(engine: Engine) -> None:
    made: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        made.append(posted(engine, 1, ONE, replace(ONE, line_item="output")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 0, 0, 2]
    assert len(rows(engine, adjustments)) == 2


def test_nothing_is_posted_where_one_of_them_is_wrong(engine: Engine) -> None:
    with pytest.raises(ValueError, match="by its start in UTC"):
        posted(engine, 1, ONE, replace(ONE, day=DAY + timedelta(hours=1)))
    assert rows(engine, adjustments) == []
    assert rows(engine, hourly_usage) == []
