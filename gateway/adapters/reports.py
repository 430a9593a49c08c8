"""Reports: what was used and what it cost, read from the rollups alone.

Whole days come from ``daily_usage``, the hours at the edges of a range from ``hourly_usage``, so a
report reads as many rows as there are days, clients and models, however many requests there were.
Adjustments are in the sums, as certainty ``adjusted``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, Row, Table, func, select

from gateway.adapters.rollup_tables import (
    daily_costs,
    daily_latency,
    daily_tags,
    daily_usage,
    hourly_refusals,
)
from gateway.adapters.tables import SUMS, budgets, clients, hourly_usage, keys, teams
from gateway.core.reports import (
    DIMENSIONS,
    NO_VALUE,
    UNATTRIBUTED,
    Group,
    ItemCost,
    Point,
    Refusals,
    Selection,
    Sums,
    day_after,
    day_of,
)

_COLUMNS = {
    "team": "team_id",
    "client": "client_id",
    "key": "key_id",
    "tier": "service_tier",
}
_CERTAINTIES = ("exact", "estimated", "unknown", "adjusted")


def totals(engine: Engine, selection: Selection) -> Sums:
    """The sums of everything selected. Raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        return sum((found for _, found in _sums(connection, selection, [])), Sums())


def grouped(engine: Engine, selection: Selection, by: str, limit: int | None = None) -> list[Group]:
    """The sums by one of DIMENSIONS or ``tag:NAME``, dearest first, then by name.

    Requests without a value of the tag are a group of their own, NO_VALUE. Where there are more
    than ``limit`` groups, the cheapest are left out. Raises ValueError for an unknown dimension.
    """
    with engine.connect() as connection:
        found = _merged((key, sums) for (key,), sums in _by(connection, selection, by, []))
        names = _names(connection, by, found)
    groups = [Group(key, names.get(key, key), sums) for key, sums in found.items()]
    groups.sort(key=lambda group: (-group.sums.cost_nano, -group.sums.requests, group.name))
    return groups[:limit]


def series(engine: Engine, selection: Selection, step: str, by: str | None = None) -> list[Point]:
    """The sums of each ``hour`` or ``day`` in which there was any, in order of time.

    With a tag in the selection or the grouping, steps are days. Raises ValueError for an unknown
    step or dimension.
    """
    if step not in ("hour", "day"):
        raise ValueError(f"a step is an hour or a day, not {step!r}")
    with engine.connect() as connection:
        cells: dict[tuple[datetime, str], Sums] = {}
        for (at, key), sums in _by(connection, selection, by, [step]):
            place = (day_of(at) if step == "day" else at, key)
            cells[place] = cells.get(place, Sums()) + sums
        names = _names(connection, by, {key for _, key in cells}) if by else {}
    return [Point(at, key, names.get(key, key), sums) for (at, key), sums in sorted(cells.items())]


