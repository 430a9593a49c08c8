"""Sums of usage records, moved in the transaction that inserts the records.

Only records that were really inserted are given here, so that a sum counts each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.rollup_tables import (
    WHO_AND_WHAT,
    daily_costs,
    daily_latency,
    daily_tags,
    daily_usage,
)
from gateway.adapters.tables import SUMS, budget_windows, hourly_usage
from gateway.core.events import UsageEvent
from gateway.core.latency import bucket_of
from gateway.core.line_items import HOLD, LineItem, line_items
from gateway.core.prices import CostLine, Meter, sum_lines
from gateway.core.reports import day_of, hour_of

_Row = dict[str, Any]
_Cells = dict[tuple[Any, ...], _Row]

_COUNTS = tuple(
    name
    for name in SUMS
    if name not in ("requests", "failures", "duration_ms", "timed", "cost_nano")
)


_MOST = 2**63 - 1
"""What a BIGINT column takes: beyond it SQLite's driver raises what is no database error."""


def insertion(connection: Connection, table: Table) -> Any:
    """An INSERT that can say ON CONFLICT in the connection's dialect."""
    module = postgresql if connection.dialect.name == "postgresql" else sqlite
    return module.insert(table)


def add_sums(connection: Connection, events: Sequence[UsageEvent]) -> None:
    """Add records that were just inserted to everything that is summed over records."""
    rows = [event.row for event in events]
    _add_usage(connection, rows)
    _add_costs(connection, rows)
    _add_latency(connection, rows)
    _add_windows(connection, events)


def parts(row: _Row) -> Iterator[tuple[str, _Row]]:
    """What one record adds to sums: (certainty, sums) pairs."""
    sums = dict.fromkeys(SUMS, 0)
    for name in _COUNTS:
        sums[name] = row[name]
    sums["cost_nano"] = row["cost_nano"]
    if row["duration_ms"] is not None:
        sums["duration_ms"], sums["timed"] = row["duration_ms"], 1
    if row["kind"] == "request":
        sums["requests"] = 1
        sums["failures"] = 1 if row["status"] >= 400 else 0
    else:
        # The request is counted already, with its whole hold as unknown: the cost moves from
        # there to what it is now known to be.
        sums["cost_nano"] += row["hold_nano"]
        yield "unknown", {**dict.fromkeys(SUMS, 0), "cost_nano": -row["hold_nano"]}
    yield row["certainty"], sums


def items(row: _Row) -> Iterator[tuple[str, LineItem]]:
    """What one record adds to the costs by line item: (certainty, item) pairs."""
    lines = _lines(row["cost_lines"])
    cost = row["cost_nano"]
    if row["kind"] != "request":
        yield "unknown", LineItem(HOLD, 0, -row["hold_nano"])
        cost += row["hold_nano"]
    for item in line_items(lines, cost, row["certainty"]):
        yield row["certainty"], item


def _lines(text: str) -> list[CostLine]:
    """The lines of a record; none where they cannot be read: money is recorded all the same."""
    try:
        lines = [CostLine(Meter(name), *rest) for name, *rest in orjson.loads(text)]
    except (ValueError, TypeError):
        return []
    numbers = ((line.count, line.nano, line.per) for line in lines)
    if not all(type(n) is int and n >= 0 for line in numbers for n in line):
        return []
    if any(line.per == 0 or line.count > _MOST for line in lines) or sum_lines(lines) > _MOST:
        return []
    return lines


def _add_usage(connection: Connection, rows: Iterable[_Row]) -> None:
    hours: _Cells = {}
    days: _Cells = {}
    tags: _Cells = {}
    for row in rows:
        hour, day = hour_of(row["held_at"]), day_of(row["held_at"])
        tagged: dict[str, str] = orjson.loads(row["tags"])
        for certainty, sums in parts(row):
            who = (*(row[name] for name in WHO_AND_WHAT[:-1]), certainty)
            _add(hours, (hour, *who), sums)
            _add(days, (day, *who), sums)
            for tag, value in tagged.items():
                _add(tags, (day, tag, value, *who), sums)
    upsert(connection, hourly_usage, ("hour", *WHO_AND_WHAT), SUMS, hours)
    upsert(connection, daily_usage, ("day", *WHO_AND_WHAT), SUMS, days)
    upsert(connection, daily_tags, ("day", "tag", "value", *WHO_AND_WHAT), SUMS, tags)


def _add_costs(connection: Connection, rows: Iterable[_Row]) -> None:
    cells: _Cells = {}
    for row in rows:
        day = day_of(row["held_at"])
        for certainty, item in items(row):
            key = (day, *(row[name] for name in WHO_AND_WHAT[:-1]), certainty, item.name)
            _add(cells, key, {"quantity": item.quantity, "cost_nano": item.nano})
    key = ("day", *WHO_AND_WHAT, "line_item")
    upsert(connection, daily_costs, key, ("quantity", "cost_nano"), cells)


def _add_latency(connection: Connection, rows: Iterable[_Row]) -> None:
    cells: _Cells = {}
    for row in rows:
        if row["duration_ms"] is not None:
            who = (row["team_id"], row["client_id"], row["model"])
            key = (day_of(row["held_at"]), *who, bucket_of(row["duration_ms"]))
            _add(cells, key, {"requests": 1})
    columns = ("day", "team_id", "client_id", "model", "bucket")
    upsert(connection, daily_latency, columns, ("requests",), cells)


def _add_windows(connection: Connection, events: Iterable[UsageEvent]) -> None:
    cells: _Cells = {}
    for event in events:
        for window in event.windows:
            _add(cells, window, {"spent_nano": event.row["cost_nano"], "records": 1})
    key = ("budget_id", "window_start")
    upsert(connection, budget_windows, key, ("spent_nano", "records"), cells)


def _add(cells: _Cells, key: tuple[Any, ...], sums: _Row) -> None:
    cell = cells.setdefault(key, dict.fromkeys(sums, 0))
    for name, value in sums.items():
        cell[name] += value


def upsert(
    connection: Connection, table: Table, key: Sequence[str], sums: Sequence[str], cells: _Cells
) -> None:
    """Add ``cells``, sums by key, to the rows of ``table``; rows not there yet are made."""
    if not cells:
        return
    # In one order everywhere, so that two recorders cannot lock each other out.
    ordered = sorted(cells.items(), key=lambda cell: tuple(map(str, cell[0])))
    statement = insertion(connection, table)
    statement = statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: table.c[name] + statement.excluded[name] for name in sums},
    )
    rows = [{**dict(zip(key, cell, strict=True)), **values} for cell, values in ordered]
    connection.execute(statement, rows)
