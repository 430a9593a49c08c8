"""Sums of usage by buckets of time, for the usage APIs: from the rollups by day and hour.

Rollups have neither minutes nor, by the hour, what is only in tags and cost lines. That is summed
over the records themselves, and is bounded by the most that one page may have: a day of minutes, a
week of hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Table,
    and_,
    case,
    cast,
    extract,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from gateway.adapters.rollup_tables import daily_costs, daily_tags, daily_usage
from gateway.adapters.tables import hourly_usage, usage_records
from gateway.core.batch_lines import BATCH_TIER
from gateway.core.tags import IMAGE_SIZE
from gateway.core.time_buckets import HOUR, Page
from gateway.core.usage_families import EMBEDDING_MARK, Family, Only

COUNTS = (
    "requests",
    "failures",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
)
"""What is summed of requests, by the names of ``tables.SUMS``."""

FEES = "fees"
"""The sum of a family that counts a fee."""

_DAY_SECONDS = 86_400

_Group = tuple[Any, ...]
_Sums = dict[str, int]
_Columns = Mapping[str, ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Bucketed:
    """The sums of one group in one bucket; ``group`` is in the order that was asked for."""

    start: int
    group: _Group
    sums: Mapping[str, int]


def usage_buckets(
    engine: Engine, family: Family, page: Page, only: Only, by: Sequence[str]
) -> list[Bucketed]:
    """The usage of ``family`` in the buckets of ``page``, grouped ``by`` names of its
    ``group_by``; groups without usage are left out. Raises SQLAlchemy's errors."""
    if page.since >= page.until:
        return []
    days = page.width.seconds == _DAY_SECONDS
    if family.meter is not None:
        found = (_fees_by_day if days else _fees_of_records)(engine, family, page, only, by)
    elif not family.endpoints:
        found = {}
    elif "size" in by or only.sizes is not None:
        found = (_sized_by_day if days else _of_records)(engine, family, page, only, by)
    elif days:
        found = _summed(engine, daily_usage, "day", family, page, only, by)
    elif page.width == HOUR:
        found = _summed(engine, hourly_usage, "hour", family, page, only, by)
    else:
        found = _of_records(engine, family, page, only, by)
    return [
        Bucketed(key[0], key[1:], sums)
        for key, sums in sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
        if any(sums.values())
    ]


def _columns(table: Table, size: ColumnElement[Any] | None = None) -> _Columns:
    """What may be grouped by, as columns of ``table``."""
    c = table.c
    batch = case((or_(c.endpoint == "batches", c.service_tier == BATCH_TIER), 1), else_=0)
    found: dict[str, ColumnElement[Any]] = {
        "project_id": c.team_id,
        "user_id": c.client_id,
        "api_key_id": c.key_id,
        "model": c.model,
        "service_tier": c.service_tier,
        "source": c.endpoint,
        "batch": batch,
    }
    return found if size is None else {**found, "size": size}


def _left(only: Only, columns: _Columns) -> Iterator[ColumnElement[bool]]:
    """The conditions of a query's filters."""
    asked = (
        ("project_id", only.team_ids),
        ("user_id", only.client_ids),
        ("api_key_id", only.key_ids),
        ("model", only.models),
        ("source", only.endpoints),
        ("size", only.sizes),
    )
    for name, values in asked:
        if values is not None:
            yield columns[name].in_(values)
    if only.batch is not None:
        yield columns["batch"] == int(only.batch)


def _of_family(table: Table, family: Family) -> ColumnElement[bool]:
    """What of ``table`` belongs to ``family``. Lists of objects name no model, and are none."""
    c = table.c
    own: ColumnElement[bool] = c.endpoint.in_(family.endpoints)
    if family.batches != "none":
        embeds = c.model.contains(EMBEDDING_MARK)
        kind = embeds if family.batches == "embedding" else ~embeds
        own = or_(own, and_(c.endpoint == "batches", kind))
    return and_(own, c.model != "")


def _summed(
    engine: Engine,
    table: Table,
    time: str,
    family: Family,
    page: Page,
    only: Only,
    by: Sequence[str],
    *,
    size: ColumnElement[Any] | None = None,
    further: Iterable[ColumnElement[bool]] = (),
) -> dict[_Group, _Sums]:
    """Sums of a rollup whose ``time`` is a column, by start of the bucket and group."""
    columns = _columns(table, size)
    groups = [table.c[time], *(columns[name] for name in by)]
    since, until = page.bounds
    query = (
        select(*groups, *(func.sum(table.c[name]).label(name) for name in COUNTS))
        .where(table.c[time] >= since, table.c[time] < until, _of_family(table, family))
        .where(*_left(only, columns), *further)
        .group_by(*groups)
    )
    with engine.connect() as connection:
        return {
            (int(row[0].timestamp()), *row[1 : len(groups)]): _counted(row[len(groups) :])
            for row in connection.execute(query)
        }


