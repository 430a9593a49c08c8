"""The demo's table, and its one-line form where there is no terminal."""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.core.money import display_usd, divide_up
from gateway.demo.watch import BudgetRow, Scene

BAR_CELLS = 16
_MICRO_NANO = 1000


def usd(nano: int) -> str:
    """Dollars to the micro-dollar, rounded up: six decimals are enough to watch."""
    return display_usd(divide_up(nano, _MICRO_NANO) * _MICRO_NANO)


def bar(row: BudgetRow, *, ascii_only: bool) -> Text:
    """What of a budget is spent, held and left."""
    spent_glyph, held_glyph, left_glyph = "#=." if ascii_only else "█▒░"
    limit = max(row.limit_nano, 1)
    # Anything spent shows; nothing runs past the end.
    spent = min(divide_up(row.spent_nano * BAR_CELLS, limit), BAR_CELLS)
    held = min(divide_up(row.held_nano * BAR_CELLS, limit), BAR_CELLS - spent)
    left = BAR_CELLS - spent - held
    colour = "red" if row.spent_nano * 10 >= limit * 9 else "green"
    return Text.assemble(
        (spent_glyph * spent, colour), (held_glyph * held, "yellow"), (left_glyph * left, "dim")
    )


def reasons(refused: Counter[str]) -> str:
    """``12 budget, 3 rate``."""
    return ", ".join(f"{count} {reason}" for reason, count in refused.most_common())


def line(scene: Scene, seconds: float) -> str:
    """The state in one line."""
    refused: Counter[str] = Counter()
    for team in scene.teams:
        refused.update(team.refused)
    if scene.wrong_keys:
        refused["key"] = scene.wrong_keys
    why = f" ({reasons(refused)})" if refused else ""
    failed = f", failed: {reasons(scene.failed)}" if scene.failed else ""
    return (
        f"{seconds:5.1f} s  {scene.requests} requests, {scene.refused} refused{why}{failed},"
        f" {scene.input_tokens:,} tokens in, {scene.output_tokens:,} out,"
        f" {usd(scene.cost_nano)} spent, {scene.in_flight} in flight,"
        f" {scene.per_second:.1f} per second"
    )


def render(scene: Scene, title: str, *, ascii_only: bool) -> RenderableType:
    """The state as tables."""
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        _teams(scene),
        _budgets(scene, ascii_only=ascii_only),
        _newest(scene),
    ]
    parts += [Text(answer, style="italic", no_wrap=True) for answer in scene.answers]
    bottom = f"{scene.per_second:.1f} requests per second, {scene.in_flight} in flight"
    if scene.wrong_keys:
        bottom += f", {scene.wrong_keys} with a wrong key"
    if scene.failed:
        bottom += f", failed: {reasons(scene.failed)}"
    parts.append(Text(f"{bottom}. Ctrl-C stops and audits.", style="dim"))
    return Group(*parts)


def _table(*columns: tuple[str, str], footer: bool = False) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=footer)
    for title, side in columns:
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    return table


def _teams(scene: Scene) -> Table:
    numbers = ("Requests", "Refused", "Tokens in", "Tokens out", "Cost")
    table = _table(
        ("Team", "left"), *((name, "right") for name in numbers), ("Why refused", "left"),
        footer=True,
    )  # fmt: skip
    for team in scene.teams:
        table.add_row(
            team.name,
            f"{team.requests:,}",
            f"{team.refused.total():,}",
            f"{team.input_tokens:,}",
            f"{team.output_tokens:,}",
            usd(team.cost_nano),
            Text(reasons(team.refused), style="dim"),
        )
    totals = (
        "all",
        f"{scene.requests:,}",
        f"{scene.refused:,}",
        f"{scene.input_tokens:,}",
        f"{scene.output_tokens:,}",
        usd(scene.cost_nano),
    )
    for column, total in zip(table.columns, totals, strict=False):
        column.footer = total
    return table


def _budgets(scene: Scene, *, ascii_only: bool) -> Table:
    table = _table(
        ("Budget", "left"), ("Limit", "left"), ("Rule", "left"),
        ("Spent", "right"), ("Held", "right"), ("Left", "right"), ("", "left"),
    )  # fmt: skip
    for row in scene.budgets:
        left = max(row.limit_nano - row.spent_nano - row.held_nano, 0)
        table.add_row(
            row.name,
            f"{display_usd(row.limit_nano)}/{row.window}",
            row.enforcement,
            usd(row.spent_nano),
            usd(row.held_nano),
            display_usd(left // _MICRO_NANO * _MICRO_NANO),
            bar(row, ascii_only=ascii_only),
        )
    return table


def _newest(scene: Scene) -> Table:
    table = _table(
        ("Newest records", "left"), ("Model", "left"), ("In", "right"), ("Out", "right"),
        ("Cost", "right"), ("Certainty", "left"),
    )  # fmt: skip
    for row in scene.newest:
        table.add_row(
            f"{row.team_name}/{row.client_name}",
            row.model,
            f"{row.input_tokens:,}",
            f"{row.output_tokens:,}",
            display_usd(row.cost_nano),
            row.certainty if row.status < 400 else f"{row.certainty}, status {row.status}",
        )
    return table
