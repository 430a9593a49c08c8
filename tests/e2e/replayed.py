"""Real traffic put on a calendar: what the gateway recorded and what the provider charged, moved to
the same moments of days in the past, any number of times.

A gateway and a provider keep the time themselves, so that no test can send a request last week.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine

from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.simulator.truth import Charge
from tests.e2e.rig import Rig

FIRST = datetime(2026, 5, 1, tzinfo=UTC)


def hour(day: int, number: int) -> datetime:
    """An hour of the ``day``-th day, from 1."""
    return FIRST + timedelta(days=day - 1, hours=number)


@dataclass(frozen=True)
class Traffic:
    """Requests that were sent through a real gateway, with their charges."""

    rows: tuple[dict[str, Any], ...]
    charges: Mapping[str, tuple[Charge, ...]]

    def events(self, hours: Iterable[datetime]) -> Iterator[UsageEvent]:
        """The usage events of the same requests in each of ``hours``."""
        for start in hours:
            for place, row in enumerate(self.rows):
                at = start + timedelta(seconds=60 * place + 5)
                moved = {
                    **row,
                    "request_id": _named(row["request_id"], start),
                    "held_at": at,
                    "recorded_at": at,
                    "budget_windows": "",
                }
                yield UsageEvent(moved, ())

    def charged(self, hours: Iterable[datetime]) -> Iterator[Charge]:
        """The charges of the same requests in each of ``hours``."""
        for start in hours:
            for place, row in enumerate(self.rows):
                at = start + timedelta(seconds=60 * place + 5)
                for charge in self.charges[row["request_id"]]:
                    yield replace(
                        charge,
                        time=at.timestamp(),
                        client_request_id=_named(row["request_id"], start),
                    )


def _named(request_id: str, start: datetime) -> str:
    return f"{request_id[:48]}-{start:%m%d%H}"


def traffic_of(rig: Rig, request_ids: Collection[str]) -> Traffic:
    """What became of requests of ``rig``."""
    rig.drain()
    rig.provider.quiet()
    records, charges = rig.records(), rig.provider.charges()
    rows = [
        # The names are of a type of the database library's own.
        {str(column): value for column, value in row._mapping.items()}
        for name in request_ids
        for row in records[name].rows
    ]
    return Traffic(tuple(rows), {name: tuple(charges.get(name, ())) for name in request_ids})


def record_all(engine: Engine, events: Iterable[UsageEvent]) -> None:
    """Record events as the recorder does."""
    listed = list(events)
    assert record(engine, listed) == len(listed)


def write_truth(path: Path, charges: Iterable[Charge]) -> list[Charge]:
    """Write the provider's log."""
    listed = list(charges)
    path.write_bytes(b"".join(orjson.dumps(charge) + b"\n" for charge in listed))
    return listed
