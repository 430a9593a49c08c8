"""Watermarks: admission stops before Redis is full, and goes on once there is room again.

Usage events wait in Redis while SQL is away. What is in flight must still be settled then, so new
requests are refused before there is no room for that. A worker looks twice a second and keeps the
verdict, so that no request asks.
"""

from __future__ import annotations

from typing import Any

import gevent
import structlog
from redis.exceptions import RedisError

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.watermarks import Level, Mark

LOOK_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Watermarks:
    """The verdict of one worker."""

    def __init__(self, budgets: RedisBudgets, events_max: int, memory_percent: int) -> None:
        self._budgets = budgets
        self._marks = (
            Mark("usage events wait to be recorded", "FAREGATE_EVENTS_MAX", events_max),
            Mark(
                "percent of Redis' memory are used", "FAREGATE_REDIS_MEMORY_PERCENT", memory_percent
            ),
        )
        self._reached: Level | None = None
        self._keeping_out: set[Mark] = set()
        self.levels = (0, 0)
        """As last seen: events that wait, and the percentage of Redis' memory in use."""

    @property
    def reached(self) -> Level | None:
        """The mark that keeps requests out, if one does."""
        return self._reached

    def watch(self) -> None:
        """Look for ever; run it as a greenlet."""
        while True:
            try:
                self.look()
            except StoreDown as error:
                _log.warning("watermarks.redis_unreachable", reason=str(error))
            gevent.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the levels, and decide. Raises StoreDown."""
        levels = self.levels = (self._budgets.events_waiting(), self._memory_percent())
        before, reached = self._reached, None
        for mark, level in zip(self._marks, levels, strict=True):
            # Each has its own way down: the one that is named is not always the only one.
            if not mark.keeps_out(level, mark in self._keeping_out):
                self._keeping_out.discard(mark)
                continue
            self._keeping_out.add(mark)
            reached = reached or Level(mark, level)
        self._reached = reached
        if (before is None) != (reached is None):
            name = "watermark.reached" if reached else "watermark.left"
            _log.error(name, events=levels[0], memory_percent=levels[1])

    def _memory_percent(self) -> int:
        """How much of its memory Redis uses; 0 where it has no limit."""
        try:
            info: Any = self._budgets.redis.info("memory")
        except RedisError as error:
            raise StoreDown(str(error)) from error
        limit = int(info.get("maxmemory", 0))
        return int(info["used_memory"]) * 100 // limit if limit else 0
