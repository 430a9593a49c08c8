"""Budgets: all of them, and one with its burn-down, its past windows and whom it refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from werkzeug.wrappers import Response

from gateway.adapters.budget_history import PastWindow, RefusedHour, refusals_of, windows_of
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core.budgets import HOUR_MS, WindowKind
from gateway.core.errors import NotFound
from gateway.core.roles import Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import charts, exports, formats, shell
from gateway.web.dashboard.budget_lines import (
    BudgetLine,
    budget_lines,
    hours_of,
    line_of,
    moment_of,
    states_of,
    visible_budgets,
)
from gateway.web.dashboard.spend_files import budgets_file

WINDOWS_MAX = 24
REFUSED_DAYS = 30
REFUSED_ROWS_MAX = 50
_POINTS_MAX = 120

blueprint = shell.pages("budgets")


@dataclass(frozen=True, slots=True)
class Totals:
    """The budgets of a page by how they do."""

    spent: int
    running_out: int
    on_track: int


@blueprint.get("/budgets")
def every() -> Response:
    """The budgets that the viewer sees."""
    viewer = principals.principal()
    now = datetime.now(UTC)
    budgets = budget_lines(viewer, now)
    if kind := exports.wanted():
        return budgets_file(kind, budgets.lines)
    return shell.render(
        "budgets.html",
        viewer,
        title="Budgets",
        live=shell.LIVE_SECONDS,
        budgets=budgets,
        totals=totals_of(budgets.lines),
        now=now,
    )


@blueprint.get("/budgets/<int:budget_id>")
def show(budget_id: int) -> Response:
    """One budget."""
    viewer = principals.principal()
    now = datetime.now(UTC)
    engine = services().engine
    found = on_control_thread(visible_budgets, engine, viewer)
    row, team_id = next(((one, team) for one, team in found if one.id == budget_id), (None, None))
    if row is None:
        raise NotFound("There is no such budget in force, or it is not yours to see.")
    (state,), counted = states_of([row], now)
    hours = hours_of(row, now)
    line = line_of(row, state, hours, now)
    windows, refused = on_report_thread(_past, engine, budget_id, now)
    own = [hour for hour in refused if viewer.client_id in (None, hour.client_id)]
    return shell.render(
        "budget.html",
        viewer,
        title=row.name,
        crumbs=[shell.Crumb("Budgets", "/budgets")],
        live=shell.LIVE_SECONDS,
        line=line,
        may_change=viewer.may_change_budget(team_id, row.client_id),
        counted=counted,
        burn_down=burn_down(line, hours),
        windows=[past_line(window, line) for window in windows],
        chart=windows_chart(windows, line),
        refused=own if viewer.role is not Role.OWNER or row.client_id or row.team_id else [],
        refused_total=sum(hour.requests for hour in own),
        now=now,
    )


def _past(
    engine: Engine, budget_id: int, now: datetime
) -> tuple[list[PastWindow], list[RefusedHour]]:
    since = now - timedelta(days=REFUSED_DAYS)
    return (
        windows_of(engine, budget_id, WINDOWS_MAX),
        refusals_of(engine, budget_id, since, REFUSED_ROWS_MAX),
    )


def totals_of(lines: Sequence[BudgetLine]) -> Totals:
    """How many budgets are spent, will be, or will not."""
    spent = sum(line.spent_nano >= line.limit_nano for line in lines)
    soon = sum(line.spent_nano < line.limit_nano and line.runs_out_at is not None for line in lines)
    return Totals(spent, soon, len(lines) - spent - soon)


@dataclass(frozen=True, slots=True)
class PastLine:
    """A window of the past in a table; ``permille`` is what was spent of today's limit."""

    label: str
    spent_nano: int
    records: int
    permille: int
    share: str
    current: bool


def past_line(window: PastWindow, line: BudgetLine) -> PastLine:
    """One row of the table of windows."""
    return PastLine(
        window_label(window.start, line.row.window),
        window.spent_nano,
        window.records,
        formats.permille(window.spent_nano, line.limit_nano),
        formats.percent(window.spent_nano, line.limit_nano),
        int(window.start.timestamp() * 1000) == line.state.window.start_ms,
    )


def window_label(start: datetime, kind: str) -> str:
    """What a window is called."""
    if kind == WindowKind.TOTAL:
        return "All time"
    if kind == WindowKind.MONTH:
        middle = start + timedelta(days=14)
        return f"{middle:%B %Y}"
    if kind == WindowKind.HOUR:
        return f"{formats.day(start)}, {start:%H:%M}"
    middle = start + timedelta(hours=12) if kind == WindowKind.DAY else start + timedelta(hours=14)
    prefix = "Week of " if kind == WindowKind.WEEK else ""
    return f"{prefix}{formats.day(middle)}"


