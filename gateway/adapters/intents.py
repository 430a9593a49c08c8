"""Intents: holds written down in SQL before their requests are sent (``FAREGATE_INTENTS=sql``).

For deployments whose Redis can lose what it has said it has. What was sent and then forgotten by
Redis is found in SQL again, held again by the rebuild, and settled by its gateway or, should that
have died too, charged as unknown. Requests that come at once share one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import gevent
import orjson
import structlog
from gevent.event import AsyncResult
from sqlalchemy import Connection, Engine, delete, exists, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

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


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request that waits for its intent."""

    row: dict[str, str]
    written: AsyncResult[None]
    gave_up: bool = False


class Intents:
    """Writes intents for the greenlets of a process, in one native thread."""

    def __init__(self, engine: Engine) -> None:
        """``engine`` gives a connection per use; one is kept."""
        self._engine = engine
        self._connection: Connection | None = None
        self._queue: list[_Waiting] = []
        self._writing = False

    @property
    def waiting(self) -> int:
        """Requests whose turn has not come."""
        return len(self._queue)

    def write(self, hold: Hold) -> None:
        """Return once the intent of ``hold`` is on disk. Raises IntentNotWritten.

        One that comes to be written later all the same does no harm: what counts is an intent
        whose request has no record, and a request that was not sent has one.
        """
        row = {"request_id": hold.request_id, "hold": orjson.dumps(hold_fields(hold)).decode()}
        waiting = _Waiting(row, AsyncResult())
        self._queue.append(waiting)
        if not self._writing:
            self._writing = True
            gevent.spawn(self._write_queue)
        try:
            waiting.written.get(timeout=WAIT_SECONDS)
        except gevent.Timeout:
            self._give_up(waiting)
            raise IntentNotWritten(f"the database took more than {WAIT_SECONDS:g} s") from None
        except IntentNotWritten:
            raise
        except BaseException:
            self._give_up(waiting)
            raise
        failpoints.hit("intent.written")

    def _give_up(self, waiting: _Waiting) -> None:
        """Its request will not be sent: where its turn has not come, nothing is written.

        Else a database that hangs would let the queue grow for as long.
        """
        waiting.gave_up = True
        with suppress(ValueError):
            self._queue.remove(waiting)

    def _write_queue(self) -> None:
        """Write what waits, and what comes to wait meanwhile."""
        try:
            while self._queue:
                batch, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
                failure: IntentNotWritten | None = None
                try:
                    on_intent_thread(self._insert, [waiting.row for waiting in batch])
                except Exception as error:
                    failure = IntentNotWritten(first_line(error))
                for waiting in batch:
                    if failure is None:
                        waiting.written.set()
                    else:
                        waiting.written.set_exception(failure)
                self._take_back([waiting for waiting in batch if waiting.gave_up])
        finally:
            self._writing = False

    def _take_back(self, late: Sequence[_Waiting]) -> None:
        """Delete what was written for nobody: the record of its request may have gone before."""
        if not late:
            return
        try:
            on_intent_thread(self._delete, [waiting.row["request_id"] for waiting in late])
        except Exception as error:
            _log.warning("intents.left_behind", intents=len(late), reason=first_line(error))

    # In the native thread

    def _insert(self, rows: list[dict[str, str]]) -> None:
        self._commit(lambda connection: _insert(connection, rows))

    def _delete(self, request_ids: Sequence[str]) -> None:
        self._commit(lambda connection: _delete(connection, request_ids))

    def _commit(self, change: Callable[[Connection], None]) -> None:
        kept = self._connection is not None
        try:
            self._commit_once(change)
        except DBAPIError as error:
            if not (kept and error.connection_invalidated):
                raise
            # The database was started again meanwhile, or something in between tired of an idle
            # connection. Both changes may be made twice.
            self._commit_once(change)

    def _commit_once(self, change: Callable[[Connection], None]) -> None:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                change(self._connection)
        except Exception:
            # Whatever it was: the next one begins with a connection of its own.
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(SQLAlchemyError):
                    connection.close()
            raise


def _insert(connection: Connection, rows: list[dict[str, str]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(intents).on_conflict_do_nothing(), rows)
        return
    # One parameter, as with usage records: a third of the CPU at 64 rows.
    insertion = text(
        "INSERT INTO intents (request_id, hold) SELECT request_id, hold"
        " FROM json_populate_recordset(NULL::intents, CAST(:rows AS json)) ON CONFLICT DO NOTHING"
    )
    connection.execute(insertion, {"rows": orjson.dumps(rows).decode()})


def _delete(connection: Connection, request_ids: Sequence[str]) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(delete(intents).where(intents.c.request_id.in_(request_ids)))
        return
    # One parameter here too: a fifth of the CPU at 500 rows.
    deletion = text("DELETE FROM intents WHERE request_id = ANY(CAST(:ids AS text[]))")
    connection.execute(deletion, {"ids": list(request_ids)})


def forget_intents(connection: Connection, request_ids: Sequence[str]) -> None:
    """Delete the intents of requests that have a record, in the transaction that writes it.

    Where none are written, the table is empty and one look at it is all that this costs.
    """
    if connection.execute(select(intents.c.request_id).limit(1)).first() is not None:
        _delete(connection, request_ids)


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
