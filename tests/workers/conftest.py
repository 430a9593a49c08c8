from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gateway.core.budgets import Budget
    from tests.adapters.redis_world import World


@pytest.fixture
def world(redis_url: str) -> Iterator[World]:
    """An empty deployment in Redis, its policy published."""
    from tests.adapters.redis_world import open_world

    opened = open_world(redis_url)
    yield opened
    opened.budgets.redis.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with the schema and nothing in it."""
    from tests.databases import open_migrated

    opened = open_migrated(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def budgets(world: World, engine: Engine) -> list[Budget]:
    """A day, a month and a total of one client, published."""
    from tests.workers.rebuilding import made_budgets

    return made_budgets(world, engine)
