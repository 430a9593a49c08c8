"""Usage records in SQL: inserted once each, summed in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row, Select, func, select, text
from sqlalchemy.dialects import sqlite

from gateway import failpoints
from gateway.adapters.epochs import move_sequence, note_recorded
from gateway.adapters.intents import forget_intents
from gateway.adapters.tables import clients, hourly_usage, teams, usage_records
from gateway.adapters.usage_sums import add_sums
from gateway.core.events import UsageEvent
from gateway.core.reports import UNATTRIBUTED

_ASKED_AT_ONCE = 500


def record(engine: Engine, events: Sequence[UsageEvent]) -> int:
    """Write ``events`` down, each at most once; returns how many were new.

    Sums move only by the rows that were actually inserted, in the same transaction, so any
    event may be offered any number of times. Raises SQLAlchemy's errors; then nothing is
    written.
    """
    if not events:
        return 0
    if engine.dialect.name == "postgresql":
        ensure_partitions(engine, {event.row["held_at"] for event in events})
    with engine.begin() as connection:
        key = usage_records.primary_key.columns
        by_key: dict[tuple[Any, ...], UsageEvent] = {}
        for event in events:
            by_key.setdefault(tuple(event.row[column.name] for column in key), event)
        # In one order everywhere, like the sums: two recorders that were offered the same
        # events wait for each other's rows, and must not do so crosswise.
        ordered = dict(sorted(by_key.items()))
        inserted = _insert_records(connection, [event.row for event in ordered.values()])
        fresh = [event for identity, event in ordered.items() if identity in inserted]
        add_sums(connection, fresh)
        forget_intents(connection, [event.row["request_id"] for event in events])
        move_sequence(connection, max(event.sequence for event in events))
        if fresh:
            note_recorded(connection, min(event.epoch for event in fresh))
        failpoints.hit("recorder.inserted")
    return len(inserted)


def offer_again(engine: Engine, rows: list[dict[str, Any]]) -> set[str]:
    """Requests of ``rows``, which are recorded, that would be recorded a second time.

    There is none as long as the key of the table does its work. All is rolled back, so nothing is
    written. Raises SQLAlchemy's errors.
    """
    if not rows:
        return set()
    with engine.connect() as connection:
        try:
            return {str(key[0]) for key in _insert_records(connection, rows)}
        finally:
            connection.rollback()


def _insert_records(connection: Connection, rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Insert the rows that are not there yet; returns the primary keys of those."""
    key = usage_records.primary_key.columns
    if connection.dialect.name == "sqlite":
        statement = sqlite.insert(usage_records).on_conflict_do_nothing().returning(*key)
        return {tuple(row) for row in connection.execute(statement, rows)}
    # One parameter instead of thousands, which the driver would rewrite one by one: ten times
    # the rows per second (bench/README.md).
    columns = ", ".join(column.name for column in usage_records.columns)
    insertion = text(
        f"INSERT INTO usage_records ({columns}) SELECT {columns}"  # noqa: S608 - our own names
        " FROM json_populate_recordset(NULL::usage_records, CAST(:rows AS json))"
        f" ON CONFLICT DO NOTHING RETURNING {', '.join(column.name for column in key)}"
    )
    return {
        tuple(row) for row in connection.execute(insertion, {"rows": orjson.dumps(rows).decode()})
    }


_partitions_made: dict[str, set[str]] = {}


def ensure_partitions(engine: Engine, moments: Iterable[datetime]) -> None:
    """Create the monthly partitions that rows of ``moments`` belong to."""
    made = _partitions_made.setdefault(str(engine.url), set())
    for moment in moments:
        first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        name = f"usage_records_{first:%Y_%m}"
        if name in made:
            continue
        after = (first + timedelta(days=32)).replace(day=1)
        with engine.begin() as connection:
            # CREATE ... IF NOT EXISTS is not safe against itself; one at a time is.
            connection.execute(text("SELECT pg_advisory_xact_lock(7262837)"))
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF usage_records"
                    f" FOR VALUES FROM ('{first.isoformat()}') TO ('{after.isoformat()}')"
                )
            )
        made.add(name)


@dataclass(frozen=True, slots=True)
class Spending:
    """Sums of usage records."""

    group: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano: int
    not_exact_nano: int
    failures: int


