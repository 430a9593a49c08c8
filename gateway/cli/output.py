"""What commands print: tables for people, JSON for scripts.

Results go to standard output, notes to standard error, so that a script reads results alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.core.money import display_usd, divide_up

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")

_MICRO_USD = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers stand to the right and are never broken."""

    title: str
    number: bool = False


def plain(value: object) -> str:
    """``value`` in printable characters: stored text may carry a terminal's control codes."""
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    total: Sequence[object] | None = None,
) -> None:
    """Print rows; ``total`` is set off below them. Wide cells fold, so nothing is cut off."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=total is not None)
    for place, column in enumerate(columns):
        table.add_column(
            column.title,
            footer=Text(plain(total[place])) if total is not None else "",
            justify="right" if column.number else "left",
            no_wrap=column.number,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(highlight=False).print(table)


def _cell(value: object) -> Text:
    """A cell; lines after the first say more and are dim."""
    first, *more = plain(value).split("\n")
    return Text.assemble(first, *((f"\n{line}", "dim") for line in more))


def print_json(value: Any) -> None:
    """Print ``value`` as JSON; times are ISO 8601 in UTC."""
    click.echo(json.dumps(value, indent=2, default=_jsonable))


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{value!r} has no JSON form")


def say(text: str) -> None:
    """Print a result as one line."""
    click.echo(plain(text))


def note(text: str) -> None:
    """Print a remark to standard error."""
    click.secho(plain(text), dim=True, err=True)


def moment(at: datetime | None, never: str = "never") -> str:
    """A time to the minute, in UTC."""
    return never if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def rounded_usd(nano: int, *, up: bool) -> str:
    """Dollars to the micro-dollar: amounts spent are rounded ``up``, amounts left down."""
    micro = divide_up(nano, _MICRO_USD) if up else nano // _MICRO_USD
    return display_usd(micro * _MICRO_USD)
