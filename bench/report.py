"""What a measurement says: a table of ratios, and the words that make it readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class BenchFailed(Exception):
    """A measurement could not be made; the message says why."""


@dataclass(frozen=True)
class Table:
    """One measurement's result, as Markdown."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        lines = [list(self.headings), *([str(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]

        def row(cells: Sequence[str]) -> str:
            # Words to the left, figures to the right.
            padded = [
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return f"| {' | '.join(padded)} |"

        rule = [
            "-" * width if column == 0 else "-" * (width - 1) + ":"
            for column, width in enumerate(widths)
        ]
        parts = [f"### {self.title}", "", row(lines[0]), row(rule), *map(row, lines[1:])]
        if self.notes:
            parts += ["", *self.notes]
        return "\n".join(parts)


def ratio(value: float, base: float) -> str:
    """``value`` as a multiple of ``base``."""
    return f"{value / base:.2f}" if base else "-"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
