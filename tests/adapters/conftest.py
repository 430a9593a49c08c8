from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ssl import SSLContext

    from sqlalchemy import Engine

    from tests.adapters.provider_socket import Play, SocketProvider
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
def serve() -> Iterator[Callable[..., SocketProvider]]:
    """Makes providers of bare sockets, gone when the test is over."""
    from tests.adapters.provider_socket import SocketProvider

    with ExitStack() as opened:

        def make(*plays: Play, tls: SSLContext | None = None) -> SocketProvider:
            return opened.enter_context(SocketProvider(*plays, tls=tls))

        yield make
