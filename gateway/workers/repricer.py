"""Computes recorded costs again at the price book as it is now, and posts what differs.

Each request is priced by the row that is in force for the moment it was held at, in the tier it was
charged in. A page of records is read, computed and posted in a transaction of its own: a run that
is cut short is finished by the next, and a second run finds nothing left to post.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, tuple_, update

from gateway.adapters.adjustments import Adjustment, Source, adjusted_nano, lock, post
from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import repricings
from gateway.adapters.price_rows import stored_prices
from gateway.adapters.tables import usage_records
from gateway.core.line_items import line_items
from gateway.core.prices import Cost, CostLine, Price, PriceBook, Unpriced
from gateway.core.recorded_cost import (
    BATCHES,
    cost_at,
    final_cost,
    lines_at,
    lines_of,
    priced_name,
)
from gateway.core.reports import day_of
from gateway.core.roles import Principal
from gateway.core.usage import Certainty, InvalidUsage

PAGE_RECORDS = 1000


class RepricingError(Exception):
    """Records cannot be repriced as asked; the message says why."""


@dataclass(slots=True)
class Sums:
    """Records of one model and client, and their cost before and after, in nano-dollars."""

    records: int = 0
    before_nano: int = 0
    after_nano: int = 0

    def add(self, before_nano: int, after_nano: int) -> None:
        """Add one record whose cost changes."""
        self.records += 1
        self.before_nano += before_nano
        self.after_nano += after_nano


@dataclass(slots=True)
class Repricing:
    """What a run found, and posted where ``id`` is set."""

    id: int | None = None
    looked_at: int = 0
    changed: dict[tuple[str, int], Sums] = field(default_factory=dict)
    """By model and client."""
    left: Counter[str] = field(default_factory=Counter)
    """Records that cannot be computed again, by why."""

    @property
    def total(self) -> Sums:
        """The sums over all models and clients."""
        total = Sums()
        for sums in self.changed.values():
            total.records += sums.records
            total.before_nano += sums.before_nano
            total.after_nano += sums.after_nano
        return total


class _Prices:
    """The price book, and the rows that records were priced by."""

    def __init__(self, prices: Sequence[Price]) -> None:
        self.book = PriceBook(prices)
        self._by_id: Mapping[int, Price] = {price.id: price for price in prices}

    def cost_now(self, row: Any, lines: Sequence[CostLine]) -> Cost | None:
        """What a record costs now; None where it stays as it is.

        Raises Unpriced and InvalidUsage where that cannot be said.
        """
        if row.price_id is None or not lines or row.outcome == "released":
            return None
        old, new = self._by_id.get(row.price_id), self.book.find(priced_name(row), row.held_at)
        if new is None or old is None:
            raise Unpriced(f"{priced_name(row)} has no price for its day")
        if new.id == old.id:
            return Cost(final_cost(row), tuple(lines))
        if row.certainty == Certainty.EXACT and row.endpoint != BATCHES:
            return cost_at(new, row, lines)
        return lines_at(old, new, row.service_tier, lines)


def reprice(
    engine: Engine,
    since: datetime,
    until: datetime,
    pattern: str | None = None,
    apply_by: Principal | None = None,
) -> Repricing:
    """Reprice the requests held from ``since`` to before ``until``; post where ``apply_by`` is.

    ``pattern`` narrows to models (shell-style). Raises RepricingError where that principal may
    not post, and SQLAlchemy's errors; what pages before have posted then stays.
    """
    if apply_by is not None and not apply_by.may_decide:
        raise RepricingError("only administrators and finance post corrections of cost")
    found = Repricing()
    with engine.connect() as connection:
        prices = _Prices(stored_prices(connection))
    after: tuple[Any, ...] | None = None
    while True:
        with engine.begin() as connection:
            if apply_by is not None:
                lock(connection)
            rows = _page(connection, since, until, after)
            if not rows:
                return found
            items = list(_repriced(connection, rows, prices, pattern, found))
            if items and apply_by is not None:
                if found.id is None:
                    found.id = _begin(connection, since, until, pattern, apply_by)
                post(connection, Source.REPRICING, found.id, items, apply_by.actor)
                _count(connection, found)
        after = _key(rows[-1])


def _key(row: Row[Any]) -> tuple[Any, ...]:
    return row.held_at, row.request_id, row.kind


def _page(
    connection: Connection, since: datetime, until: datetime, after: tuple[Any, ...] | None
) -> Sequence[Row[Any]]:
    """The records that follow ``after``, in the order of the table's index by time."""
    c = usage_records.c
    key = c.held_at, c.request_id, c.kind
    query = (
        select(usage_records)
        .where(c.held_at >= (since if after is None else after[0]), c.held_at < until)
        .order_by(*key)
        .limit(PAGE_RECORDS)
    )
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after, types=[column.type for column in key]))
    return connection.execute(query).all()


