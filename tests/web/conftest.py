from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask

    from tests.web.control import Control
    from tests.web.oidc_provider import Provider


@pytest.fixture
def make_app(redis_url: str, sqlite_url: str) -> Callable[[], Flask]:
    """Makes the gateway's application over empty stores."""
    from gateway.app import create_app
    from gateway.settings import Settings
    from tests.databases import open_migrated

    open_migrated(sqlite_url)

    def make() -> Flask:
        return create_app(Settings(redis_url=redis_url, database_url=sqlite_url))

    return make


@pytest.fixture(scope="module")
def control(shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A deployment that the tests of one file share, each with people of its own."""
    from tests.web import control as made

    with made.control(tmp_path_factory.mktemp("control"), shared_redis_url) as found:
        yield found


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    """An identity provider; tests use ``provider``."""
    from tests.web.oidc_provider import running_provider

    with running_provider() as found:
        yield found


@pytest.fixture
def provider(shared_provider: Provider) -> Iterator[Provider]:
    """The identity provider, which says what is so again after the test."""
    before = dict(vars(shared_provider))
    yield shared_provider
    vars(shared_provider).update(before)
    shared_provider.asked.clear()


@pytest.fixture(scope="module")
def oidc_control(
    shared_provider: Provider, shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Control]:
    """A deployment whose people sign in by the provider."""
    from tests.web import control as made

    folder = tmp_path_factory.mktemp("control")
    with made.control(folder, shared_redis_url, **shared_provider.settings()) as found:
        yield found
