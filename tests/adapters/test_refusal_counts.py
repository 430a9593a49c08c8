"""Counts of refusals against real databases: added up, kept where they cannot be written."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from sqlalchemy import Engine, select

from gateway.adapters import refusal_counts as module
from gateway.adapters.refusal_counts import RefusalCounts
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.core.errors import ApiError, BadRequest, Forbidden, OverBudget, RateLimited
from gateway.core.policy import Client

ANN, BOB = Client(1, "ann", 7, "team"), Client(2, "bob", 7, "team")

Cells = dict[tuple[int, int, int, str], int]


def written(engine: Engine) -> Cells:
    """Requests by team, client, budget and code, over all hours: a test may see two."""
    found: Cells = {}
    with engine.connect() as connection:
        for row in connection.execute(select(hourly_refusals)):
            assert (row.hour.minute, row.hour.second, row.hour.microsecond) == (0, 0, 0)
            cell = (row.team_id, row.client_id, row.budget_id, row.code)
            found[cell] = found.get(cell, 0) + row.requests
    return found


def test_refusals_are_added_up_by_client_budget_and_code(engine: Engine) -> None:
    counts = RefusalCounts(engine)
    for error in (
        OverBudget("no", budget_id=3),
        OverBudget("no", budget_id=3),
        OverBudget("no", budget_id=4),
        RateLimited("no"),
        Forbidden("no", code="model_not_allowed"),
        BadRequest("no"),
        ApiError("no", code="c" * 80),
    ):
        counts.count(ANN, error)
    counts.count(BOB, OverBudget("no", budget_id=3))
    counts.flush()
    first: Cells = {
        (7, 1, 3, "insufficient_quota"): 2,
        (7, 1, 4, "insufficient_quota"): 1,
        (7, 1, 0, "rate_limit_exceeded"): 1,
        (7, 1, 0, "model_not_allowed"): 1,
        (7, 1, 0, "invalid_request_error"): 1,
        (7, 1, 0, "c" * 64): 1,
        (7, 2, 3, "insufficient_quota"): 1,
    }
    assert written(engine) == first
    counts.flush()
    assert written(engine) == first, "counts are written once"
    RefusalCounts(engine).flush()
    another = RefusalCounts(engine)
    another.count(BOB, OverBudget("no", budget_id=3))
    another.flush()
    assert written(engine) == {**first, (7, 2, 3, "insufficient_quota"): 2}


def test_what_sql_does_not_take_is_kept_and_tried_again(engine: Engine) -> None:
    counts = RefusalCounts(engine)
    counts.count(ANN, RateLimited("no"))
    with engine.begin() as connection:
        hourly_refusals.drop(connection)
    counts.flush()
    counts.count(ANN, RateLimited("no"))
    counts.flush()
    with engine.begin() as connection:
        hourly_refusals.create(connection)
    counts.count(ANN, RateLimited("no"))
    counts.flush()
    assert written(engine) == {(7, 1, 0, "rate_limit_exceeded"): 3}


def test_a_long_outage_of_sql_fills_no_memory(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "CELLS_MAX", 2)
    counts = RefusalCounts(engine)
    for budget_id in range(1, 6):
        counts.count(ANN, OverBudget("no", budget_id=budget_id))
    counts.count(ANN, OverBudget("no", budget_id=2))
    counts.flush()
    assert written(engine) == {
        (7, 1, 1, "insufficient_quota"): 1,
        (7, 1, 2, "insufficient_quota"): 2,
    }
    printed = capfd.readouterr()
    assert "refusals.dropped" in printed.out + printed.err


def test_they_are_written_every_few_seconds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    counts = RefusalCounts(engine)
    counts.count(ANN, RateLimited("no"))
    task = gevent.spawn(counts.write_for_ever)
    try:
        _until(lambda: written(engine) == {(7, 1, 0, "rate_limit_exceeded"): 1})
        counts.count(ANN, RateLimited("no"))
        _until(lambda: written(engine) == {(7, 1, 0, "rate_limit_exceeded"): 2})
    finally:
        task.kill()


def _until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(20):
        while not true():
            gevent.sleep(0.01)
