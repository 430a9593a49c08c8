"""Resolves the holds of processes that died: charged at their amount and marked unknown."""

from __future__ import annotations

import json
import threading

import structlog

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.usage import Certainty

PAUSE_SECONDS = 0.5

_RESULT = json.dumps(
    {"status": 0, "certainty": Certainty.UNKNOWN.value, "reason": "hold_expired"},
    separators=(",", ":"),
).encode()

_log = structlog.get_logger(__name__)


class Expirer:
    """Any number may run: the script lets each hold expire once."""

    def __init__(self, budgets: RedisBudgets) -> None:
        self._budgets = budgets

    def run(self, stop: threading.Event) -> None:
        """Expire what has lapsed until ``stop`` is set."""
        while not stop.wait(PAUSE_SECONDS):
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
            if self._budgets.expire(hold, _RESULT):
                expired += 1
                _log.warning("hold.expired", request_id=request_id, cost_nano=hold.amount_nano)
        return expired
