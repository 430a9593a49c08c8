"""All that is known of how one request was charged: for the command line and for its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, select

from gateway.adapters.control_tables import adjustments
from gateway.adapters.price_rows import price_by_id
from gateway.adapters.tables import budgets, keys
from gateway.adapters.usage_rows import records_of
from gateway.core.explanations import ChargedWindow, charged_windows, rounding_text, stored_lines
from gateway.core.prices import CostLine, Price, sum_lines


@dataclass(frozen=True, slots=True)
class ChargedBudget:
    """A budget that paid, and its window as it stood when the hold was placed."""

    name: str
    window_kind: str
    """Empty where nothing is known of the budget any more, like its name's other facts."""
    time_zone: str
    window: ChargedWindow


@dataclass(frozen=True, slots=True)
class ExplainedRecord:
    """One record of a request. A correction states the true cost and charges the difference, so
    ``charged_nano`` is the sum of the records up to this one: what ``lines`` sum to."""

    row: Row[Any]
    lines: tuple[CostLine, ...]
    charged_nano: int
    price: Price | None
    paid_by: tuple[ChargedBudget, ...]

    @property
    def adds_up(self) -> bool:
        """Whether the lines are the charge; where there are none, nothing can be said."""
        return not self.lines or sum_lines(self.lines) == self.charged_nano

    @property
    def rounding(self) -> str:
        """What rounding up added, in dollars; empty where nothing."""
        return rounding_text(self.lines)


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """The records of one request in the order they were made, and what was posted later."""

    records: tuple[ExplainedRecord, ...]
    adjustments: Sequence[Row[Any]]
    key: Row[Any] | None
    """Name, prefix and last four of the key that was used; None where it is gone."""

    @property
    def first(self) -> Row[Any]:
        """The record of the request itself."""
        return self.records[0].row

    @property
    def last(self) -> ExplainedRecord:
        """The record that says what is known now."""
        return self.records[-1]

    @property
    def charged_nano(self) -> int:
        """What budgets were charged."""
        return self.last.charged_nano

    @property
    def adjusted_nano(self) -> int:
        """What was posted later."""
        return sum(int(item.cost_nano) for item in self.adjustments)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that the request carried."""
        found: dict[str, str] = json.loads(self.first.tags)
        return found


def explained(engine: Engine, request_id: str) -> ExplainedRequest | None:
    """How ``request_id`` was charged; None where it has no record."""
    rows = records_of(engine, request_id)
    if not rows:
        return None
    prices = {
        price_id: price_by_id(engine, price_id)
        for price_id in {row.price_id for row in rows}
        if price_id is not None
    }
    with engine.connect() as connection:
        names = _budgets(connection, rows)
        a = adjustments.c
        posted = select(adjustments).where(a.request_id == request_id).order_by(a.posted_at, a.id)
        later = connection.execute(posted).all()
        named: Select[Any] = select(keys.c.id, keys.c.name, keys.c.prefix, keys.c.last_four)
        key = connection.execute(named.where(keys.c.id == rows[0].key_id)).one_or_none()
    charged, records = 0, []
    for row in rows:
        charged += row.cost_nano
        paid_by = tuple(_charged(window, names) for window in charged_windows(row.budget_windows))
        lines = tuple(stored_lines(row.cost_lines))
        price = prices.get(row.price_id)
        records.append(ExplainedRecord(row, lines, charged, price, paid_by))
    return ExplainedRequest(tuple(records), later, key)


def _budgets(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, Row[Any]]:
    wanted = {window.budget_id for row in rows for window in charged_windows(row.budget_windows)}
    query = select(budgets).where(budgets.c.id.in_(wanted))
    return {row.id: row for row in connection.execute(query)} if wanted else {}


def _charged(window: ChargedWindow, names: dict[int, Row[Any]]) -> ChargedBudget:
    found = names.get(window.budget_id)
    if found is None:
        return ChargedBudget(f"budget {window.budget_id}", "", "UTC", window)
    return ChargedBudget(found.name, found.window, found.time_zone, window)
