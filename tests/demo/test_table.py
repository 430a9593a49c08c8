from __future__ import annotations

import io
from collections import Counter

import pytest
from rich.console import Console

from gateway.demo.table import bar, line, render
from gateway.demo.watch import BudgetRow, Scene, TeamRow


def budget(spent: int, held: int, limit: int = 1600) -> BudgetRow:
    return BudgetRow("b", "team", "day", "strict", limit, spent, held)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (budget(0, 0), "................"),
        (budget(1, 0), "#..............."),
        (budget(800, 400), "########====...."),
        (budget(1600, 0), "################"),
        (budget(5000, 9000), "################"),
        (budget(0, 0, limit=0), "................"),
    ],
)
def test_the_bar_shows_what_is_spent_held_and_left(row: BudgetRow, shown: str) -> None:
    assert bar(row, ascii_only=True).plain == shown


@pytest.fixture
def scene() -> Scene:
    return Scene(
        teams=[
            TeamRow("search", 7, Counter(budget=2, rate=1), 1200, 300, 4_000_000),
            TeamRow("support", 5, Counter(), 10, 20, 1),
        ],
        budgets=[budget(800, 400)],
        newest=[],
        answers=["ranker: blue"],
        wrong_keys=4,
        failed=Counter({"APIConnectionError": 1}),
        in_flight=3,
        per_second=12.345,
    )


def test_the_line_has_the_totals(scene: Scene) -> None:
    assert line(scene, 4.0) == (
        "  4.0 s  12 requests, 7 refused (4 key, 2 budget, 1 rate),"
        " failed: 1 APIConnectionError, 1,210 tokens in, 320 out, $0.004001 spent,"
        " 3 in flight, 12.3 per second"
    )


def test_the_table_fits_a_terminal_of_100_columns(scene: Scene) -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(render(scene, "Title", ascii_only=True))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    for text in ("2 budget, 1 rate", "########====....", "$0.004", "ranker: blue", "wrong key"):
        assert text in shown
