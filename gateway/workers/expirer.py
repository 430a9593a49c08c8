"""Resolves the holds of processes that died: charged at their amount and marked unknown.

The recorder process does so at once. Each gateway worker does it too, seldom, so that budgets
do not stay blocked while no recorder runs.
"""

from __future__ import annotations

import json
from typing import Protocol

import structlog

from gateway import failpoints
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.usage import Certainty

PAUSE_SECONDS = 0.5

_RESULT = json.dumps(
    {"status": 0, "certainty": Certainty.UNKNOWN.value, "reason": "hold_expired"},
    separators=(",", ":"),
).encode()

_log = structlog.get_logger(__name__)


class Stop(Protocol):
    """An event of threads or of greenlets."""

    def wait(self, timeout: float) -> bool | None:
        """Wait for the event; whether it is set."""


class Expirer:
    """Any number may run: the script lets each hold expire once."""

    def __init__(self, budgets: RedisBudgets, pause_seconds: float | None = None) -> None:
        self._budgets = budgets
        self._pause_seconds = pause_seconds or PAUSE_SECONDS

    def run(self, stop: Stop) -> None:
        """Expire what has lapsed until ``stop`` is set."""
        while not stop.wait(self._pause_seconds):
            try:
                self.step()
            except StoreDown as error:
                _log.warning("expirer.redis_unreachable", reason=str(error))

    def step(self) -> int:
        """Expire the holds whose lease has run out; returns how many. Raises StoreDown."""
        expired = 0
        for request_id in self._budgets.lapsed():
            hold = self._budgets.find(request_id)
            if hold is None:
                # Its hash is gone though its lease is listed: nothing is left to charge.
                self._budgets.forget(request_id)
                continue
            failpoints.hit("expirer.found")
            if self._budgets.expire(hold, _RESULT):
                failpoints.hit("expirer.expired")
                expired += 1
                _log.warning("hold.expired", request_id=request_id, cost_nano=hold.amount_nano)
        return expired
