"""What the audit reads from Redis: counters, open holds and waiting events of one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select

from gateway.adapters import redis_budgets
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.tables import budgets as budgets_table
from gateway.core.budgets import WindowKind, window_at
from gateway.core.events import InvalidEvent, UsageEvent, parse_event

_SNAPSHOT = (Path(redis_budgets.__file__).parent / "lua" / "snapshot.lua").read_text()

Window = tuple[int, int]
"""Budget id and window start in milliseconds."""


class Part(NamedTuple):
    """What a hold was placed on in one budget window. Amounts in nano-dollars."""

    window: Window
    held_nano: int
    limit_nano: int
    enforcement: str


@dataclass
class RedisState:
    """One moment of Redis, at ``now_ms`` by its own clock."""

    now_ms: int = 0
    waiting: list[UsageEvent] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Why events that wait cannot be recorded."""
    set_aside: int = 0
    """Events that the recorder could not record."""
    spent: dict[Window, int] = field(default_factory=dict)
    held: dict[Window, int] = field(default_factory=dict)
    open_holds: dict[str, str] = field(default_factory=dict)
    """Budget windows, as a hold lists them, by request id."""
    owners: dict[str, int] = field(default_factory=dict)
    """Client of each open hold that is a request in flight, by request id."""
    in_flight: dict[int, int] = field(default_factory=dict)
    """Requests in flight by client."""
    epoch: int = 0
    sequence: int = 0


def read_redis(budgets: RedisBudgets) -> RedisState:
    """Counters, open holds and waiting events as of one moment. Raises Redis's errors."""
    client, keys = budgets.redis, budgets.keys
    names = sorted(client.scan_iter(match=keys.budget_pattern(), count=1000))
    clients = sorted(client.scan_iter(match=keys.client_pattern(), count=1000))
    everything = [keys.state, keys.holds, keys.events, *names, *clients]
    args = [keys.hold(""), keys.budget_pattern().removesuffix("*"), len(names)]
    found = client.eval(_SNAPSHOT, len(everything), *everything, *args)
    now_ms, entries, holds, windows, in_flight, epoch, sequence = found
    state = RedisState(
        now_ms=int(now_ms),
        set_aside=int(client.xlen(keys.rejected_events)),
        in_flight={
            int(name.decode().rsplit(":", 1)[1]): int(number) for name, number in _pairs(in_flight)
        },
        epoch=int(epoch),
        sequence=int(sequence),
    )
    for entry_id, fields in entries:
        try:
            state.waiting.append(parse_event(dict(_pairs(fields))))
        except InvalidEvent as error:
            state.unreadable.append(f"event {entry_id.decode()}: {error}")
    for position in range(0, len(holds), 4):
        request_id, listed, context, handed = holds[position : position + 4]
        state.open_holds[request_id.decode()] = listed.decode()
        if not handed:
            state.owners[request_id.decode()] = int(orjson.loads(context)["client_id"])
    for position in range(0, len(windows), 3):
        name, spent, held = windows[position : position + 3]
        _, budget_id, start = name.decode().rsplit(":", 2)
        state.spent[(int(budget_id), int(start))] = int(spent)
        state.held[(int(budget_id), int(start))] = int(held)
    return state


def parts_of(listed: str) -> Iterator[Part]:
    """The parts of ``id:start:held:limit:enforcement,...``, as holds and records list them."""
    for part in listed.split(","):
        if part:
            budget_id, start, held, limit, enforcement = part.split(":")
            yield Part((int(budget_id), int(start)), int(held), int(limit), enforcement)


def windows_of(listed: str) -> Iterator[Window]:
    """The budget windows alone."""
    return (part.window for part in parts_of(listed))


def still_open(connection: Connection, windows: set[Window], now_ms: int) -> list[Window]:
    """Those of ``windows`` that have not ended: Redis forgets the others in time."""
    b = budgets_table.c
    kinds = {row.id: row for row in connection.execute(select(b.id, b.window, b.time_zone))}
    return [
        window
        for window in sorted(windows)
        if (row := kinds.get(window[0])) is not None
        and window_at(WindowKind(row.window), row.time_zone, window[1]).end_ms > now_ms
    ]


def _pairs(flat: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
