"""Budgets as pages show them: spent, held, left, and when they run out at this pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from flask import current_app
from sqlalchemy import Engine, Row, select

from gateway.adapters.budget_state import BudgetState, counted_states, recorded_states
from gateway.adapters.directory import Directory
from gateway.adapters.redis_counters import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.spend_history import SpendHistory
from gateway.adapters.tables import clients
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core.budgets import FOREVER_MS, Enforcement
from gateway.core.forecast import Basis, Forecast, forecast
from gateway.core.roles import Principal
from gateway.web.current import services
from gateway.web.dashboard import formats

_HISTORY = "faregate.dashboard.spend_history"
WARN_PERMILLE = 800
"""From here on a budget is shown as one that is nearly spent."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the macro ``ui.meter`` shows: parts of the limit in permille."""

    spent: int
    held: int
    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """How a budget does, in a few words."""

    text: str
    tone: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget in its present window. Amounts are nano-dollars; ``held_nano`` is None where
    the counters in Redis could not be asked, and then ``spent_nano`` is what is recorded."""

    row: Any
    state: BudgetState
    forecast: Forecast
    now: datetime

    @property
    def path(self) -> str:
        """The budget's own page."""
        return f"/budgets/{self.row.id}"

    @property
    def limit_nano(self) -> int:
        """Its limit."""
        return int(self.row.limit_nano)

    @property
    def spent_nano(self) -> int:
        """Charged to this window."""
        return self.state.spent_nano

    @property
    def held_nano(self) -> int | None:
        """Reserved for requests in flight."""
        return self.state.held_nano

    @property
    def left_nano(self) -> int:
        """What may still be held; never below zero."""
        return max(0, self.limit_nano - self.spent_nano - (self.held_nano or 0))

    @property
    def spent_permille(self) -> int:
        """Spent of the limit, beyond 1000 where a soft limit is passed."""
        return self.spent_nano * 1000 // self.limit_nano if self.limit_nano else 1000

    @property
    def scope(self) -> str:
        """What it is on."""
        if self.row.client_id is not None:
            return f"Client {self.row.client_name}"
        return f"Team {self.row.team_name}" if self.row.team_id is not None else "Organization"

    @property
    def scope_path(self) -> str | None:
        """The page of what it is on."""
        if self.row.client_id is not None:
            return f"/clients/{self.row.client_id}"
        return f"/teams/{self.row.team_id}" if self.row.team_id is not None else None

    @property
    def narrowed(self) -> str:
        """What it counts alone, where it does not count everything."""
        parts = []
        if self.row.model_pattern:
            parts.append(f"models {self.row.model_pattern}")
        if self.row.tag:
            parts.append(f"tag {self.row.tag}")
        return ", ".join(parts)

    @property
    def starts_at(self) -> datetime | None:
        """The start of the window; None for a budget in total."""
        return moment_of(self.state.window.start_ms)

    @property
    def ends_at(self) -> datetime | None:
        """When it starts anew; None for a budget in total."""
        return moment_of(self.state.window.end_ms)

    @property
    def runs_out_at(self) -> datetime | None:
        """When the limit is reached at this pace, if in this window."""
        found = self.forecast.runs_out_ms
        return None if found is None else moment_of(found)

    @property
    def resets(self) -> str:
        """When it starts anew, in words."""
        if self.ends_at is None:
            return "never"
        return f"in {formats.span(self.ends_at - self.now)}"

    @property
    def status(self) -> Status:
        """How it does."""
        if self.spent_nano >= self.limit_nano:
            if self.row.enforcement == Enforcement.SOFT:
                return Status("Over the limit", "bad", "soft: requests go on")
            return Status("Spent", "bad", f"resets {self.resets}")
        if self.left_nano == 0:
            return Status("All held", "warn", "requests in flight hold the rest")
        if self.runs_out_at is not None:
            left = self.runs_out_at - self.now
            return Status(f"Runs out in {formats.span(left)}", "warn", f"resets {self.resets}")
        if self.forecast.basis is Basis.NOTHING:
            return Status("No spend yet", "")
        return Status("On track", "good", f"resets {self.resets}")

    @property
    def meter(self) -> Meter:
        """Its bar."""
        spent = formats.permille(self.spent_nano, self.limit_nano)
        held = formats.permille(self.held_nano or 0, self.limit_nano)
        if self.limit_nano == 0:
            spent = 1000
        tone = "bad" if spent >= 1000 else "warn" if spent >= WARN_PERMILLE else ""
        if not tone and self.runs_out_at is not None:
            tone = "warn"
        text = (
            f"{formats.usd(self.spent_nano)} spent, {formats.usd(self.held_nano or 0)} held,"
            f" {formats.usd(self.left_nano)} left of {formats.usd(self.limit_nano)}"
        )
        return Meter(spent, min(held, 1000 - spent), tone, text)


