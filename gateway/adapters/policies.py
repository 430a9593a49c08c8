"""The policy of this process: read at start, replaced when the version in Redis moves on."""

from __future__ import annotations

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.threads import on_sql_thread
from gateway.core.policy import Policy

WATCH_SECONDS = 0.5
"""How often a process looks for a new policy by itself, for what no reserve notices: a new
key, or a revoked one on a free endpoint."""

_log = structlog.get_logger(__name__)


class PolicyUnavailable(Exception):
    """The policy in force cannot be read from SQL."""


class Policies:
    """Holds the policy in force. Reading it is an attribute; replacing it is one read of SQL."""

    def __init__(self, engine: Engine, budgets: RedisBudgets) -> None:
        self._engine = engine
        self._budgets = budgets
        self._loading = BoundedSemaphore(1)
        self.current: Policy = load_policy(engine)

    def catch_up(self, seen: Policy) -> Policy:
        """A policy newer than ``seen``: by now loaded, or loaded here, once for all waiters.

        Raises PolicyUnavailable.
        """
        with self._loading:
            if self.current is not seen:
                return self.current
            try:
                loaded = on_sql_thread(load_policy, self._engine)
            except SQLAlchemyError as error:
                raise PolicyUnavailable("the policy cannot be read from the database") from error
            if loaded.version > 0:
                # A change is committed first and announced second; whoever reads it in
                # between announces it.
                self._budgets.announce(loaded.version)
            self.current = loaded
            return loaded

    def watch(self) -> None:
        """Follow the version in Redis for ever; run it as a greenlet."""
        while True:
            gevent.sleep(WATCH_SECONDS)
            try:
                version = self._budgets.policy_version()
                if version is not None and version != self.current.version:
                    self.catch_up(self.current)
            except (StoreDown, PolicyUnavailable) as error:
                _log.warning("policy.watch_failed", reason=str(error))