def _repriced(
    connection: Connection,
    rows: Sequence[Row[Any]],
    prices: _Prices,
    pattern: str | None,
    found: Repricing,
) -> Iterator[Adjustment]:
    """The adjustments that bring ``rows`` to their price now; ``found`` counts them."""
    wanted = [row for row in rows if pattern is None or fnmatch.fnmatchcase(row.model, pattern)]
    adjusted = adjusted_nano(connection, [row.request_id for row in wanted])
    by_request: dict[str, dict[str, int]] = {}
    for (request_id, item), nano in adjusted.items():
        by_request.setdefault(request_id, {})[item] = nano
    for row in wanted:
        found.looked_at += 1
        lines = lines_of(row)
        try:
            cost = prices.cost_now(row, lines)
        except (Unpriced, InvalidUsage) as error:
            found.left[str(error)] += 1
            continue
        if cost is not None:
            earlier = by_request.get(row.request_id, {})
            yield from _adjustments(row, lines, cost, earlier, found)


def _adjustments(
    row: Row[Any],
    lines: Sequence[CostLine],
    cost: Cost,
    earlier: Mapping[str, int],
    found: Repricing,
) -> Iterator[Adjustment]:
    """By line item, what ``cost`` has more than was recorded and adjusted until now."""
    recorded = final_cost(row)
    more: Counter[str] = Counter()
    for item in line_items(cost.lines, cost.nano, row.certainty):
        more[item.name] += item.nano
    for item in line_items(lines, recorded, row.certainty):
        more[item.name] -= item.nano
    for name, nano in earlier.items():
        more[name] -= nano
    if not any(more.values()):
        return
    sums = found.changed.setdefault((row.model, row.client_id), Sums())
    sums.add(recorded + sum(earlier.values()), cost.nano)
    for name, nano in more.items():
        if nano:
            yield Adjustment(
                day_of(row.held_at),
                row.model,
                name,
                nano,
                "repricing",
                f"Recorded at price row {row.price_id}, repriced by the price in force.",
                team_id=row.team_id,
                client_id=row.client_id,
                key_id=row.key_id,
                endpoint=row.endpoint,
                service_tier=row.service_tier,
                request_id=row.request_id,
            )


def _begin(
    connection: Connection,
    since: datetime,
    until: datetime,
    pattern: str | None,
    principal: Principal,
) -> int:
    done = connection.execute(
        insert(repricings).values(
            since=since,
            until=until,
            model_pattern=pattern,
            records=0,
            before_nano=0,
            after_nano=0,
            created_at=datetime.now(UTC),
            created_by=principal.actor,
        )
    )
    found = done.inserted_primary_key
    assert found is not None
    name = f"{since:%Y-%m-%d} to {until:%Y-%m-%d}"
    what = {"since": since, "until": until, "model_pattern": pattern}
    note(connection, principal, "apply", "repricing", int(found[0]), name, None, what)
    return int(found[0])


def _count(connection: Connection, found: Repricing) -> None:
    total = found.total
    connection.execute(
        update(repricings)
        .where(repricings.c.id == found.id)
        .values(records=total.records, before_nano=total.before_nano, after_nano=total.after_nano)
    )
