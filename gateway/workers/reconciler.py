"""Compares recorded costs with the provider's bill, by the command or once a day by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.price_rows import stored_prices
from gateway.adapters.provider_bill import BillUnavailable, ProviderBill, merged
from gateway.adapters.reconciliation_rows import (
    approve_reconciliation as approve_reconciliation,
)
from gateway.adapters.reconciliation_rows import bill_names, last_until, store
from gateway.adapters.recorded_costs import recorded_costs, recorded_hours, requests_by_model
from gateway.core.bill_lines import UnreadableBill, unit_rates
from gateway.core.prices import PriceBook
from gateway.core.reconciling import Difference, Figures, days_in_doubt
from gateway.core.reconciling_quantities import compare
from gateway.core.reports import day_of
from gateway.core.roles import Principal, Role

PAUSE_SECONDS = 900.0
"""How often the worker looks whether a day is over."""

WORKER = Principal("worker:reconciler", Role.FINANCE)

_log = structlog.get_logger(__name__)


class Stop(Protocol):
    """An event of threads or of greenlets."""

    def wait(self, timeout: float) -> bool | None:
        """Wait for the event; whether it is set."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one run found. ``id`` is that of the stored reconciliation."""

    id: int
    since: datetime
    until: datetime
    provider: str
    ours_nano: int
    theirs_nano: int
    differences: tuple[Difference, ...]


class Reconciler:
    """Compares with one provider."""

    def __init__(
        self, engine: Engine, bill: ProviderBill, days: int = 0, pause_seconds: float | None = None
    ) -> None:
        """``days`` before today are compared once a day by ``run``."""
        self._engine = engine
        self._bill = bill
        self._days = timedelta(days=days)
        self._pause_seconds = pause_seconds or PAUSE_SECONDS

    def compare(self, since: datetime, until: datetime, principal: Principal) -> Comparison:
        """Compare the days from ``since`` to before ``until``, and keep what is found.

        Raises BillUnavailable, UnreadableBill, and SQLAlchemy's errors.
        """
        names = bill_names(self._engine)
        billed = self._bill.lines(since, until, names)
        with self._engine.connect() as connection:
            book = PriceBook(stored_prices(connection))
            recorded = recorded_costs(connection, since, until, names)
            requests = requests_by_model(connection, since, until, names)
            doubt = days_in_doubt(recorded, billed)
            ours = merged(recorded_hours(connection, doubt, names))
        theirs = self._bill.hours(doubt, names)
        figures = Figures(
            recorded,
            billed,
            requests,
            ours,
            theirs,
            lambda day, model, item: unit_rates(book, day, model, item),
        )
        found = tuple(compare(figures))
        totals = sum(row.total_nano for row in recorded), sum(line.nano for line in billed)
        provider = self._bill.provider
        stored = store(self._engine, since, until, provider, totals, found, principal)
        return Comparison(stored, since, until, provider, *totals, found)

    def run(self, stop: Stop) -> None:
        """Compare once a day until ``stop`` is set."""
        while True:
            try:
                self.step(datetime.now(UTC))
            except (BillUnavailable, UnreadableBill) as error:
                _log.warning("reconciler.no_bill", reason=str(error))
            except SQLAlchemyError as error:
                _log.warning("reconciler.database_unreachable", reason=type(error).__name__)
            if stop.wait(self._pause_seconds):
                return

    def step(self, now: datetime) -> Comparison | None:
        """Compare the days before that of ``now``, unless that was done."""
        today = day_of(now)
        before = last_until(self._engine, self._bill.provider)
        if before is not None and before >= today:
            return None
        found = self.compare(today - self._days, today, WORKER)
        _log.info(
            "reconciler.compared",
            reconciliation=found.id,
            ours_nano=found.ours_nano,
            theirs_nano=found.theirs_nano,
            differences=len(found.differences),
        )
        return found
