"""What the audit reads from Redis: counters, open holds and waiting events of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select

from gateway.adapters import redis_budgets
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.tables import budgets as budgets_table
from gateway.core.budgets import WindowKind, window_at
from gateway.core.events import InvalidEvent, parse_event
from gateway.workers.audit_waiting import Waiting

_PAGE = 500
_SET_ASIDE_MAX = 1000
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
    """One moment of Redis, at ``now_ms`` by its own clock. What waited then is in ``Waiting``."""

    now_ms: int = 0
    newest_event: str = ""
    """The last event that waited; empty where none did."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Events that wait and cannot be recorded: the request as far as it can be told, and why."""
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    """The same, of events that the recorder has set aside; at most a thousand."""
    spent: dict[Window, int] = field(default_factory=dict)
    held: dict[Window, int] = field(default_factory=dict)
    open_holds: dict[str, str] = field(default_factory=dict)
    """Budget windows, as a hold lists them, by request id."""
    strays: dict[str, str] = field(default_factory=dict)
    """What is listed as an open hold and is none: its state, ``gone`` where it has none."""
    owners: dict[str, int] = field(default_factory=dict)
    """Client of each open hold that is a request in flight, by request id."""
    in_flight: dict[int, int] = field(default_factory=dict)
    """Requests in flight by client."""
    epoch: int = 0
    sequence: int = 0
    frozen: bool = False
    """Whether a rebuild is at work, and the counters are of no moment."""
    suspended: str = ""
    """Why admission is suspended; empty where it is not."""


def read_redis(budgets: RedisBudgets, waiting: Waiting) -> RedisState:
    """Counters and open holds as of one moment; ``waiting`` takes the events that waited then.

    Raises Redis's errors. Events that are recorded while they are read are in SQL afterwards.
    """
    client, keys = budgets.redis, budgets.keys
    names = sorted(client.scan_iter(match=keys.budget_pattern(), count=1000))
    clients = sorted(client.scan_iter(match=keys.client_pattern(), count=1000))
    everything = [keys.state, keys.holds, keys.events, *names, *clients]
    args = [keys.hold(""), keys.budget_pattern().removesuffix("*"), len(names)]
    found = client.eval(_SNAPSHOT, len(everything), *everything, *args)
    now_ms, newest, holds, windows, in_flight, epoch, sequence, frozen, why, strays = found
    state = RedisState(
        now_ms=int(now_ms),
        newest_event=newest.decode(),
        strays={name.decode(): said.decode() for name, said in _pairs(strays)},
        in_flight={
            int(name.decode().rsplit(":", 1)[1]): int(number) for name, number in _pairs(in_flight)
        },
        epoch=int(epoch),
        sequence=int(sequence),
        frozen=bool(frozen),
        suspended=why.decode("utf-8", "replace"),
    )
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
    _read_events(budgets, state, waiting)
    for _, fields in client.xrange(keys.rejected_events, count=_SET_ASIDE_MAX):
        state.set_aside.append(
            (_named(fields), fields.get(b"reason", b"").decode("utf-8", "replace"))
        )
    return state


def _read_events(budgets: RedisBudgets, state: RedisState, waiting: Waiting) -> None:
    after = "-"
    while state.newest_event:
        page = budgets.redis.xrange(
            budgets.keys.events, min=after, max=state.newest_event, count=_PAGE
        )
        events = []
        for entry_id, fields in page:
            try:
                events.append(parse_event(fields))
            except InvalidEvent as error:
                state.unreadable.append((_named(fields), f"event {entry_id.decode()}: {error}"))
        waiting.add(events)
        if len(page) < _PAGE:
            return
        after = f"({page[-1][0].decode()}"


def newer_events(budgets: RedisBudgets, state: RedisState) -> Iterator[str]:
    """Requests of the events that came after the look. Raises Redis's errors."""
    after = f"({state.newest_event}" if state.newest_event else "-"
    while True:
        page = budgets.redis.xrange(budgets.keys.events, min=after, count=_PAGE)
        for _, fields in page:
            yield _named(fields)
        if len(page) < _PAGE:
            return
        after = f"({page[-1][0].decode()}"


def _named(fields: dict[bytes, bytes]) -> str:
    """The request of an event that may be none of ours."""
    return fields.get(b"id", b"?").decode("utf-8", "replace")[:64]


def parts_of(listed: str) -> Iterator[Part]:
    """The parts of ``id:start:held:limit:enforcement,...``, as holds and records list them."""
    for part in listed.split(","):
        if part:
            budget_id, start, held, limit, enforcement = part.split(":")
            yield Part((int(budget_id), int(start)), int(held), int(limit), enforcement)


def windows_of(listed: str) -> Iterator[Window]:
    """The budget windows alone."""
    return (part.window for part in parts_of(listed))


class Defined:
    """The budgets as they are defined, removed ones too, by id."""

    def __init__(self, connection: Connection) -> None:
        self.rows: dict[int, Any] = {
            row.id: row for row in connection.execute(select(budgets_table))
        }

    def about(self, window: Window) -> str:
        """A budget window in words."""
        row = self.rows.get(window[0])
        named = f"budget {row.name!r}" if row is not None else f"budget {window[0]}"
        if not window[1]:
            return f"{named}, in all"
        start = datetime.fromtimestamp(window[1] / 1000, tz=UTC)
        return f"{named}, window from {start:%Y-%m-%d %H:%M} UTC"

    def still_open(self, windows: Iterable[Window], now_ms: int) -> list[Window]:
        """Those of ``windows`` that have not ended: Redis forgets the others in time."""
        return [
            window
            for window in sorted(windows)
            if (row := self.rows.get(window[0])) is not None
            and window_at(WindowKind(row.window), row.time_zone, window[1]).end_ms > now_ms
        ]


def name_of(window: Window) -> str:
    """A budget window as scripts name it."""
    return f"{window[0]}:{window[1]}"


def milliseconds(moment: datetime) -> int:
    """``moment`` as Redis counts it."""
    return round(moment.timestamp() * 1000)


def _pairs(flat: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
