"""Recorded requests in the order they were held, a page in memory at a time."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Engine, select

from gateway.adapters.tables import usage_records
from gateway.core.what_if import Use

PAGE_RECORDS = 2000


def recorded_uses(
    engine: Engine,
    since: datetime,
    until: datetime,
    *,
    team_id: int | None = None,
    client_id: int | None = None,
    pattern: str | None = None,
) -> Iterator[Use]:
    """What was held from ``since`` to before ``until``, of one team or client where one is given,
    and of the models that ``pattern`` matches (shell-style)."""
    c = usage_records.c
    query = (
        select(
            c.request_id,
            c.kind,
            c.held_at,
            c.recorded_at,
            c.hold_nano,
            c.cost_nano,
            c.outcome,
            c.model,
        )
        .where(c.held_at >= since, c.held_at < until)
        # A correction comes after its request, which has the same moment.
        .order_by(c.held_at, c.request_id, c.kind.desc())
    )
    if team_id is not None:
        query = query.where(c.team_id == team_id)
    if client_id is not None:
        query = query.where(c.client_id == client_id)
    with engine.connect() as connection:
        for row in connection.execute(query.execution_options(yield_per=PAGE_RECORDS)):
            if pattern is None or fnmatch.fnmatchcase(row.model, pattern):
                yield Use(
                    row.request_id,
                    _milliseconds(row.held_at),
                    _milliseconds(row.recorded_at),
                    int(row.hold_nano),
                    int(row.cost_nano),
                    corrects=row.kind == "correction",
                    may_be_corrected=row.outcome == "expired",
                )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
