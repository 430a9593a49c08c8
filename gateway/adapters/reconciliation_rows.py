"""Reconciliations in SQL: what a comparison found, and what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from gateway.adapters.adjustments import Source, lock, post
from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import reconciliation_lines, reconciliations
from gateway.adapters.price_rows import stored_prices
from gateway.adapters.reconciliation_shares import ANY_MODEL, attributed, compared_model
from gateway.adapters.recorded_costs import recorded_costs
from gateway.core.bill_lines import BillNames
from gateway.core.money import usd_from_nano
from gateway.core.prices import PriceBook
from gateway.core.reconciling import Difference
from gateway.core.roles import Principal


class State(StrEnum):
    """What has become of a reconciliation."""

    OPEN = "open"
    """There are differences, and nobody has decided about them."""
    AGREED = "agreed"
    """There was no difference."""
    APPROVED = "approved"
    """Its differences are posted as adjustments."""
    DISMISSED = "dismissed"
    """Somebody decided against it, or a later one took its place."""


class ReconciliationError(Exception):
    """A reconciliation cannot be decided as asked; the message says why."""


def store(
    engine: Engine,
    since: datetime,
    until: datetime,
    provider: str,
    totals: tuple[int, int],
    differences: Sequence[Difference],
    principal: Principal,
) -> int:
    """Keep a comparison; ``totals`` are ours and theirs in nano-dollars. Returns its id.

    Where the same differences of the same days wait for a decision already, that is the one.
    Others that are open and of any of these days are dismissed: this one takes their place.
    """
    values = [row for difference in differences for row in _values(difference)]
    with engine.begin() as connection:
        lock(connection)
        r = reconciliations.c
        overlapping = connection.execute(
            select(reconciliations)
            .where(r.state == State.OPEN.value, r.provider == provider)
            .where(r.since < until, r.until > since)
            .order_by(r.id)
        ).all()
        for row in overlapping:
            same = (row.since, row.until, row.ours_nano, row.theirs_nano) == (
                since,
                until,
                *totals,
            )
            if same and _stored(connection, row.id) == values:
                return int(row.id)
        new = _insert(connection, since, until, provider, totals, values, principal)
        for row in overlapping:
            _end(connection, row.id, State.DISMISSED, f"reconciliation {new}")
    return new


def _insert(
    connection: Connection,
    since: datetime,
    until: datetime,
    provider: str,
    totals: tuple[int, int],
    values: list[dict[str, Any]],
    principal: Principal,
) -> int:
    ours_nano, theirs_nano = totals
    done = connection.execute(
        insert(reconciliations).values(
            since=since,
            until=until,
            provider=provider,
            state=(State.OPEN if values else State.AGREED).value,
            ours_nano=ours_nano,
            theirs_nano=theirs_nano,
            created_at=datetime.now(UTC),
            created_by=principal.actor,
        )
    )
    found = done.inserted_primary_key
    assert found is not None
    if values:
        connection.execute(
            insert(reconciliation_lines),
            [{"reconciliation_id": found[0], **row} for row in values],
        )
    return int(found[0])


_LINE = (
    "day",
    "model",
    "line_item",
    "ours_nano",
    "theirs_nano",
    "ours_quantity",
    "theirs_quantity",
)


def _values(difference: Difference) -> list[dict[str, Any]]:
    line = {name: getattr(difference, name) for name in _LINE}
    return [
        {
            **line,
            "cause": part.cause.value,
            "cause_nano": part.nano,
            "explanation": part.explanation,
        }
        for part in difference.parts
    ]


def _stored(connection: Connection, reconciliation_id: int) -> list[dict[str, Any]]:
    rows = lines_of(connection, reconciliation_id)
    names = (*_LINE, "cause", "cause_nano", "explanation")
    return [{name: row._mapping[name] for name in names} for row in rows]


def lines_of(connection: Connection, reconciliation_id: int) -> Sequence[Row[Any]]:
    """One row for each day, model, line item and cause, in the order they were found."""
    c = reconciliation_lines.c
    query = select(reconciliation_lines).where(c.reconciliation_id == reconciliation_id)
    return connection.execute(query.order_by(c.id)).all()


def find(connection: Connection, reconciliation_id: int) -> Row[Any]:
    """One reconciliation. Raises ReconciliationError where there is none."""
    query = select(reconciliations).where(reconciliations.c.id == reconciliation_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ReconciliationError(f"there is no reconciliation {reconciliation_id}")
    return row


def listed(engine: Engine, limit: int = 50, state: State | None = None) -> Sequence[Row[Any]]:
    """The newest reconciliations."""
    query = select(reconciliations).order_by(reconciliations.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(reconciliations.c.state == state.value)
    with engine.connect() as connection:
        return connection.execute(query).all()


def last_until(engine: Engine, provider: str) -> datetime | None:
    """The end of the latest days that were compared, if any were."""
    r = reconciliations.c
    with engine.connect() as connection:
        query = select(r.until).where(r.provider == provider).order_by(r.until.desc()).limit(1)
        return connection.execute(query).scalar_one_or_none()


def dismiss(engine: Engine, reconciliation_id: int, principal: Principal) -> None:
    """Decide against posting. Raises ReconciliationError where that cannot be."""
    with engine.begin() as connection:
        lock(connection)
        _decide(connection, reconciliation_id, State.DISMISSED, principal)


def bill_names(engine: Engine) -> BillNames:
    """The names that models are compared under, by the price list."""
    with engine.connect() as connection:
        listed = [price for price in stored_prices(connection) if not price.is_override]
    return BillNames(PriceBook(listed), datetime.now(UTC))


def approve_reconciliation(engine: Engine, reconciliation_id: int, principal: Principal) -> int:
    """Post the differences of an open reconciliation; returns how many adjustments those were.

    Raises ReconciliationError where it cannot be.
    """
    return approve(engine, reconciliation_id, bill_names(engine), principal)


def approve(engine: Engine, reconciliation_id: int, names: BillNames, principal: Principal) -> int:
    """Post the differences as adjustments, so that what is recorded equals the bill.

    Returns how many were posted. Raises ReconciliationError where ``principal`` may not, where
    it has been decided already, and where what is recorded has changed since the comparison.
    """
    with engine.begin() as connection:
        lock(connection)
        row = _decide(connection, reconciliation_id, State.APPROVED, principal)
        lines = lines_of(connection, reconciliation_id)
        _check_unchanged(connection, row, lines, names)
        items = attributed(connection, lines, names)
        return post(connection, Source.RECONCILIATION, reconciliation_id, items, principal.actor)


def _decide(
    connection: Connection, reconciliation_id: int, state: State, principal: Principal
) -> Row[Any]:
    """End an open reconciliation, and note who did."""
    if not principal.may_decide:
        raise ReconciliationError("only administrators and finance decide about reconciliations")
    row = find(connection, reconciliation_id)
    if row.state != State.OPEN.value:
        raise ReconciliationError(f"reconciliation {reconciliation_id} is {row.state}, not open")
    _end(connection, reconciliation_id, state, principal.actor)
    name = f"{row.since:%Y-%m-%d} to {row.until:%Y-%m-%d}"
    amounts = {
        "ours_usd": usd_from_nano(row.ours_nano),
        "theirs_usd": usd_from_nano(row.theirs_nano),
    }
    verb = "approve" if state is State.APPROVED else "dismiss"
    note(
        connection,
        principal,
        verb,
        "reconciliation",
        reconciliation_id,
        name,
        {"state": row.state, **amounts},
        {"state": state.value, **amounts},
    )
    return row


def _end(connection: Connection, reconciliation_id: int, state: State, by: str) -> None:
    connection.execute(
        update(reconciliations)
        .where(reconciliations.c.id == reconciliation_id)
        .values(state=state.value, decided_at=datetime.now(UTC), decided_by=by[:160])
    )


def _check_unchanged(
    connection: Connection, row: Row[Any], lines: Sequence[Row[Any]], names: BillNames
) -> None:
    """Two approvals of one difference must not post it twice, nor one of what is no longer so."""
    total = 0
    now: dict[tuple[Any, ...], int] = {}
    for recorded in recorded_costs(connection, row.since, row.until, names):
        nano = recorded.total_nano
        total += nano
        for key in (
            (recorded.day, recorded.model, recorded.line_item),
            (recorded.day, ANY_MODEL, recorded.line_item),
        ):
            now[key] = now.get(key, 0) + nano
    changed = total != row.ours_nano or any(
        now.get((line.day, compared_model(line), line.line_item), 0) != line.ours_nano
        for line in lines
    )
    if changed:
        raise ReconciliationError(
            f"what is recorded has changed since reconciliation {row.id}: run `faregate reconcile`"
            " again, and decide about the new one"
        )
