"""Fixtures that every test can use: real stores, empty for each test.

Imports stand inside the fixtures, so that collecting tests starts nothing and stays quick.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.provider import SimulatedProvider
    from tests.e2e.rig import Rig
    from tests.stores import PostgresServer


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """A Redis server of this test process, shared by its tests; ``redis_url`` empties it."""
    from tests.stores import temporary_redis

    with temporary_redis() as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The URL of an empty Redis."""
    import redis

    with redis.Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The SQLAlchemy URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'faregate.db'}"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run, shared by its test processes."""
    import os

    from tests.stores import shared_postgres

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"single-{os.getpid()}"
    with shared_postgres(run) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database, dropped after the test."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The SQLAlchemy URL of an empty database; the test runs once for each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port that nothing listens on."""
    from tests.processes import find_free_port

    return find_free_port()


# The whole gateway in processes of its own. One simulator and one plain rig serve a whole test
# process.


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedProvider]:
    """A simulator shared by all rigs of this test process."""
    from tests.e2e.provider import SimulatedProvider

    found = SimulatedProvider(tmp_path_factory.mktemp("provider"))
    yield found
    found.process.kill_group()


@pytest.fixture(scope="session")
def shared_redis_url() -> Iterator[str]:
    """A Redis that nobody empties: rigs that live long keep apart by their key prefixes."""
    from tests.stores import temporary_redis

    with temporary_redis() as url:
        yield url


@pytest.fixture(scope="session")
def long_lived_rig(
    provider: SimulatedProvider, shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Rig]]:
    """Makes deployments that end with the test process, one for each set of settings."""
    from tests.e2e.rig import Rig

    with contextlib.ExitStack() as stack:
        made: dict[str, Rig] = {}

        def make(**settings: object) -> Rig:
            name = repr(sorted(settings.items()))
            if name not in made:
                folder = tmp_path_factory.mktemp("rig")
                # Its recorder is a process: what other tests do to the modules of this one, such
                # as letting them die half-way, must not reach a deployment that lives on.
                own: dict[str, Any] = {"recorder": "process", "follow_seconds": 0.1, **settings}
                made[name] = Rig(folder, provider, shared_redis_url, **own)
                stack.callback(made[name].close)
            return made[name]

        yield make


@pytest.fixture(scope="session")
def plain_rig(long_lived_rig: Callable[..., Rig]) -> Rig:
    """Ends with the test process; tests use ``rig``."""
    return long_lived_rig()


@pytest.fixture(scope="module")
def rig(plain_rig: Rig) -> Rig:
    """The plain deployment: shared, so tests make tenants of their own."""
    plain_rig.check_alive()
    return plain_rig
