"""Drains usage events from Redis to SQL, exactly once.

Read a batch, insert it with its sums in one transaction, acknowledge, trim. Whatever fails or
dies in between, the events are still in the stream and are offered again; SQL takes each
once. While SQL is away the stream waits and nothing is dropped.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_script import Script
from gateway.adapters.usage_rows import record
from gateway.core.events import InvalidEvent, UsageEvent, parse_event

GROUP = "recorder"
BLOCK_MS = 500
CLAIM_IDLE_MS = 15_000
"""Events that another recorder took and did not finish for this long are taken over. Should it
be alive after all, SQL takes each event once."""

FORGET_IDLE_MS = 3_600_000

RETRY_SECONDS_MAX = 5.0

_MAKE_GROUP = Script("make_group")

_log = structlog.get_logger(__name__)

Entry = tuple[bytes, dict[bytes, bytes]]
Parsed = tuple[UsageEvent, dict[bytes, bytes]]
Rejected = tuple[dict[bytes, bytes], str]
"""The fields of an event that cannot be recorded, and why."""


class Recorder:
    """One recorder. Several may run: each event goes to one of them, and SQL takes it once."""

    def __init__(self, client: redis.Redis, keys: RedisKeys, engine: Engine, batch: int) -> None:
        # redis-py types its answers for its sync and async clients at once.
        self._redis: Any = client
        self._keys = keys
        self._engine = engine
        self._batch = batch
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._group_made = False

    def run(self, stop: threading.Event) -> None:
        """Record until ``stop`` is set, through failures of either store."""
        pause = 0.1
        while not stop.is_set():
            try:
                self.step(block_ms=BLOCK_MS)
                pause = 0.1
            except RedisError as error:
                self._group_made = False
                _log.warning("recorder.redis_unreachable", reason=first_line(error))
            except SQLAlchemyError as error:
                _log.warning("recorder.database_refuses", reason=first_line(error))
            else:
                continue
            stop.wait(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    def step(self, block_ms: int | None = None) -> int:
        """Record one batch; returns how many events it had. Raises the stores' errors."""
        self._make_group()
        entries = self._unfinished() or self._new(block_ms)
        if not entries:
            return 0
        failpoints.hit("recorder.read")
        events, rejected = _parsed(entries)
        written = self._record(events, rejected)
        failpoints.hit("recorder.committed")
        ids = [entry_id for entry_id, _ in entries]
        with self._redis.pipeline(transaction=True) as pipe:
            for fields, reason in rejected:
                # Set aside, never dropped: it is money, even if it cannot be recorded.
                pipe.xadd(self._keys.rejected_events, {**fields, b"reason": reason.encode()})
            pipe.xack(self._keys.events, GROUP, *ids)
            pipe.xdel(self._keys.events, *ids)
            pipe.execute()
        failpoints.hit("recorder.acknowledged")
        known = len(entries) - len(rejected) - written
        if known:
            _log.info("recorder.known_already", events=known)
        return len(entries)

    def _record(self, events: list[Parsed], rejected: list[Rejected]) -> int:
        """Write a batch; where SQL refuses its values, one by one, setting aside the refused."""
        try:
            return record(self._engine, [event for event, _ in events])
        except DataError as error:
            if len(events) > 1:
                return sum(self._record([event], rejected) for event in events)
            event, fields = events[0]
            reason = first_line(error)
            _log.error("recorder.refused_event", request_id=event.identity[0], reason=reason)
            rejected.append((fields, reason))
            return 0

    def drain(self) -> int:
        """Record everything that waits; returns how many events there were."""
        total = 0
        while count := self.step():
            total += count
        return total

    def _make_group(self) -> None:
        if self._group_made:
            return
        _MAKE_GROUP(self._redis, [self._keys.events], [GROUP])
        # Every start is a consumer of its own; those that left nothing undone are forgotten.
        for consumer in self._redis.xinfo_consumers(self._keys.events, GROUP):
            if not consumer["pending"] and consumer["idle"] > FORGET_IDLE_MS:
                self._redis.xgroup_delconsumer(self._keys.events, GROUP, consumer["name"])
        self._group_made = True

    def _unfinished(self) -> list[Entry]:
        """Events this recorder, or one that died, read before and did not finish."""
        own = self._redis.xreadgroup(GROUP, self._name, {self._keys.events: "0"}, count=self._batch)
        entries = _entries(own)
        if entries:
            return entries
        claimed: Any = self._redis.xautoclaim(
            self._keys.events, GROUP, self._name, CLAIM_IDLE_MS, "0-0", count=self._batch
        )
        return [(entry_id, fields) for entry_id, fields in claimed[1] if fields]

    def _new(self, block_ms: int | None) -> list[Entry]:
        read = self._redis.xreadgroup(
            GROUP, self._name, {self._keys.events: ">"}, count=self._batch, block=block_ms
        )
        return _entries(read)


def _parsed(entries: Iterable[Entry]) -> tuple[list[Parsed], list[Rejected]]:
    events: list[Parsed] = []
    rejected: list[Rejected] = []
    for entry_id, fields in entries:
        try:
            events.append((parse_event(fields), fields))
        except InvalidEvent as error:
            _log.error("recorder.invalid_event", entry=entry_id.decode(), reason=str(error))
            rejected.append((fields, str(error)))
    return events, rejected


def _entries(read: Any) -> list[Entry]:
    return [(entry_id, fields) for _, found in read or [] for entry_id, fields in found if fields]