def _counted(values: Iterable[Any]) -> _Sums:
    return {name: int(value or 0) for name, value in zip(COUNTS, values, strict=True)}


def _sized_by_day(
    engine: Engine, family: Family, page: Page, only: Only, by: Sequence[str]
) -> dict[_Group, _Sums]:
    """Sums by size: those of the tag, and where sizes are not filtered for, the rest of all."""
    tagged = daily_tags.c.tag == IMAGE_SIZE
    found = _summed(
        engine, daily_tags, "day", family, page, only, by, size=daily_tags.c.value, further=[tagged]
    )
    if only.sizes is not None:
        return found
    place = 1 + list(by).index("size")
    rest = _summed(engine, daily_usage, "day", family, page, only, [n for n in by if n != "size"])
    rest = {(*key[:place], None, *key[place:]): sums for key, sums in rest.items()}
    for key, sums in found.items():
        left = rest[(*key[:place], None, *key[place + 1 :])]
        for name, value in sums.items():
            left[name] -= value
    return {**rest, **found}


# Over the records themselves


def _start_of(engine: Engine, page: Page) -> ColumnElement[int]:
    """The start of the bucket of a record, in seconds since 1970."""
    second: ColumnElement[Any] = extract("epoch", usage_records.c.held_at)
    if engine.dialect.name == "postgresql":
        second = func.floor(second)
    whole = cast(second, BigInteger)
    return whole - whole % page.width.seconds


def _size_of(engine: Engine) -> ColumnElement[Any]:
    tags = usage_records.c.tags
    if engine.dialect.name == "postgresql":
        found: ColumnElement[Any] = cast(tags, JSONB)[IMAGE_SIZE].astext
        return found
    return func.json_extract(tags, f"$.{IMAGE_SIZE}")


def _of_records(
    engine: Engine, family: Family, page: Page, only: Only, by: Sequence[str]
) -> dict[_Group, _Sums]:
    c = usage_records.c
    columns = _columns(usage_records, _size_of(engine))
    sums: dict[str, Any] = {name: c[name] for name in COUNTS if name in c}
    first = c.kind == "request"
    sums["requests"] = case((first, 1), else_=0)
    sums["failures"] = case((and_(first, c.status >= 400), 1), else_=0)
    since, until = page.bounds
    groups = [_start_of(engine, page).label("start"), *(columns[n].label(n) for n in by)]
    inner = (
        select(*groups, *(cast(sums[name], BigInteger).label(f"sum_{name}") for name in COUNTS))
        .where(c.held_at >= since, c.held_at < until, _of_family(usage_records, family))
        .where(*_left(only, columns))
        .subquery()
    )
    keys = [inner.c[name] for name in ("start", *by)]
    query = select(*keys, *(func.sum(inner.c[f"sum_{name}"]) for name in COUNTS)).group_by(*keys)
    with engine.connect() as connection:
        return {
            (int(row[0]), *row[1 : len(keys)]): _counted(row[len(keys) :])
            for row in connection.execute(query)
        }


# Fees, which are in cost lines


def _fees_by_day(
    engine: Engine, family: Family, page: Page, only: Only, by: Sequence[str]
) -> dict[_Group, _Sums]:
    assert family.meter is not None
    c = daily_costs.c
    columns = _columns(daily_costs)
    groups = [c.day, *(columns[name] for name in by)]
    since, until = page.bounds
    query = (
        select(*groups, func.sum(c.quantity))
        .where(c.day >= since, c.day < until, c.line_item == family.meter.value)
        .where(*_left(only, columns))
        .group_by(*groups)
    )
    with engine.connect() as connection:
        return {
            (int(row[0].timestamp()), *row[1:-1]): {FEES: int(row[-1])}
            for row in connection.execute(query)
        }


def _fees_of_records(
    engine: Engine, family: Family, page: Page, only: Only, by: Sequence[str]
) -> dict[_Group, _Sums]:
    assert family.meter is not None
    c = usage_records.c
    columns = _columns(usage_records)
    groups = [_start_of(engine, page), *(columns[name] for name in by)]
    since, until = page.bounds
    query = (
        select(*groups, c.cost_lines)
        .where(c.held_at >= since, c.held_at < until)
        .where(c.cost_lines.contains(f'["{family.meter.value}",'))
        .where(*_left(only, columns))
    )
    found: dict[_Group, _Sums] = {}
    with engine.connect() as connection:
        for start, *group, lines in connection.execute(query):
            counted = sum(line[1] for line in orjson.loads(lines) if line[0] == family.meter.value)
            sums = found.setdefault((int(start), *group), {FEES: 0})
            sums[FEES] += counted
    return found