def items(engine: Engine, selection: Selection, by: str | None = None) -> list[ItemCost]:
    """Costs by line item, and by one of DIMENSIONS or ``day``; whole days. Dearest first.

    Raises ValueError for an unknown dimension, and where a tag is selected: which line items its
    requests had is not summed.
    """
    if selection.tag is not None or (by or "").startswith("tag:"):
        raise ValueError("costs by line item are not kept by tag")
    c = daily_costs.c
    group = [] if by is None else [c.day if by == "day" else c[_column(by)]]
    since, until = selection.days
    query = (
        select(*group, c.line_item, func.sum(c.quantity), func.sum(c.cost_nano))
        .where(c.day >= since, c.day < until, *_filters(daily_costs, selection))
        .group_by(*group, c.line_item)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
        keyed = [(_text(row[0]) if group else "", *row[-3:]) for row in rows]
        names = _names(connection, by, {key for key, *_ in keyed}) if by else {}
    costs = [
        ItemCost(key, names.get(key, key), item, int(quantity), int(cost))
        for key, item, quantity, cost in keyed
    ]
    return sorted(costs, key=lambda cost: (-cost.cost_nano, cost.name, cost.line_item))


def latency(engine: Engine, selection: Selection) -> dict[int, int]:
    """How many requests took how long, by the buckets of ``core.latency``; whole days.

    Kept by team, client and model: other filters are not applied.
    """
    c = daily_latency.c
    since, until = selection.days
    query = (
        select(c.bucket, func.sum(c.requests))
        .where(c.day >= since, c.day < until, *_filters(daily_latency, selection))
        .group_by(c.bucket)
    )
    with engine.connect() as connection:
        return {row[0]: int(row[1]) for row in connection.execute(query)}


def refusals(engine: Engine, selection: Selection, by: str = "code") -> list[Refusals]:
    """Requests that were refused, by ``code``, ``budget``, ``client`` or ``team``; most first.

    Kept by team and client: other filters are not applied. Where no budget refused, the key of
    the budget is 0. Raises ValueError for an unknown grouping.
    """
    columns = {"code": "code", "budget": "budget_id", "client": "client_id", "team": "team_id"}
    if by not in columns:
        raise ValueError(f"refusals are by {', '.join(columns)}, not by {by!r}")
    c = hourly_refusals.c
    since, until = selection.hours
    query = (
        select(c[columns[by]], func.sum(c.requests))
        .where(c.hour >= since, c.hour < until, *_filters(hourly_refusals, selection))
        .group_by(c[columns[by]])
    )
    with engine.connect() as connection:
        found = {str(row[0]): int(row[1]) for row in connection.execute(query)}
        names = {} if by == "code" else _names(connection, by, found)
    every = [Refusals(key, names.get(key, key), count) for key, count in found.items()]
    return sorted(every, key=lambda one: (-one.requests, one.name))


# How sums are read


def _by(
    connection: Connection, selection: Selection, by: str | None, step: list[str]
) -> Iterator[tuple[tuple[Any, ...], Sums]]:
    """Sums keyed by (time where there is a step, group)."""
    if by is None:
        for key, sums in _sums(connection, selection, [], step):
            yield (*key, ""), sums
        return
    if not by.startswith("tag:"):
        for key, sums in _sums(connection, selection, [_column(by)], step):
            yield (*key[:-1], _text(key[-1])), sums
        return
    name = by.removeprefix("tag:")
    rest: dict[tuple[Any, ...], Sums] = {}
    for key, sums in _read(connection, daily_usage, selection.days, selection, [], step):
        rest[key] = rest.get(key, Sums()) + sums
    if selection.tag is not None and selection.tag[0] != name:
        raise ValueError("what has two tags at once is not summed: filter by the tag of the group")
    tagged = [daily_tags.c.tag == name]
    found = _read(connection, daily_tags, selection.days, selection, ["value"], step, tagged)
    for key, sums in found:
        rest[key[:-1]] = rest.get(key[:-1], Sums()) - sums
        yield key, sums
    if selection.tag is None:
        for key, sums in rest.items():
            if sums != Sums():
                yield (*key, NO_VALUE), sums


def _sums(
    connection: Connection, selection: Selection, columns: Sequence[str], step: Sequence[str] = ()
) -> Iterator[tuple[tuple[Any, ...], Sums]]:
    """Sums by ``columns``, each part of the range from the table that has it in fewest rows."""
    if selection.tag is not None:
        yield from _read(connection, daily_tags, selection.days, selection, columns, step)
        return
    since, until = selection.hours
    first, last = day_after(since), day_of(until)
    if "hour" in step or first >= last:
        yield from _read(connection, hourly_usage, (since, until), selection, columns, step)
        return
    for table, part in (
        (hourly_usage, (since, first)),
        (daily_usage, (first, last)),
        (hourly_usage, (last, until)),
    ):
        if part[0] < part[1]:
            yield from _read(connection, table, part, selection, columns, step)


def _read(
    connection: Connection,
    table: Table,
    part: tuple[datetime, datetime],
    selection: Selection,
    columns: Sequence[str],
    step: Sequence[str],
    further: Sequence[ColumnElement[bool]] = (),
) -> Iterator[tuple[tuple[Any, ...], Sums]]:
    time = table.c.hour if "hour" in table.c else table.c.day
    group: list[Column[Any]] = [*([time] if step else []), *(table.c[name] for name in columns)]
    cost = func.sum(table.c.cost_nano)
    query = (
        select(
            *group,
            *(func.sum(table.c[name]) for name in SUMS),
            *(cost.filter(table.c.certainty == certainty) for certainty in _CERTAINTIES),
        )
        .where(time >= part[0], time < part[1], *_filters(table, selection), *further)
        .group_by(*group)
    )
    for row in connection.execute(query):
        values = tuple(row)
        if values[len(group)] is not None:
            yield values[: len(group)], Sums(*(int(value or 0) for value in values[len(group) :]))


def _filters(table: Table, selection: Selection) -> list[ColumnElement[bool]]:
    """What rows of ``table`` must satisfy, as far as it has the columns."""
    wanted: dict[str, Sequence[Any]] = {
        "team_id": selection.team_ids,
        "client_id": selection.client_ids,
        "key_id": selection.key_ids,
        "model": selection.models,
        "endpoint": selection.endpoints,
        "service_tier": selection.tiers,
    }
    found: list[ColumnElement[bool]] = [
        table.c[name].in_(values) for name, values in wanted.items() if values and name in table.c
    ]
    if selection.tag is not None and "tag" in table.c:
        found += [table.c.tag == selection.tag[0], table.c.value == selection.tag[1]]
    return found


def _column(by: str) -> str:
    if by not in DIMENSIONS:
        raise ValueError(f"sums are by {', '.join(DIMENSIONS)} or tag:NAME, not by {by!r}")
    return _COLUMNS.get(by, by)


def _merged(found: Iterable[tuple[str, Sums]]) -> dict[str, Sums]:
    groups: dict[str, Sums] = {}
    for key, sums in found:
        groups[key] = groups.get(key, Sums()) + sums
    return groups


def _names(connection: Connection, by: str, wanted: Iterable[str]) -> dict[str, str]:
    """What people call the groups ``wanted``, where their keys are ids."""
    tables: dict[str, Table] = {"team": teams, "client": clients, "key": keys, "budget": budgets}
    table = tables.get(by)
    ids = [int(key) for key in wanted] if table is not None else []
    if table is None or not ids:
        return {}
    columns = [table.c.id, table.c.name]
    if table is keys:
        columns += [keys.c.prefix, keys.c.last_four]
    rows = connection.execute(select(*columns).where(table.c.id.in_(ids)))
    return {"0": UNATTRIBUTED} | {str(row.id): _name(row) for row in rows}


def _name(row: Row[Any]) -> str:
    if "prefix" not in row._fields:
        return str(row.name)
    display = f"{row.prefix}...{row.last_four}"
    return f"{row.name} ({display})" if row.name else display


def _text(value: Any) -> str:
    return value.date().isoformat() if isinstance(value, datetime) else str(value)
