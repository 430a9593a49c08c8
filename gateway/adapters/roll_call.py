"""Answers the roll call of a rebuild: tells a Redis that lost something what this process knows.

A worker looks at the state of the counters twice a second, and signs that it lives. Where admission
is suspended, or an epoch has begun that it does not know, it presents its holds and its newest
endings before it goes on (``gateway.workers.rebuilder`` waits for that).
"""

from __future__ import annotations

import os
from uuid import uuid4

import gevent
import structlog
from gevent.lock import BoundedSemaphore

from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown

LOOK_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class RollCall:
    """One worker's part in it."""

    def __init__(self, budgets: RedisBudgets, keeper: HoldKeeper) -> None:
        self._budgets = budgets
        self._keeper = keeper
        self._worker = ""
        self._presented = 0
        """The suspension that everything was presented for."""
        self._fresh = False
        """Whether that was the last suspension before an epoch that is still unknown here."""
        self._answering = BoundedSemaphore(1)
        budgets.present = self.answer

    def watch(self) -> None:
        """Look and answer for ever; run it as a greenlet."""
        while True:
            try:
                self.answer()
            except StoreDown as error:
                _log.warning("roll_call.interrupted", reason=str(error))
            gevent.sleep(LOOK_SECONDS)

    def answer(self) -> None:
        """Present what Redis may lack, if there is need, and adopt its epoch. Raises StoreDown."""
        with self._answering:
            # Named here and not before: each process that a server forks is a worker of its own.
            self._worker = self._worker or f"{os.getpid()}-{uuid4().hex[:8]}"
            state = self._budgets.state(self._worker, self._presented)
            if state.admits:
                if self._budgets.epoch not in (0, state.epoch) and not self._fresh:
                    self._keeper.present()
                self._fresh = False
                self._budgets.adopt(state)
            elif state.suspended_at_ms and state.suspended_at_ms != self._presented:
                self._keeper.present()
                self._presented, self._fresh = state.suspended_at_ms, True
                self._budgets.state(self._worker, self._presented)

    def leave(self) -> None:
        """Sign off: nobody needs to wait for this worker any more."""
        if self._worker:
            self._budgets.forget_worker(self._worker)
