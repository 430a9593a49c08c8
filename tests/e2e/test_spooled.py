"""Gateways that are killed when Redis is away: what they told their clients is what is recorded."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import MakeRig
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig
from tests.e2e.test_killed import assert_all_recorded
from tests.e2e.traffic import Reply

CALLERS = 12
LEASE_SECONDS = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


def spooled(rig: Rig) -> int:
    """Lines in the spools of all workers."""
    return sum(path.read_bytes().count(b"\n") for path in (rig.folder / "spool").glob("*.spool"))


def answered_while_redis_is_away(rig: Rig, server: EmbeddedRedis) -> tuple[list[Reply], str]:
    """Requests that are at the provider when Redis dies, and are answered without it."""
    tenant = rig.tenant(10**12)
    assert tenant.budget is not None
    caller, replies = rig.again(tenant), []

    def ask(number: int) -> None:
        directed = {"latency_ms": 1500 + 50 * number}
        replies.append(caller.chat(directed=directed, max_completion_tokens=100))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    until(lambda: rig.redis().zcard(rig.keys.holds) == CALLERS, 20, "all holds to be placed")
    os.kill(server.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert [reply.status for reply in replies] == [200] * CALLERS
    return replies, tenant.budget


def check_all_exact(rig: Rig, replies: list[Reply], budget: str) -> int:
    rig.drain(LEASE_SECONDS + 40)
    found, records = assert_all_recorded(rig), rig.records()
    assert {records[reply.request_id].certainty for reply in replies} == {"exact"}
    assert rig.counters(budget)["held"] == 0
    assert rig.counters(budget)["spent"] == sum(record.cost_nano for record in records.values())
    rig.audit()
    until(lambda: spooled(rig) == 0, 20, "the spools to be emptied")
    return found["charges"]


@pytest.mark.timeout(120)
def test_redis_comes_back(make_own_rig: MakeRig, server: EmbeddedRedis) -> None:
    rig = make_own_rig(server.url, hold_lease_seconds=30, redis_timeout_seconds=0.5)
    replies, budget = answered_while_redis_is_away(rig, server)
    assert spooled(rig) == CALLERS
    server.ensure_running()
    charges = check_all_exact(rig, replies, budget)
    report(f"{charges} answered while Redis was away: all exact")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("expired", [False, True], ids=["at once", "after the leases"])
def test_all_gateways_are_killed_as_well(
    make_own_rig: MakeRig, server: EmbeddedRedis, expired: bool
) -> None:
    """Started again at once, or so late that their holds were charged as unknown before."""
    lease_seconds = LEASE_SECONDS if expired else 120
    rig = make_own_rig(server.url, hold_lease_seconds=lease_seconds, redis_timeout_seconds=0.5)
    replies, budget = answered_while_redis_is_away(rig, server)
    rig.gateway.kill_group()
    assert spooled(rig) == CALLERS
    server.ensure_running()
    if expired:
        rig.drain(LEASE_SECONDS + 40)
        records = rig.records()
        assert {records[reply.request_id].certainty for reply in replies} == {"unknown"}
    rig.restart_gateway()
    if expired:
        until(lambda: spooled(rig) == 0, 30, "the spools to be brought")
    charges = check_all_exact(rig, replies, budget)
    kinds = [row.kind for record in rig.records().values() for row in record.rows]
    assert kinds.count("correction") == (charges if expired else 0)
    report(f"{charges} answered while Redis was away, then all gateways killed: all exact")
