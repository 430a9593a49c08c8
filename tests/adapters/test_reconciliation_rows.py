from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from gateway.adapters.reconciliation_rows import (
    ReconciliationError,
    State,
    approve,
    dismiss,
    find,
    last_until,
    lines_of,
    listed,
    store,
)
from gateway.adapters.rollup_tables import daily_usage
from gateway.core.bill_lines import BillNames
from gateway.core.prices import PriceBook
from gateway.core.reconciling import Cause, Difference, Part
from gateway.core.roles import Principal, Role
from tests.adapters.recorded import rows

DAY = datetime(2026, 5, 1, tzinfo=UTC)
ANN = Principal("user:ann@acme.example", Role.FINANCE)
NAMES = BillNames(PriceBook([]), DAY)


def billed(nano: int, day: datetime = DAY) -> Difference:
    """Something that only the bill has."""
    half = nano // 2
    parts = (
        Part(Cause.MISSING, half, "Not recorded."),
        Part(Cause.PRICE, nano - half, "Dearer."),
    )
    return Difference(day, "m", "input", 0, nano, 0, 9, parts)


def stored(
    engine: Engine, differences: Sequence[Difference], days: int = 1, start: datetime = DAY
) -> int:
    theirs = sum(difference.theirs_nano for difference in differences)
    until = start + timedelta(days=days)
    return store(engine, start, until, "api.example", (0, theirs), differences, ANN)


def states(engine: Engine) -> list[str]:
    return [row.state for row in reversed(listed(engine))]


def test_a_comparison_is_kept_by_cause(engine: Engine) -> None:
    assert last_until(engine, "api.example") is None
    number = stored(engine, [billed(100)])
    with engine.connect() as connection:
        row, lines = find(connection, number), lines_of(connection, number)
    assert (row.state, row.ours_nano, row.theirs_nano, row.created_by) == (
        State.OPEN,
        0,
        100,
        ANN.actor,
    )
    assert [(line.cause, line.cause_nano) for line in lines] == [("missing", 50), ("price", 50)]
    assert lines[0].explanation == "Not recorded."
    assert last_until(engine, "api.example") == DAY + timedelta(days=1)
    assert last_until(engine, "other.example") is None
    with engine.connect() as connection, pytest.raises(ReconciliationError, match="no recon"):
        find(connection, 99)


def test_a_newer_comparison_takes_the_place_of_an_open_one(engine: Engine) -> None:
    first = stored(engine, [billed(100)])
    assert stored(engine, [billed(100)]) == first
    apart = stored(engine, [billed(5, DAY + timedelta(days=9))], start=DAY + timedelta(days=9))
    second = stored(engine, [billed(120)])
    assert states(engine) == ["dismissed", "open", "open"]
    with engine.connect() as connection:
        assert find(connection, first).decided_by == f"reconciliation {second}"
    assert stored(engine, []) > second
    assert states(engine) == ["dismissed", "open", "dismissed", "agreed"]
    assert [row.id for row in listed(engine, state=State.OPEN)] == [apart]


def test_an_approved_one_is_posted_and_a_dismissed_one_is_not(engine: Engine) -> None:
    dismiss(engine, stored(engine, [billed(100)]), ANN)
    assert rows(engine, daily_usage) == []
    number = stored(engine, [billed(100)])
    assert approve(engine, number, NAMES, ANN) == 2
    (cell,) = rows(engine, daily_usage)
    assert (cell.cost_nano, cell.certainty) == (100, "adjusted")
    assert states(engine) == ["dismissed", "approved"]


def test_a_refused_decision_changes_nothing(engine: Engine) -> None:
    number = stored(engine, [billed(100)])
    owner = Principal("user:bob", Role.OWNER, team_id=1)
    for decide in (
        lambda: approve(engine, number, NAMES, owner),
        lambda: dismiss(engine, number, owner),
    ):
        with pytest.raises(ReconciliationError, match="only administrators and finance"):
            decide()
    assert states(engine) == ["open"]
    assert rows(engine, daily_usage) == []
