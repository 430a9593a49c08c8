"""The table of clients names every endpoint, and says what the tests show."""

from __future__ import annotations

import re

import pytest

from gateway.settings import Settings
from tests.compat import table
from tests.compat.conftest import writes_table

NOT_OPENAIS = ("/v1/organization/", "/v1/faregate/")
"""What admin tokens read, and what OpenAI has not: pages of their own say what tests them."""


def served_routes(redis_url: str, database_url: str) -> set[str]:
    """Every route of OpenAI's API that a client's key may use; each variable part is an id."""
    from gateway.adapters.database import open_engine
    from gateway.adapters.migrations import upgrade
    from gateway.app import create_app

    upgrade(open_engine(database_url))
    app = create_app(Settings(redis_url=redis_url, database_url=database_url))
    return {
        f"{method} {re.sub('<[^>]+>', '{id}', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1/") and not rule.rule.startswith(NOT_OPENAIS)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_the_table_names_what_is_served_and_nothing_else(redis_url: str, sqlite_url: str) -> None:
    named = {route for row in table.ROWS for route in row.routes}
    assert named == served_routes(redis_url, sqlite_url)


def test_the_table_is_what_the_tests_show(request: pytest.FixtureRequest) -> None:
    if writes_table(request.config):
        pytest.skip("the table is being written")
    # Each cell has a test of its own; all of them must pass.
    expected = table.rendered(table.all_cells())
    assert table.TABLE.read_text() == expected, "`make compatibility` writes it anew"


def test_a_cell_whose_test_did_not_pass_says_so() -> None:
    cells = table.all_cells()
    left_out = ("chat", "curl")
    text = table.rendered([cell for cell in cells if cell != left_out])
    (line,) = [line for line in text.splitlines() if line.startswith("| Chat |")]
    assert line.endswith("| yes | yes | yes | **no** |")
    assert text.count(table.NO) == 1