def spending(engine: Engine, since: datetime, until: datetime, by: str = "team") -> list[Spending]:
    """Sums from the hourly rollups, by ``team``, ``client``, ``model``, ``endpoint`` or ``day``.

    Hours count whole, by their start. Days come in order, other groups dearest first.
    """
    h = hourly_usage.c
    groups: dict[str, Any] = {
        # Corrections of the bill may be of a team and client that nobody knows.
        "team": func.coalesce(teams.c.name, UNATTRIBUTED),
        "client": func.coalesce(clients.c.name, UNATTRIBUTED),
        "model": h.model,
        "endpoint": h.endpoint,
        "day": func.date(h.hour),
    }
    group = groups[by]
    estimated = func.sum(h.cost_nano).filter(h.certainty.not_in(("exact", "adjusted")))
    query = (
        select(
            group.label("grouped"),
            func.sum(h.requests).label("requests"),
            func.sum(h.failures).label("failures"),
            func.sum(h.input_tokens).label("input_tokens"),
            func.sum(h.output_tokens).label("output_tokens"),
            func.sum(h.cost_nano).label("cost_nano"),
            func.coalesce(estimated, 0).label("not_exact_nano"),
        )
        .select_from(
            hourly_usage.outerjoin(teams, h.team_id == teams.c.id).outerjoin(
                clients, h.client_id == clients.c.id
            )
        )
        .where(h.hour >= since, h.hour < until)
        .group_by(group)
        .order_by(*([group] if by == "day" else [func.sum(h.cost_nano).desc(), group]))
    )
    with engine.connect() as connection:
        return [
            Spending(
                str(r.grouped),
                int(r.requests),
                int(r.input_tokens),
                int(r.output_tokens),
                int(r.cost_nano),
                int(r.not_exact_nano),
                int(r.failures),
            )
            for r in connection.execute(query)
        ]


def recent(engine: Engine, limit: int, client: str | None = None) -> Sequence[Row[Any]]:
    """The newest usage records with the names of team and client."""
    query = (
        _named_records()
        .order_by(usage_records.c.held_at.desc(), usage_records.c.request_id)
        .limit(limit)
    )
    if client is not None:
        query = query.where(clients.c.name == client)
    with engine.connect() as connection:
        return connection.execute(query).all()


def records_of(engine: Engine, request_id: str) -> Sequence[Row[Any]]:
    """The record of one request and its corrections, in the order they were made."""
    query = (
        _named_records()
        .where(usage_records.c.request_id == request_id)
        # "request" before "correction" where both were made in one millisecond.
        .order_by(usage_records.c.recorded_at, usage_records.c.kind.desc())
    )
    with engine.connect() as connection:
        return connection.execute(query).all()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request has ended, by its records."""

    charged_nano: int | None
    """What its hold was charged when it expired, which a correction may follow; None where it
    was settled, released or corrected, and nothing may follow."""


def ended(engine: Engine, request_ids: Sequence[str]) -> dict[str, Ended]:
    """Those of ``request_ids`` that have a record, and how they ended."""
    c = usage_records.c
    found: dict[str, Ended] = {}
    with engine.connect() as connection:
        for start in range(0, len(request_ids), _ASKED_AT_ONCE):
            batch = request_ids[start : start + _ASKED_AT_ONCE]
            query = select(c.request_id, c.kind, c.outcome, c.cost_nano)
            rows = connection.execute(query.where(c.request_id.in_(batch))).all()
            for row in rows:
                if row.kind == "request":
                    charged = int(row.cost_nano) if row.outcome == "expired" else None
                    found[row.request_id] = Ended(charged)
            for row in rows:
                if row.kind == "correction":
                    found[row.request_id] = Ended(None)
    return found


def has_records(engine: Engine) -> bool:
    """Whether anything was ever recorded."""
    with engine.connect() as connection:
        return connection.execute(select(usage_records.c.request_id).limit(1)).first() is not None


def _named_records() -> Select[Any]:
    return (
        select(
            usage_records,
            teams.c.name.label("team_name"),
            clients.c.name.label("client_name"),
        )
        .join(teams, usage_records.c.team_id == teams.c.id)
        .join(clients, usage_records.c.client_id == clients.c.id)
    )