def windows_chart(windows: Sequence[PastWindow], line: BudgetLine) -> charts.Chart | None:
    """What each window was charged, oldest first; None where there is but one."""
    if len(windows) < 2:
        return None
    ordered = list(reversed(windows))
    labels = [window_label(window.start, line.row.window) for window in ordered]
    values = [window.spent_nano for window in ordered]
    over = sum(value > line.limit_nano for value in values)
    return charts.bars(
        "Spent by window",
        labels,
        values,
        unit="usd",
        summary=(
            f"Spent by window: {len(values)} windows, {over} of them above today's limit of"
            f" {formats.usd(line.limit_nano)}."
        ),
        name="Spent",
        head="Window",
        limit=line.limit_nano,
        tabled=False,
    )


# The burn-down


def burn_down(line: BudgetLine, hours: Mapping[int, int]) -> charts.Chart:
    """What is left of the limit through the window, and what is expected to be.

    For a budget in total, whose window has no ends, through the last weeks and the next.
    """
    now_ms = int(line.now.timestamp() * 1000)
    start_ms, end_ms = _span(line, hours, now_ms)
    edges = _edges(start_ms, end_ms)
    left: list[int | None] = [
        _left_at(line, hours, edge, now_ms) if edge <= now_ms else None for edge in edges
    ]
    expected: list[int | None] = [
        None if edge <= now_ms else _expected_at(line, edge, end_ms, now_ms) for edge in edges
    ]
    # The two lines meet in the present.
    place = sum(edge <= now_ms for edge in edges) - 1
    now_left = max(0, line.limit_nano - line.spent_nano)
    left[place] = expected[place] = now_left
    lines: list[tuple[str, str, Sequence[int | None], bool]] = [
        ("Left", "1", left, False),
        ("Expected", "1", expected, True),
    ]
    if line.ends_at is not None:
        whole = end_ms - start_ms
        even = [line.limit_nano * (end_ms - edge) // whole for edge in edges]
        lines.append(("Even spending", "line", even, True))
    hourly = end_ms - start_ms <= 50 * HOUR_MS
    return charts.curve(
        "Left of the limit",
        [_edge_label(edge, hourly) for edge in edges],
        [_edge_title(edge) for edge in edges],
        lines,
        summary=(
            f"Left of the limit: {formats.usd(now_left)} of {formats.usd(line.limit_nano)} now;"
            f" {line.status.text.lower()}, {line.status.detail}."
        ),
    )


_DAY_MS = 24 * HOUR_MS


def _span(line: BudgetLine, hours: Mapping[int, int], now_ms: int) -> tuple[int, int]:
    """What the burn-down shows: the window, or where it has no ends the time around now."""
    window = line.state.window
    if line.ends_at is not None:
        return window.start_ms, window.end_ms
    start_ms = max(min(hours, default=now_ms - _DAY_MS), now_ms - 28 * _DAY_MS)
    ahead = line.forecast.runs_out_ms or 0
    end_ms = min(max(ahead, now_ms + 7 * _DAY_MS), now_ms + 90 * _DAY_MS)
    return start_ms // HOUR_MS * HOUR_MS, end_ms


def _edges(start_ms: int, end_ms: int) -> list[int]:
    """Moments through a window: by the hour, or as many hours as keep them few."""
    hours = max(1, -(-(end_ms - start_ms) // HOUR_MS // _POINTS_MAX))
    if end_ms - start_ms <= 2 * HOUR_MS:
        length = (end_ms - start_ms) // 12
        return [start_ms + n * length for n in range(13)]
    return [*range(start_ms, end_ms, hours * HOUR_MS), end_ms]


def _left_at(line: BudgetLine, hours: Mapping[int, int], edge: int, now_ms: int) -> int:
    """The limit less what was spent from the edge's past: back from what is spent now."""
    after = sum(nano for hour, nano in hours.items() if edge <= hour <= now_ms)
    return max(0, line.limit_nano - max(0, line.spent_nano - after))


def _expected_at(line: BudgetLine, edge: int, end_ms: int, now_ms: int) -> int:
    """A straight way from now to the moment it runs out, or to the window's end."""
    left = max(0, line.limit_nano - line.spent_nano)
    runs_out = line.forecast.runs_out_ms
    if runs_out is not None:
        if edge >= runs_out or runs_out <= now_ms:
            return 0
        return left * (runs_out - edge) // (runs_out - now_ms)
    if line.forecast.end_nano is None:
        return max(0, left - line.forecast.rate_nano * (edge - now_ms) // _DAY_MS)
    at_end = max(0, line.limit_nano - line.forecast.end_nano)
    return left - (left - at_end) * (edge - now_ms) // max(1, end_ms - now_ms)


def _edge_label(edge: int, hourly: bool) -> str:
    at: Any = moment_of(edge)
    return f"{at:%H:%M}" if hourly else formats.short_day(at)


def _edge_title(edge: int) -> str:
    at: Any = moment_of(edge)
    return f"{formats.short_day(at)}, {at:%H:%M}"
