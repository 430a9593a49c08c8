"""Redis or SQL away for a while, under load: nothing is lost, and nothing counted twice.

``FAREGATE_SQL_LOCK_SECONDS`` sets for how long SQL is locked (default 3).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import MakeRig
from tests.e2e.locks import locked
from tests.e2e.provider import SimulatedProvider, report, until
from tests.e2e.rig import Rig, running
from tests.e2e.test_killed import Load, assert_all_recorded

LOCK_SECONDS = float(os.environ.get("FAREGATE_SQL_LOCK_SECONDS", "3"))
PAUSE_SECONDS = 5.0


@pytest.fixture(scope="module")
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis of these tests, which keeps every change through a kill."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def durable_rig(
    durable_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """A deployment on it, impatient with it, and with a simulator of its own."""
    provider = SimulatedProvider(tmp_path_factory.mktemp("provider"))
    folder = tmp_path_factory.mktemp("rig")
    url = durable_redis.url
    with running(Rig(folder, provider, url, hold_lease_seconds=20, redis_timeout_seconds=1)) as rig:
        yield rig
    provider.process.kill_group()


def _finish(rig: Rig, load: Load, what: str) -> None:
    load.end()
    rig.drain(40)
    found, audited = assert_all_recorded(rig), rig.audit()
    report(
        f"{what}: {found['charges']} charged, {found['exact']} exact, {found['labelled']}"
        f" labelled, 0 missing, {audited['records']} rows"
    )
    assert found["charges"] == found["exact"] + found["labelled"]


def test_redis_paused_longer_than_its_timeout(
    durable_rig: Rig, durable_redis: EmbeddedRedis
) -> None:
    """Calls time out while Redis may yet run them: none may count twice."""
    rig = durable_rig
    load = Load(rig, rig.tenant(10**12))
    load.start()
    rig.provider.serve_some(40)
    pid = durable_redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        reply = rig.again(load.tenant).chat()
        assert reply.status == 503
        assert reply.headers["retry-after"]
        assert reply.error["code"] == "store_unavailable"
        time.sleep(max(0.0, PAUSE_SECONDS - (time.monotonic() - stopped)))
    finally:
        os.kill(pid, signal.SIGCONT)
    rig.provider.serve_some(40)
    _finish(rig, load, f"Redis paused for {PAUSE_SECONDS:g} s")
    assert {record.certainty for record in rig.records().values()} == {"exact"}


def test_redis_killed_and_started_again(durable_rig: Rig, durable_redis: EmbeddedRedis) -> None:
    rig = durable_rig
    load = Load(rig, rig.tenant(10**12))
    load.start()
    for _ in range(2):
        rig.provider.serve_some(40)
        os.kill(durable_redis.pid, signal.SIGKILL)
        until(lambda: rig.again(load.tenant).chat().status == 503, 10, "a refusal")
        assert rig.again(load.tenant).get("/readyz").status == 503
        assert rig.again(load.tenant).get("/healthz").status == 200
        durable_redis.ensure_running()
        until(lambda: rig.again(load.tenant).chat().status == 200, 10, "service again")
    rig.provider.serve_some(40)
    _finish(rig, load, "Redis killed twice")


@pytest.mark.timeout(120 + LOCK_SECONDS)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_sql_locked_under_load(
    make_own_rig: MakeRig, shared_redis_url: str, request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    rig = make_own_rig(shared_redis_url, database_url=url)
    load = Load(rig, rig.tenant(10**12))
    load.start(6)
    rig.provider.serve_some(20)
    with locked(rig, "usage_records, hourly_usage"):
        since = time.monotonic()
        waiting = rig.redis().xlen(rig.keys.events)
        # Requests go on being served the whole time, and their events wait in Redis.
        while time.monotonic() - since < LOCK_SECONDS:
            rig.provider.serve_some(10)
        assert rig.redis().xlen(rig.keys.events) >= waiting + 10
        assert rig.again(load.tenant).get("/readyz").status == 200
    rig.provider.serve_some(10)
    _finish(rig, load, f"{kind} locked for {LOCK_SECONDS:g} s")
    records = rig.records()
    assert {record.certainty for record in records.values()} == {"exact"}
