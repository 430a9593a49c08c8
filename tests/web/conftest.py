from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask


@pytest.fixture
def make_app(redis_url: str, sqlite_url: str) -> Callable[[], Flask]:
    """Makes the gateway's application over empty stores."""
    from gateway.adapters.database import open_engine
    from gateway.adapters.migrations import upgrade
    from gateway.app import create_app
    from gateway.settings import Settings

    upgrade(open_engine(sqlite_url))

    def make() -> Flask:
        return create_app(Settings(redis_url=redis_url, database_url=sqlite_url))

    return make
