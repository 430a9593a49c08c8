"""Rigs of the end-to-end tests' own; the plain one, which others use too, is in the outer file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.bypasses import every_dollar_is_recorded
from tests.e2e.provider import SimulatedProvider
from tests.e2e.rig import Rig, Tenant

MakeRig = Callable[..., Rig]


@pytest.fixture(scope="session")
def impatient_rig(long_lived_rig: MakeRig) -> Rig:
    """A deployment that waits for nothing: short timeouts, short drains, quick heartbeats."""
    return long_lived_rig(
        workers=1,
        upstream_read_timeout_seconds=1.2,
        upstream_connect_timeout_seconds=0.6,
        drain_seconds=0.2,
        heartbeat_seconds=0.1,
        body_bytes_max=100_000,
    )


@pytest.fixture
def make_rig(
    provider: SimulatedProvider, shared_redis_url: str, tmp_path: Path
) -> Iterator[MakeRig]:
    """Makes deployments that end with the test."""
    with contextlib.ExitStack() as stack:

        def make(redis_url: str | None = None, **settings: object) -> Rig:
            folder = tmp_path / f"rig-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            found = Rig(folder, provider, redis_url or shared_redis_url, **settings)  # type: ignore[arg-type]
            stack.callback(found.close)
            return found

        yield make


@pytest.fixture(scope="session")
def junk_tenant(plain_rig: Rig) -> Tenant:
    """The client that sends whatever comes to mind."""
    return plain_rig.tenant(10**12)


@pytest.fixture
def make_own_rig(tmp_path: Path) -> Iterator[MakeRig]:
    """Makes deployments with a simulator of their own, so that its whole log is theirs."""
    with contextlib.ExitStack() as stack:

        def make(redis_url: str, **settings: object) -> Rig:
            number = len(list(tmp_path.iterdir()))
            folder, apart = tmp_path / f"rig-{number}", tmp_path / f"provider-{number}"
            folder.mkdir()
            apart.mkdir()
            own = SimulatedProvider(apart)
            stack.callback(own.process.kill_group)
            found = Rig(folder, own, redis_url, **settings)  # type: ignore[arg-type]
            stack.callback(found.close)
            return found

        yield make


@pytest.fixture(scope="session")
def apart_rig(tmp_path_factory: pytest.TempPathFactory, shared_redis_url: str) -> Iterator[Rig]:
    """A long-lived deployment with a simulator of its own, so that its whole log is theirs.

    What was spent is held against that log when the last test has ended.
    """
    apart = SimulatedProvider(tmp_path_factory.mktemp("provider"))
    with contextlib.ExitStack() as stack:
        stack.callback(apart.process.kill_group)
        found = Rig(tmp_path_factory.mktemp("rig"), apart, shared_redis_url, workers=1)
        stack.callback(found.close)
        yield found
        every_dollar_is_recorded(found)
