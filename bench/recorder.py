"""How fast usage events move from Redis to SQL, against inserting the same rows plainly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from sqlalchemy import delete, insert

from bench.pair import reserve_and_settle
from bench.report import BenchFailed, Table, ratio
from bench.stage import REDIS_TIMEOUT_SECONDS, Stores, folder, postgres, stores
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import connect
from gateway.adapters.tables import usage_records
from gateway.core.events import parse_event
from gateway.workers.recorder import Recorder

EVENTS = 10_000
BATCH = 500
"""The default of FAREGATE_RECORDER_BATCH."""


@dataclass(frozen=True)
class _Rates:
    """Rows per second."""

    recorder: float
    plain: float


def measure(scale: float) -> list[Table]:
    """A stream full of events, drained into SQLite and into PostgreSQL."""
    events = max(int(EVENTS * scale), BATCH)
    with folder() as place, stores(place) as used:
        on_sqlite = _rates(used, events)
    with folder() as place, postgres() as url, stores(place, url) as used:
        on_postgres = _rates(used, events)
    rows = [
        (
            name,
            ratio(rates.recorder, rates.plain),
            f"{rates.recorder:.0f}",
            f"{rates.plain:.0f}",
        )
        for name, rates in (("SQLite", on_sqlite), ("PostgreSQL", on_postgres))
    ]
    note = (
        f"{events} events in batches of {BATCH}, every commit synced. The recorder reads and"
        " parses each event, inserts it once, adds it to the sums of its hour and of its three"
        " budgets, acknowledges and trims; the plain insert is of the same rows, already parsed."
    )
    headings = ("database", "recorder, plain insert = 1", "recorder, rows/s", "plain, rows/s")
    return [Table("recorder: usage events into SQL", headings, rows, [note])]


def _rates(used: Stores, count: int) -> _Rates:
    rows = _fill(used, count)
    plain = _plain_seconds(used, rows)
    recorder = _recorder(used)
    started = perf_counter()
    drained = recorder.drain()
    seconds = perf_counter() - started
    if drained != count:
        raise BenchFailed(f"{drained} events were drained of {count}")
    return _Rates(count / seconds, count / plain)


def _recorder(used: Stores) -> Recorder:
    client = connect(used.redis_url, REDIS_TIMEOUT_SECONDS)
    return Recorder(client, used.keys, used.engine, BATCH)


def _fill(used: Stores, count: int) -> list[dict[str, Any]]:
    """Put ``count`` events into the stream: one that the scripts wrote, under many ids."""
    redis: Any = used.budgets.redis
    reserve_and_settle(used.budgets, load_policy(used.engine))
    ((_, event),) = redis.xrange(used.keys.events)
    # Recorded once: on PostgreSQL that makes the month's partition, which the plain insert needs.
    _recorder(used).drain()
    rows = []
    for start in range(0, count, BATCH):
        with redis.pipeline(transaction=False) as pipe:
            for _ in range(min(BATCH, count - start)):
                fields = {**event, b"id": b"frq_" + os.urandom(12).hex().encode()}
                rows.append(parse_event(fields).row)
                pipe.xadd(used.keys.events, fields)
            pipe.execute()
    return rows


def _plain_seconds(used: Stores, rows: Sequence[dict[str, Any]]) -> float:
    started = perf_counter()
    for start in range(0, len(rows), BATCH):
        with used.engine.begin() as connection:
            connection.execute(insert(usage_records), rows[start : start + BATCH])
    seconds = perf_counter() - started
    with used.engine.begin() as connection:
        connection.execute(delete(usage_records))
    return seconds
