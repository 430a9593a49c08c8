"""Spend and budgets as files: what the charts and tables of the money pages show, exactly."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from gateway.adapters.table_files import Column, Kind
from gateway.core.reports import Point, Sums
from gateway.web.dashboard import exports
from gateway.web.dashboard.budget_lines import BudgetLine
from gateway.web.dashboard.filters import View
from gateway.web.dashboard.spend import Spend

_COUNTS = (
    "requests",
    "failures",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "images",
    "audio_milliseconds",
    "characters",
)
_AMOUNTS = ("cost", "exact", "estimated", "unknown", "adjusted", "cache_saved")

_BATCH = 2000

SPEND = (
    Column("starts_at", Kind.MOMENT),
    Column("step"),
    Column("grouped_by"),
    Column("group_key"),
    Column("group_name"),
    *(Column(name, Kind.COUNT) for name in _COUNTS),
    *(Column(name, Kind.MONEY) for name in _AMOUNTS),
)
"""A row for each hour or day, and what is grouped by."""

BUDGETS = (
    Column("budget_id", Kind.COUNT),
    Column("name"),
    Column("on"),
    Column("window"),
    Column("time_zone"),
    Column("enforcement"),
    Column("model_pattern"),
    Column("tag"),
    Column("window_starts_at", Kind.MOMENT),
    Column("window_ends_at", Kind.MOMENT),
    Column("limit", Kind.MONEY),
    Column("spent", Kind.MONEY),
    Column("held", Kind.MONEY),
    Column("left", Kind.MONEY),
    Column("expected_at_end", Kind.MONEY),
    Column("runs_out_at", Kind.MOMENT),
)


def spend_file(kind: str, name: str, view: View, spend: Spend) -> Response:
    """The chart of a view as a file; ``name`` is of the page."""
    step = "day" if view.by_day else "hour"

    def rows(points: Sequence[Point]) -> list[tuple[object, ...]]:
        return [
            (point.at, step, view.group, point.key, point.name, *_cells(point.sums))
            for point in points
        ]

    # Made where they are written, on the thread of the export, and not all at once.
    starts = range(0, len(spend.points), _BATCH)
    batches = (rows(spend.points[start : start + _BATCH]) for start in starts)
    return exports.as_file(kind, name, SPEND, batches)


def budgets_file(kind: str, lines: Sequence[BudgetLine]) -> Response:
    """Budgets as a file."""
    return exports.as_file(kind, "budgets", BUDGETS, exports.one_batch(map(_budget, lines)))


def _cells(sums: Sums) -> list[int]:
    counts = [getattr(sums, name) for name in _COUNTS]
    return counts + [getattr(sums, f"{name}_nano") for name in _AMOUNTS]


def _budget(line: BudgetLine) -> tuple[object, ...]:
    row = line.row
    return (
        row.id,
        row.name,
        line.scope,
        row.window,
        row.time_zone,
        row.enforcement,
        row.model_pattern,
        row.tag,
        line.starts_at,
        line.ends_at,
        line.limit_nano,
        line.spent_nano,
        line.held_nano,
        line.left_nano,
        line.forecast.end_nano,
        line.runs_out_at,
    )
