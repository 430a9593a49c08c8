"""Intents: holds written down in SQL before their requests are sent (``FAREGATE_INTENTS=sql``).

For deployments whose Redis can lose what it has said it has. What was sent and then forgotten by
Redis is found in SQL again, held again by the rebuild, and settled by its gateway or, should that
have died too, charged as unknown. Requests that come at once share one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import AsyncResult
from sqlalchemy import Connection, Engine, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.tables import intents, usage_records
from gateway.adapters.threads import on_intent_thread
from gateway.core.endings import hold_fields, hold_from
from gateway.core.holds import Hold

WAIT_SECONDS = 10.0
"""How long a request waits for its intent to be on disk, before it is refused."""

AT_ONCE = 1000
"""Intents of one commit."""

_log = structlog.get_logger(__name__)


class IntentNotWritten(Exception):
    """The database did not take an intent, or not in time: its request must not be sent."""


class Intents:
    """Writes intents for the greenlets of a process, in one native thread."""

    def __init__(self, engine: Engine) -> None:
        """``engine`` gives a connection per use; one is kept."""
        self._engine = engine
        self._connection: Connection | None = None
        self._queue: list[tuple[dict[str, Any], AsyncResult[None]]] = []
        self._writing = False
        self.commits = 0

    def write(self, hold: Hold) -> None:
        """Return once the intent of ``hold`` is on disk. Raises IntentNotWritten.

        One that comes to be written later all the same does no harm: what counts is an intent
        whose request has no record, and a request that was not sent has one.
        """
        row = {"request_id": hold.request_id, "hold": orjson.dumps(hold_fields(hold)).decode()}
        written: AsyncResult[None] = AsyncResult()
        self._queue.append((row, written))
        if not self._writing:
            self._writing = True
            gevent.spawn(self._write_queue)
        try:
            written.get(timeout=WAIT_SECONDS)
        except gevent.Timeout:
            raise IntentNotWritten(f"the database took more than {WAIT_SECONDS:g} s") from None
        failpoints.hit("intent.written")

    def _write_queue(self) -> None:
        """Write what waits, and what comes to wait meanwhile."""
        try:
            while self._queue:
                batch, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
                failure: IntentNotWritten | None = None
                try:
                    on_intent_thread(self._commit, [row for row, _ in batch])
                    self.commits += 1
                except Exception as error:
                    failure = IntentNotWritten(first_line(error))
                for _, written in batch:
                    if failure is None:
                        written.set()
                    else:
                        written.set_exception(failure)
        finally:
            self._writing = False

    def _commit(self, rows: list[dict[str, Any]]) -> None:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                _insert(self._connection, rows)
        except Exception:
            # Whatever it was: the next one begins with a connection of its own.
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(SQLAlchemyError):
                    connection.close()
            raise


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    module = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(module.insert(intents).on_conflict_do_nothing(), rows)


def forget_intents(connection: Connection, request_ids: Sequence[str]) -> None:
    """Delete the intents of requests that have a record, in the transaction that writes it."""
    if connection.execute(select(intents.c.request_id).limit(1)).first() is not None:
        connection.execute(delete(intents).where(intents.c.request_id.in_(request_ids)))


def open_intents(engine: Engine) -> list[Hold]:
    """The holds of requests that may have been sent, and have no record."""
    with engine.connect() as connection:
        return intents_without_record(connection)


def intents_without_record(connection: Connection) -> list[Hold]:
    """The same, as of the connection's snapshot."""
    recorded = exists().where(usage_records.c.request_id == intents.c.request_id)
    found = []
    for row in connection.execute(select(intents).where(~recorded)):
        try:
            found.append(hold_from(orjson.loads(row.hold)))
        except (ValueError, KeyError, TypeError):
            _log.exception("intent.not_readable", request_id=row.request_id)
    return found


def sweep_intents(engine: Engine) -> int:
    """Delete intents that were written after their request had been recorded; how many."""
    recorded = exists().where(usage_records.c.request_id == intents.c.request_id)
    with engine.begin() as connection:
        return int(connection.execute(delete(intents).where(recorded)).rowcount)
