"""Redis comes back empty or older under load: it is noticed, rebuilt, and no charge is missing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import MakeRig
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig
from tests.e2e.test_killed import Load, assert_all_recorded

LEASE_SECONDS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


def incremental_file(folder: Path) -> Path:
    """The append-only file that the server writes to."""
    (path,) = sorted(folder.rglob("*.incr.aof"))[-1:]
    return path


def kill_and_cut(server: EmbeddedRedis, folder: Path, share: float) -> None:
    """A power loss: the server is gone, and so is the end of what it had written."""
    pid = server.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 10, "the server to be gone")
    path = incremental_file(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def wiped(rig: Rig, _server: EmbeddedRedis, _folder: Path) -> None:
    rig.redis().flushall()


def emptied(_rig: Rig, server: EmbeddedRedis, folder: Path) -> None:
    kill_and_cut(server, folder, 0.0)
    server.ensure_running()


def older(_rig: Rig, server: EmbeddedRedis, folder: Path) -> None:
    kill_and_cut(server, folder, 0.6)
    server.ensure_running()


def dead_as_well(rig: Rig, server: EmbeddedRedis, folder: Path) -> None:
    """The gateways lose their memory with Redis: all of one machine loses power."""
    rig.gateway.kill_group()
    kill_and_cut(server, folder, 0.6)
    server.ensure_running()
    rig.restart_gateway()


Fault = Callable[[Rig, EmbeddedRedis, Path], None]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("intents", "fault"),
    [
        ("redis", wiped),
        ("redis", emptied),
        ("redis", older),
        ("sql", wiped),
        ("sql", older),
        ("sql", dead_as_well),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_redis_that_lost_something_under_load(
    make_own_rig: MakeRig, server: EmbeddedRedis, tmp_path: Path, intents: str, fault: Fault
) -> None:
    rig = make_own_rig(
        server.url,
        hold_lease_seconds=LEASE_SECONDS,
        redis_timeout_seconds=1,
        intents=intents,
    )
    tenant = rig.tenant(10**12)
    load = Load(rig, tenant)
    load.start()
    epochs = [rig.budgets.state().epoch]
    for _ in range(2):
        rig.provider.serve_some(60)
        fault(rig, server, tmp_path / "redis")
        until(
            lambda: (state := rig.budgets.state()).admits and state.epoch > epochs[-1],
            30,
            "the counters to be rebuilt",
        )
        epochs.append(rig.budgets.state().epoch)
    rig.provider.serve_some(60)
    load.end()
    rig.drain(LEASE_SECONDS + 30)
    found, audited = assert_all_recorded(rig), rig.audit()
    report(
        f"Redis {fault.__name__}, intents in {intents}: {found['charges']} charged,"
        f" {found['exact']} exact, {found['labelled']} labelled, 0 missing;"
        f" {audited['records']} rows; epochs {epochs}"
    )
    assert found["exact"] > 0
