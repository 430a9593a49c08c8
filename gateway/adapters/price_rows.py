"""Price rows in SQL: synced from a price list, overridden by the deployment, never edited."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from gateway.adapters import audit_log
from gateway.adapters.directory_changes import (
    COMMAND_LINE,
    Change,
    changing,
    lock_policy,
    move_policy_version,
)
from gateway.adapters.price_sources import PriceRow
from gateway.adapters.tables import prices
from gateway.core.price_codec import tiers_digest, tiers_from_json, tiers_to_json
from gateway.core.price_facts import price_facts
from gateway.core.price_overrides import InvalidOverride
from gateway.core.prices import Price, PriceBook, RateTable
from gateway.core.roles import Principal


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How many rows a sync added, and how many it found stored already."""

    added: int
    unchanged: int


def stored_prices(connection: Connection) -> list[Price]:
    """Every price row."""
    return [_price(row) for row in connection.execute(select(prices).order_by(prices.c.id))]


def all_prices(engine: Engine) -> list[Price]:
    """Every price row, in force or not, by id."""
    with engine.connect() as connection:
        return stored_prices(connection)


def price_book(engine: Engine) -> PriceBook:
    """The price rows as requests look them up."""
    with engine.connect() as connection:
        return PriceBook(stored_prices(connection))


def prices_in_force(engine: Engine, at: datetime) -> list[Price]:
    """For each model the row that prices it at ``at``, by model."""
    with engine.connect() as connection:
        rows = [price for price in stored_prices(connection) if price.valid_from <= at]
    # As PriceBook orders them; the last of a model wins.
    rows.sort(key=lambda price: (price.is_override, price.valid_from, price.id))
    return sorted({price.model: price for price in rows}.values(), key=lambda price: price.model)


def price_by_id(engine: Engine, price_id: int) -> Price | None:
    """One price row, such as the one that a usage record was priced by."""
    with engine.connect() as connection:
        row = connection.execute(select(prices).where(prices.c.id == price_id)).one_or_none()
    return None if row is None else _price(row)


def sync_prices(
    engine: Engine, rows: Iterable[PriceRow], actor: Principal = COMMAND_LINE
) -> SyncReport:
    """Add the rows that differ from what is stored for their model and start.

    A changed row is added beside the old one and wins over it from then on, so records keep
    pointing at what they were charged.
    """
    added = unchanged = 0
    with engine.begin() as connection:
        # Two syncs at once would else both find a row missing and both add it.
        lock_policy(connection)
        stored = {
            (row.model, row.valid_from): row
            for row in connection.execute(
                select(prices).where(prices.c.is_override.is_(False)).order_by(prices.c.id)
            )
        }
        for row in rows:
            values = _values(row)
            known = stored.get((row.model, row.valid_from))
            if known is not None and all(
                getattr(known, name) == values[name]
                for name in ("digest", "names", "context_window", "output_tokens_max")
            ):
                unchanged += 1
                continue
            connection.execute(insert(prices).values(is_override=False, **values))
            added += 1
        if added:
            move_policy_version(connection)
            facts = {"added": added, "unchanged": unchanged}
            audit_log.note(connection, actor, "sync", "prices", "", "", None, facts)
    return SyncReport(added, unchanged)


def override_price(
    engine: Engine,
    model: str,
    tiers: Mapping[str, RateTable],
    *,
    valid_from: datetime,
    context_window: int | None = None,
    output_tokens_max: int | None = None,
    actor: Principal = COMMAND_LINE,
) -> int:
    """``add_override`` in a transaction of its own. Raises InvalidOverride, DirectoryError."""
    row = override_row(model, tiers, valid_from, context_window, output_tokens_max)
    with changing(engine, actor) as change:
        return add_override(change, row)


def override_row(
    model: str,
    tiers: Mapping[str, RateTable],
    valid_from: datetime,
    context_window: int | None = None,
    output_tokens_max: int | None = None,
) -> PriceRow:
    """The deployment's own price for ``model``, as a row to add.

    Raises InvalidOverride for a model name that cannot be stored.
    """
    if not (0 < len(model) <= 128 and model.isprintable()):
        raise InvalidOverride(f"{model!r} is not a model name: use 1 to 128 characters")
    return PriceRow(
        model, (model,), "override", valid_from, tiers, context_window, output_tokens_max
    )


def add_override(change: Change, row: PriceRow) -> int:
    """Add the deployment's own price, which stands above every synced one; returns its id."""
    price_id = change.insert(prices, "the price exists already", is_override=True, **_values(row))
    added = change.connection.execute(select(prices).where(prices.c.id == price_id)).one()
    change.note("create", "price", None, price_facts(_price(added)))
    return price_id


def _values(row: PriceRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "names": json.dumps(list(row.names)),
        "source": row.source,
        "valid_from": row.valid_from,
        "tiers": tiers_to_json(row.tiers),
        "digest": tiers_digest(row.tiers),
        "context_window": row.context_window,
        "output_tokens_max": row.output_tokens_max,
        "created_at": datetime.now(UTC),
    }


def _price(row: Row[Any]) -> Price:
    return Price(
        id=row.id,
        model=row.model,
        names=tuple(json.loads(row.names)),
        source=row.source,
        valid_from=row.valid_from,
        tiers=tiers_from_json(row.tiers),
        context_window=row.context_window,
        output_tokens_max=row.output_tokens_max,
        is_override=row.is_override,
    )
