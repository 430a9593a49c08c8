"""What the audit finds in the daily sums that reports of long ranges are made from (I8).

Days are compared with the hours, which are compared with the records by themselves. What no hour
has, the costs by line item, the tags and the durations, is summed over the records again: by day,
which keeps an entry for each item, value and bucket of a day in memory.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from sqlalchemy import Connection, String, func, or_, select, type_coerce, union_all

from gateway.adapters.control_tables import adjustments
from gateway.adapters.rollup_tables import (
    WHO_AND_WHAT,
    daily_costs,
    daily_latency,
    daily_tags,
    daily_usage,
)
from gateway.adapters.tables import SUMS, Utc, hourly_usage
from gateway.adapters.usage_sums import items
from gateway.core.latency import bucket_of
from gateway.core.reports import day_of
from gateway.workers.audit_records import pages
from gateway.workers.audit_report import Check, Difference, Found, check

_WRONG = (
    "The records are right where I4 and I9 hold: {table} was changed by hand, or records of that"
    " day were deleted."
)

_Sums = Counter[tuple[Any, ...]]


class Days:
    """Sums by day that only the records tell. ``add`` each of them, then ask."""

    def __init__(self) -> None:
        self._items: _Sums = Counter()
        self._tags: _Sums = Counter()
        self._buckets: _Sums = Counter()

    def add(self, row: Any) -> None:
        """Take one record."""
        day = day_of(row.held_at)
        for _, item in items(row._mapping):
            self._items[day, item.name] += item.nano
        if row.tags != "{}":
            for tag, value in orjson.loads(row.tags).items():
                self._tags[day, tag, value] += row.cost_nano
        if row.duration_ms is not None:
            self._buckets[day, bucket_of(row.duration_ms)] += 1

    def checks(self, connection: Connection) -> list[Check]:
        """I8, of what is kept by day."""
        a, c, t, b = adjustments.c, daily_costs.c, daily_tags.c, daily_latency.c
        posted = select(a.day, a.line_item, func.sum(a.cost_nano)).group_by(a.day, a.line_item)
        for day, item, cost in connection.execute(posted):
            self._items[day, item] += int(cost)
        return [
            _days(connection),
            _compared(
                connection,
                ("daily_costs", "the costs by line item are those of the lines of the records"),
                self._items,
                select(c.day, c.line_item, func.sum(c.cost_nano)).group_by(c.day, c.line_item),
            ),
            _compared(
                connection,
                ("daily_tags", "the costs by tag are those of the records that carry it"),
                self._tags,
                select(t.day, t.tag, t.value, func.sum(t.cost_nano)).group_by(
                    t.day, t.tag, t.value
                ),
            ),
            _compared(
                connection,
                ("daily_latency", "the counts of durations are those of the records"),
                self._buckets,
                select(b.day, b.bucket, func.sum(b.requests)).group_by(b.day, b.bucket),
            ),
        ]


def _compared(connection: Connection, table: tuple[str, str], expected: _Sums, query: Any) -> Check:
    """The stored sums that ``query`` reads, compared with those of the records."""
    name, says = table
    found, compared = Found(), 0
    left = {key for key, value in expected.items() if value}
    for *key, value in pages(connection, query):
        compared += 1
        left.discard(tuple(key))
        if int(value) != expected[tuple(key)]:
            found.add(_differs(name, key, expected[tuple(key)], int(value)))
    for missing in sorted(left):
        found.add(_differs(name, missing, expected[missing], None))
    return check("I8", f"{name} = records", says, compared, found)


def _differs(table: str, key: Any, expected: int, found: int | None) -> Difference:
    day, *rest = key
    about = f"{', '.join(map(str, rest))} of {day:%Y-%m-%d}"
    return Difference(about, expected, found, _WRONG.format(table=table))


def _days(connection: Connection) -> Check:
    """Every sum of a day is that of its hours."""
    h, d = hourly_usage.c, daily_usage.c
    if connection.dialect.name == "postgresql":
        day: Any = func.date_trunc("day", h.hour, "UTC", type_=Utc)
    else:
        day = type_coerce(func.substr(h.hour, 1, 10, type_=String) + " 00:00:00.000000", Utc)
    who = list(WHO_AND_WHAT)
    both = union_all(
        select(day.label("day"), *(h[name] for name in who), *(h[name] for name in SUMS)),
        select(d.day, *(d[name] for name in who), *((-d[name]).label(name) for name in SUMS)),
    ).subquery()
    b = both.c
    # Each day has its hours added and itself taken away: what is left over differs.
    left_over = [func.sum(b[name]) for name in SUMS]
    key = [b.day, *(b[name] for name in who)]
    query = (
        select(*key, *left_over)
        .group_by(*key)
        .having(or_(*(rest != 0 for rest in left_over)))
        .order_by(*key)
    )
    found = Found()
    for row in pages(connection, query):
        values = tuple(row)
        differ = {
            name: int(value)
            for name, value in zip(SUMS, values[-len(SUMS) :], strict=True)
            if value
        }
        about = f"{values[0]:%Y-%m-%d} of {', '.join(map(str, values[1 : len(key)]))}"
        found.add(
            Difference(
                about,
                "the sum of its hours",
                ", ".join(f"{name} off by {-value}" for name, value in differ.items()),
                "The hours are right where they are those of the records: daily_usage was changed"
                " by hand.",
            )
        )
    stored = connection.execute(select(func.count()).select_from(daily_usage)).scalar_one()
    return check("I8", "days = hours", "the daily sums are those of the hours", int(stored), found)
