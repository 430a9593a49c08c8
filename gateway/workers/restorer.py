"""Restores the counters of a Redis that came up empty, before anything is admitted.

A Redis without a policy version admits nothing: every reserve answers "stale". The restorer
sets what each budget window has spent, from SQL, and the policy, in one transaction.
"""

from __future__ import annotations

import threading

import structlog
from redis.exceptions import RedisError, WatchError
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import first_line
from gateway.adapters.directory import Directory
from gateway.adapters.object_rows import open_work
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.tables import budget_windows, budgets
from gateway.adapters.usage_rows import records_of
from gateway.core.budgets import FOREVER_MS, Window, WindowKind, window_at
from gateway.core.long_work import LEASE_SECONDS, work_from

PAUSE_SECONDS = 1.0
KEPT_MS = 3_456_000_000
"""How long counters outlive their window: 40 days, as in ``reserve.lua``."""

_log = structlog.get_logger(__name__)


class Restorer:
    """Any number may run; one at a time restores."""

    def __init__(self, budgets: RedisBudgets, engine: Engine) -> None:
        self._budgets = budgets
        self._engine = engine

    def run(self, stop: threading.Event) -> None:
        """Watch for an empty Redis until ``stop`` is set."""
        while True:
            try:
                self.step()
            except (StoreDown, RedisError) as error:
                _log.warning("restorer.redis_unreachable", reason=first_line(error))
            except SQLAlchemyError as error:
                _log.warning("restorer.database_refuses", reason=first_line(error))
            if stop.wait(PAUSE_SECONDS):
                return

    def step(self) -> bool:
        """Restore if there is need; True where it was done here. Raises the stores' errors."""
        if self._budgets.policy_version() is not None:
            return False
        version = Directory(self._engine).version()
        if version == 0:
            return False
        client, keys = self._budgets.redis, self._budgets.keys
        with client.pipeline(transaction=True) as pipe:
            # All at once or not at all, and not over the counters of a Redis that another
            # restorer has opened, or that was charged, since they were read.
            pipe.watch(keys.policy_version, keys.events)
            if pipe.exists(keys.policy_version) or pipe.xlen(keys.events):
                # Events that survived are recorded first: then SQL knows all that was spent.
                return False
            seconds, micros = pipe.time()
            windows = self._live_windows(seconds * 1000 + micros // 1000)
            # Before anything is admitted, what long-lived work may still cost is held again.
            held = self._place_holds()
            pipe.multi()
            for budget_id, window, spent_nano in windows:
                name = keys.budget(budget_id, window.start_ms)
                # Set, never added: doing it twice must not count twice.
                pipe.hset(name, "spent", spent_nano)
                if window.end_ms < FOREVER_MS:
                    pipe.pexpireat(name, window.end_ms + KEPT_MS)
            pipe.set(keys.policy_version, version)
            try:
                pipe.execute()
            except WatchError:
                return False
        if windows or held:
            _log.warning(
                "redis.counters_restored",
                windows=len(windows),
                holds=held,
                policy_version=version,
            )
        return True

    def _place_holds(self) -> int:
        """Place the holds of open long-lived work again; returns how many were missing.

        Not of work that has a record: it was charged, and only not yet written down as settled.
        """
        opened = [work_from(one.work) for one in open_work(self._engine) if one.work is not None]
        works = [work for work in opened if not records_of(self._engine, work.hold.request_id)]
        if not works:
            return 0
        with self._engine.connect() as connection:
            kinds = {row.id: row for row in connection.execute(select(budgets))}
        placed = 0
        for work in works:
            forget_ms = []
            for budget_id, start_ms in work.hold.budget_windows:
                row = kinds[budget_id]
                end_ms = window_at(WindowKind(row.window), row.time_zone, start_ms).end_ms
                forget_ms.append(end_ms + KEPT_MS if end_ms < FOREVER_MS else 0)
            placed += self._budgets.place_again(work.hold, forget_ms, LEASE_SECONDS)
        return placed

    def _live_windows(self, now_ms: int) -> list[tuple[int, Window, int]]:
        """Budget id, window and nano-dollars spent, of each window that Redis still keeps."""
        query = select(budget_windows, budgets.c.window.label("kind"), budgets.c.time_zone).join(
            budgets, budgets.c.id == budget_windows.c.budget_id
        )
        found = []
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                start_ms = int(row.window_start.timestamp()) * 1000
                window = window_at(WindowKind(row.kind), row.time_zone, start_ms)
                if window.end_ms + KEPT_MS > now_ms:
                    found.append((row.budget_id, window, row.spent_nano))
        return found
