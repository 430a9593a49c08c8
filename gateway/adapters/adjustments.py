"""Adjustments: corrections of recorded costs, posted beside the records, which stay as they are.

They are in the rollups too, in the transaction that posts them, as certainty ``adjusted`` in the
first hour of their day. Budgets are untouched: their windows count what was admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from gateway.adapters.control_tables import adjustments
from gateway.adapters.rollup_tables import WHO_AND_WHAT, daily_costs, daily_usage
from gateway.adapters.tables import SUMS, deployment, hourly_usage
from gateway.adapters.usage_sums import insertion, upsert
from gateway.core.reports import day_of

ADJUSTED = "adjusted"
"""The certainty that adjustments have in the rollups."""

NOBODY = 0
"""The team, client and key of what nobody is known to have used."""

_AT_ONCE = 500
_LOCK = "adjustments"


class Source(StrEnum):
    """What posts adjustments."""

    RECONCILIATION = "reconciliation"
    REPRICING = "repricing"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """``cost_nano`` nano-dollars more, or less, for a line item of a day in UTC.

    ``reason`` is one word, ``note`` a sentence for people. ``request_id`` is set where one
    request is corrected.
    """

    day: datetime
    model: str
    line_item: str
    cost_nano: int
    reason: str
    note: str
    team_id: int = NOBODY
    client_id: int = NOBODY
    key_id: int = NOBODY
    endpoint: str = ""
    service_tier: str = ""
    request_id: str | None = None

    @property
    def place(self) -> tuple[Any, ...]:
        """What a source adjusts once."""
        return tuple(getattr(self, name) for name in _PLACE)


_PLACE = (
    "day",
    "team_id",
    "client_id",
    "key_id",
    "endpoint",
    "model",
    "service_tier",
    "line_item",
    "reason",
    "request_id",
)


def lock(connection: Connection) -> None:
    """Make every other posting wait until this transaction ends."""
    once = insertion(connection, deployment).values(name=_LOCK, value=0)
    connection.execute(once.on_conflict_do_nothing())
    connection.execute(
        update(deployment).where(deployment.c.name == _LOCK).values(value=deployment.c.value + 1)
    )


def post(
    connection: Connection,
    source: Source,
    source_id: int,
    items: Iterable[Adjustment],
    by: str,
) -> int:
    """Post what ``source`` has not posted yet, in the caller's transaction; returns how many.

    A source adjusts each place (day, tenant, model, line item, reason, request) once, however
    often it is offered; adjustments of nothing are left out. Other postings wait for the end of
    the transaction.
    """
    lock(connection)
    posted = 0
    remaining = iter(items)
    while page := list(islice(remaining, _AT_ONCE)):
        posted += _post_page(connection, source, source_id, page, by)
    return posted


def _post_page(
    connection: Connection, source: Source, source_id: int, page: list[Adjustment], by: str
) -> int:
    there = _places(connection, source, source_id, page)
    fresh: dict[tuple[Any, ...], Adjustment] = {}
    for item in page:
        if item.cost_nano and item.place not in there:
            if item.day != day_of(item.day):
                raise ValueError("an adjustment belongs to a day, by its start in UTC")
            if fresh.setdefault(item.place, item).cost_nano != item.cost_nano:
                raise ValueError("one posting has two amounts for one place: add them up first")
    if not fresh:
        return 0
    now = datetime.now(UTC)
    connection.execute(
        insert(adjustments),
        [
            {
                **{name: getattr(item, name) for name in (*_PLACE, "cost_nano", "note")},
                "source": source.value,
                "source_id": source_id,
                "posted_at": now,
                "posted_by": by,
            }
            for item in fresh.values()
        ],
    )
    _add_sums(connection, fresh.values())
    return len(fresh)


def _places(
    connection: Connection, source: Source, source_id: int, page: Sequence[Adjustment]
) -> set[tuple[Any, ...]]:
    """The places of ``page`` that this source has adjusted."""
    a = adjustments.c
    query = select(*(a[name] for name in _PLACE)).where(
        a.source == source.value, a.source_id == source_id
    )
    requests = {item.request_id for item in page if item.request_id is not None}
    found: set[tuple[Any, ...]] = set()
    if requests:
        found |= {tuple(r) for r in connection.execute(query.where(a.request_id.in_(requests)))}
    if any(item.request_id is None for item in page):
        found |= {tuple(r) for r in connection.execute(query.where(a.request_id.is_(None)))}
    return found


def _add_sums(connection: Connection, items: Iterable[Adjustment]) -> None:
    usage: dict[tuple[Any, ...], dict[str, Any]] = {}
    costs: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in items:
        who = (*(getattr(item, name) for name in WHO_AND_WHAT[:-1]), ADJUSTED)
        cell = usage.setdefault((item.day, *who), dict.fromkeys(SUMS, 0))
        cell["cost_nano"] += item.cost_nano
        cost = costs.setdefault((item.day, *who, item.line_item), {"quantity": 0, "cost_nano": 0})
        cost["cost_nano"] += item.cost_nano
    upsert(connection, hourly_usage, ("hour", *WHO_AND_WHAT), SUMS, usage)
    upsert(connection, daily_usage, ("day", *WHO_AND_WHAT), SUMS, usage)
    key = ("day", *WHO_AND_WHAT, "line_item")
    upsert(connection, daily_costs, key, ("quantity", "cost_nano"), costs)


def adjustments_of(engine: Engine, source: Source, source_id: int) -> Sequence[Row[Any]]:
    """What one reconciliation or repricing has posted, by day, model and line item."""
    a = adjustments.c
    query = select(adjustments).where(a.source == source.value, a.source_id == source_id)
    with engine.connect() as connection:
        return connection.execute(query.order_by(a.day, a.model, a.line_item, a.id)).all()


def adjustments_of_request(engine: Engine, request_id: str) -> Sequence[Row[Any]]:
    """What was posted for one request, in the order of posting."""
    a = adjustments.c
    query = select(adjustments).where(a.request_id == request_id).order_by(a.id)
    with engine.connect() as connection:
        return connection.execute(query).all()


def adjusted_nano(connection: Connection, request_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """What has been posted for requests so far, by (request, line item)."""
    a = adjustments.c
    found: dict[tuple[str, str], int] = {}
    for page in _pages(request_ids):
        query = select(a.request_id, a.line_item, a.cost_nano).where(a.request_id.in_(page))
        for row in connection.execute(query):
            key = (str(row.request_id), str(row.line_item))
            found[key] = found.get(key, 0) + int(row.cost_nano)
    return found


def _pages(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
