"""How many requests were refused before anything was sent: counted here, written to SQL later.

A refusal costs next to nothing, and a client in a loop makes thousands of them. So they are
counted in the process and added to ``hourly_refusals`` every few seconds. What is counted is no
money: a process that is killed loses its last counts, and a write whose answer was lost may be
added twice.
"""

from __future__ import annotations

from datetime import UTC, datetime

import gevent
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import first_line
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.adapters.threads import on_sql_thread
from gateway.adapters.usage_sums import upsert
from gateway.core.errors import ApiError, OverBudget
from gateway.core.policy import Client
from gateway.core.reports import hour_of

FLUSH_SECONDS = 3.0
CELLS_MAX = 10_000
"""Kinds of refusals that one process keeps; further ones are dropped while SQL is away."""

_KEY = ("hour", "team_id", "client_id", "budget_id", "code")

_Cell = tuple[datetime, int, int, int, str]

_log = structlog.get_logger(__name__)


class RefusalCounts:
    """The counts of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cells: dict[_Cell, int] = {}
        self._dropped = 0

    def count(self, client: Client, error: ApiError) -> None:
        """Count one refused request of ``client``."""
        budget_id = error.budget_id if isinstance(error, OverBudget) else 0
        code = (error.code or error.type)[:64]
        self._add((hour_of(datetime.now(UTC)), client.team_id, client.id, budget_id, code), 1)

    def write_for_ever(self) -> None:
        """Write the counts down every few seconds; run it as a greenlet."""
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Write down what was counted; where SQL does not take it, it is kept for the next time."""
        if not self._cells:
            return
        cells, self._cells = self._cells, {}
        try:
            on_sql_thread(self._write, cells)
        except SQLAlchemyError as error:
            _log.warning("refusals.not_written", reason=first_line(error))
            for cell, requests in cells.items():
                self._add(cell, requests)
        if self._dropped:
            _log.warning("refusals.dropped", requests=self._dropped)
            self._dropped = 0

    def _add(self, cell: _Cell, requests: int) -> None:
        if cell not in self._cells and len(self._cells) >= CELLS_MAX:
            self._dropped += requests
        else:
            self._cells[cell] = self._cells.get(cell, 0) + requests

    def _write(self, cells: dict[_Cell, int]) -> None:
        rows = {cell: {"requests": requests} for cell, requests in cells.items()}
        with self._engine.begin() as connection:
            upsert(connection, hourly_refusals, _KEY, ("requests",), rows)
