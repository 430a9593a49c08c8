"""Costs by day, for the costs API: from the rollups, so that they sum to those of the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, func, select, tuple_

from gateway.adapters.rollup_tables import daily_costs, daily_tags, daily_usage
from gateway.core.time_buckets import Page
from gateway.core.usage_families import Only

_Group = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one group cost on one day; ``group`` is in the order that was asked for."""

    start: int
    group: _Group
    cost_nano: int
    quantity: int | None = None
    """Units of the line item, where costs are grouped by it."""


def cost_buckets(
    engine: Engine, page: Page, only: Only, by: Sequence[str], tag: str | None = None
) -> list[Costs]:
    """The costs of each day of ``page``, grouped ``by`` project_id, user_id, api_key_id, model or
    line_item, of which the last is a (model, item) pair; groups that cost nothing are left out.

    With ``tag`` each group is parted further, by the value of that tag, None for what has none,
    at the end of ``group``: line items are not kept by tag, so that ``by`` and ``only`` must not
    name them. Raises SQLAlchemy's errors.
    """
    if page.since >= page.until:
        return []
    found: dict[_Group, list[int]]
    if tag is not None:
        found = _by_tag(engine, page, only, by, tag)
    else:
        found = _summed(engine, daily_costs, page, only, by, (daily_costs.c.quantity,))
    return [
        Costs(key[0], key[1:], sums[0], sums[1] if "line_item" in by else None)
        for key, sums in sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
        if any(sums)
    ]


def _summed(
    engine: Engine,
    table: Table,
    page: Page,
    only: Only,
    by: Sequence[str],
    further_sums: Iterable[ColumnElement[int]] = (),
    further_groups: Sequence[ColumnElement[Any]] = (),
    further: Iterable[ColumnElement[bool]] = (),
) -> dict[_Group, list[int]]:
    """Costs, and then ``further_sums``, by start of the day and group."""
    c = table.c
    columns: dict[str, list[ColumnElement[Any]]] = {
        "project_id": [c.team_id],
        "user_id": [c.client_id],
        "api_key_id": [c.key_id],
        "model": [c.model],
        "line_item": [c.model, c.line_item] if "line_item" in c else [],
    }
    asked: tuple[tuple[ColumnElement[Any], Sequence[Any] | None], ...] = (
        (c.team_id, only.team_ids),
        (c.client_id, only.client_ids),
        (c.key_id, only.key_ids),
        (c.model, only.models),
    )
    since, until = page.bounds
    groups = [c.day, *(part for name in by for part in columns[name]), *further_groups]
    query = (
        select(*groups, func.sum(c.cost_nano), *(func.sum(column) for column in further_sums))
        .where(c.day >= since, c.day < until, *further)
        .where(*(column.in_(values) for column, values in asked if values is not None))
        .group_by(*groups)
    )
    if only.line_items is not None:
        query = query.where(tuple_(c.model, c.line_item).in_(only.line_items))
    with engine.connect() as connection:
        return {
            (int(row[0].timestamp()), *_grouped(row[1 : len(groups)], by)): [
                int(value or 0) for value in row[len(groups) :]
            ]
            for row in connection.execute(query)
        }


def _grouped(values: Sequence[Any], by: Sequence[str]) -> list[Any]:
    """A row's values by name: a line item has two of them."""
    rest = list(values)
    found: list[Any] = []
    for name in by:
        found.append((rest.pop(0), rest.pop(0)) if name == "line_item" else rest.pop(0))
    return [*found, *rest]


def _by_tag(
    engine: Engine, page: Page, only: Only, by: Sequence[str], tag: str
) -> dict[_Group, list[int]]:
    c = daily_tags.c
    found = _summed(engine, daily_tags, page, only, by, (), [c.value], [c.tag == tag])
    rest = {
        (*key, None): sums for key, sums in _summed(engine, daily_usage, page, only, by).items()
    }
    for key, sums in found.items():
        rest[(*key[:-1], None)][0] -= sums[0]
    return {**rest, **found}
