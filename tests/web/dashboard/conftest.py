"""A deployment whose pages a browser without scripts looks at, over either database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.dashboard.visitor import Site


@pytest.fixture
def site(redis_url: str, sqlite_url: str) -> Iterator[Site]:
    """A deployment with two teams, over SQLite."""
    from tests.web.dashboard.visitor import open_site

    opened = open_site(redis_url, sqlite_url)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def any_site(redis_url: str, database_url: str) -> Iterator[Site]:
    """The same, over SQLite and over PostgreSQL."""
    from tests.web.dashboard.visitor import open_site

    opened = open_site(redis_url, database_url)
    yield opened
    opened.engine.dispose()