@dataclass(frozen=True, slots=True)
class BudgetLines:
    """Budgets; ``counted`` says that Redis was asked, and not the records alone."""

    lines: tuple[BudgetLine, ...]
    counted: bool
    more: int = 0
    """How many budgets there are beside these."""


def budget_lines(
    viewer: Principal,
    now: datetime,
    *,
    team_id: int | None = None,
    client_id: int | None = None,
    limit: int | None = None,
) -> BudgetLines:
    """The budgets that ``viewer`` sees, most nearly spent first.

    With ``team_id`` or ``client_id``, those that a request of that team or client falls under.
    """
    at = services()
    found = on_control_thread(visible_budgets, at.engine, viewer, team_id, client_id)
    rows = [row for row, _ in found]
    states, counted = states_of(rows, now)
    both = sorted(zip(rows, states, strict=True), key=_urgency)
    shown = both[:limit]
    history = _history()
    hours = on_report_thread(lambda: [history.hours(row, now) for row, _ in shown])
    lines = tuple(
        line_of(row, state, known, now) for (row, state), known in zip(shown, hours, strict=True)
    )
    return BudgetLines(lines, counted, len(both) - len(shown))


def states_of(rows: Sequence[Row[Any]], now: datetime) -> tuple[list[BudgetState], bool]:
    """What each budget has spent and holds, and whether Redis could say it."""
    at = services()
    if not rows:
        return [], True
    try:
        return counted_states(at.budgets, rows), True
    except (StoreDown, CountersLost):
        return on_control_thread(recorded_states, at.engine, rows, now), False


def line_of(row: Any, state: BudgetState, hours: Mapping[int, int], now: datetime) -> BudgetLine:
    """One budget with what is expected of it."""
    at_ms = int(now.timestamp() * 1000)
    expected = forecast(state.window, at_ms, state.spent_nano, hours, row.limit_nano)
    return BudgetLine(row, state, expected, now)


def visible_budgets(
    engine: Engine, viewer: Principal, team_id: int | None = None, client_id: int | None = None
) -> list[tuple[Row[Any], int | None]]:
    """The rows of budgets in force that ``viewer`` may see, of all, a team or a client.

    Each with the team that it is within, if any.
    """
    rows = Directory(engine).budgets()
    with engine.connect() as connection:
        found = connection.execute(select(clients.c.id, clients.c.team_id))
        teams_of = {row.id: row.team_id for row in found}
    return [
        (row, _team_of(row, teams_of))
        for row in rows
        if viewer.sees_budget(_team_of(row, teams_of), row.client_id)
        and _falls_under(row, team_id, client_id, teams_of)
    ]


def _team_of(row: Row[Any], teams_of: Mapping[int, int]) -> int | None:
    return row.team_id if row.client_id is None else teams_of.get(row.client_id)


def _falls_under(
    row: Row[Any], team_id: int | None, client_id: int | None, teams_of: Mapping[int, int]
) -> bool:
    if client_id is not None:
        on = (row.client_id, row.team_id)
        return on in ((client_id, None), (None, teams_of.get(client_id)), (None, None))
    if team_id is not None:
        return _team_of(row, teams_of) == team_id
    return True


def _urgency(both: tuple[Any, BudgetState]) -> tuple[int, int]:
    row, state = both
    return -(state.spent_nano * 1000 // row.limit_nano if row.limit_nano else 1000), row.id


def _history() -> SpendHistory:
    made = current_app.extensions.setdefault(_HISTORY, SpendHistory(services().engine))
    return cast(SpendHistory, made)


def hours_of(row: Row[Any], now: datetime) -> dict[int, int]:
    """What counts against one budget by hour, as far back as forecasts look. Asks the database."""
    history = _history()
    return on_report_thread(history.hours, row, now)


def moment_of(milliseconds: int) -> datetime | None:
    """A moment of a window; None for the ends of the window of all time."""
    if milliseconds in (0, FOREVER_MS):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
