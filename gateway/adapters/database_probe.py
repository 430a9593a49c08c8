"""Whether the database answers, for probes that ask often and from many places."""

from __future__ import annotations

from time import monotonic

import structlog
from gevent.lock import BoundedSemaphore
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.directory import Directory
from gateway.adapters.threads import on_sql_thread

FRESH_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class DatabaseProbe:
    """The database's last answer, at most FRESH_SECONDS old; one question at a time."""

    def __init__(self, engine: Engine) -> None:
        self._directory = Directory(engine)
        self._asking = BoundedSemaphore(1)
        self._answers = False
        self._until = 0.0

    def answers(self) -> bool:
        """Whether the database answered."""
        with self._asking:
            if monotonic() >= self._until:
                try:
                    on_sql_thread(self._directory.version)
                    self._answers = True
                except SQLAlchemyError as error:
                    _log.warning("readyz.database", reason=type(error).__name__)
                    self._answers = False
                self._until = monotonic() + FRESH_SECONDS
            return self._answers
