"""What the audit finds by trying: whether what is said twice counts once (I7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from gateway.adapters.database import first_line
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import usage_records
from gateway.adapters.usage_rows import offer_again
from gateway.workers.audit_report import Check, Found, check
from gateway.workers.audit_state import RedisState, milliseconds

SAMPLE = 500
"""Newest requests whose ends are looked up in Redis."""

OFFERED = 200
"""Newest records that are offered again. They lock a SQLite database for a few milliseconds."""

REMEMBERED = timedelta(hours=25)
"""An hour less than Redis remembers an end for (``lua/_hold.lua``)."""


def calls(budgets: RedisBudgets, connection: Connection, state: RedisState) -> Check:
    """The ends of the newest requests are remembered, so a repeated call changes nothing.

    Raises StoreDown.
    """
    c = usage_records.c
    newest = (
        select(c.request_id, c.held_at)
        .where(c.kind == "request")
        .order_by(c.held_at.desc())
        .limit(SAMPLE)
    )
    rows = [
        row
        for row in connection.execute(newest)
        if milliseconds(row.held_at) >= state.epoch
        and state.now_ms - milliseconds(row.held_at) < REMEMBERED.total_seconds() * 1000
    ]
    try:
        with budgets.redis.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.hget(budgets.keys.hold(row.request_id), "state")
            states = pipe.execute() if rows else []
    except RedisError as error:
        raise StoreDown(str(error)) from error
    found = Found()
    for row, known in zip(rows, states, strict=True):
        if known not in (b"closed", b"expired"):
            found.request(
                row.request_id,
                "closed or expired",
                "open" if known else None,
                "The record is right, and Redis does not know of this end: a settle that comes late"
                " would be charged a second time. `faregate rebuild` begins an epoch in which ends"
                " of this one are looked up in the records.",
            )
    says = "the ends of the newest requests are remembered by Redis"
    return check("I7", "repeated calls change nothing", says, len(rows), found)


def events(engine: Engine, connection: Connection) -> Check:
    """The newest records are offered to SQL again, and it takes none: all is rolled back.

    Where the database lets this user only read, nothing is offered, and a note says so.
    """
    newest = select(usage_records).order_by(usage_records.c.held_at.desc()).limit(OFFERED)
    rows: list[dict[str, Any]] = [
        {str(name): value for name, value in row._mapping.items()}
        for row in connection.execute(newest)
    ]
    found = Found()
    says = "the newest records, offered once more and rolled back, are not taken again"
    try:
        twice = offer_again(engine, rows)
    except DBAPIError as error:
        note = f"nothing was offered again: {first_line(error)}"
        return Check("I7", "repeated events change nothing", says, 0, notes=(note,))
    for request_id in sorted(twice):
        found.request(
            request_id,
            "refused as known",
            "taken once more",
            "The primary key of usage_records does not do its work, so an event that comes twice"
            " is charged twice. Stop the recorder, and restore the key that the migrations make.",
        )
    return check("I7", "repeated events change nothing", says, len(rows), found)
