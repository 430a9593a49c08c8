"""Redis away: who has an allowance is served out of it, and nothing is overspent or missing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import at_once

ALLOWANCE_NANO = 400_000
LIMIT_NANO = 2_000_000
LEASE_SECONDS = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def rig(make_own_rig: MakeRig, server: EmbeddedRedis) -> Rig:
    return make_own_rig(server.url, hold_lease_seconds=LEASE_SECONDS, redis_timeout_seconds=0.5)


def with_allowance(rig: Rig) -> Tenant:
    """A client whose allowance both workers have set aside."""
    tenant = rig.tenant(LIMIT_NANO, outage_allowance_nano=ALLOWANCE_NANO)
    until(
        lambda: rig.counters(tenant.budget)["held"] == 2 * ALLOWANCE_NANO,
        20,
        "the allowance to be set aside",
    )
    return tenant


def settled_again(rig: Rig, tenant: Tenant) -> None:
    """Wait until nothing is held but the allowances, and all that was charged is recorded."""
    rig.provider.quiet()

    def settled() -> bool:
        held = rig.counters(tenant.budget)["held"]
        recorded = rig.provider.charges().keys() <= rig.records().keys()
        return held == 2 * ALLOWANCE_NANO and rig.redis().xlen(rig.keys.events) == 0 and recorded

    until(settled, 40, "what was drawn to be settled, and set aside anew")


def check(rig: Rig, tenant: Tenant, answered: set[str]) -> int:
    """Every charge is recorded, exactly or above and labelled; returns what was charged."""
    rig.provider.quiet()
    records, charges = rig.records(), rig.provider.charges()
    assert answered <= charges.keys()
    truth = 0
    for request_id, (charge,) in charges.items():
        record = records[request_id]
        truth += cost_nano(charge)
        if record.certainty == "exact":
            assert record.cost_nano == cost_nano(charge)
        else:
            assert record.cost_nano >= cost_nano(charge)
        if request_id in answered:
            assert record.certainty == "exact", request_id
    spent = rig.counters(tenant.budget)["spent"]
    assert spent == sum(record.cost_nano for record in records.values())
    assert spent <= LIMIT_NANO
    return truth


def outage(rig: Rig, tenant: Tenant) -> set[str]:
    """More requests than the allowances pay for; returns the ids of those that were served."""
    caller = rig.again(tenant)
    replies = at_once(40, lambda _: caller.chat(max_completion_tokens=100), threads=8)
    statuses = {reply.status for reply in replies}
    assert statuses == {200, 503}
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.error["code"] == "store_unavailable"
    stranger = rig.again(rig.stranger)  # type: ignore[attr-defined]
    assert stranger.chat().status == 503, "who has no allowance is not served"
    return {reply.request_id for reply in replies if reply.status == 200}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["paused", "killed"])
def test_allowances_are_spent_while_redis_is_away(
    rig: Rig, server: EmbeddedRedis, how: str
) -> None:
    tenant = with_allowance(rig)
    rig.stranger = rig.tenant(LIMIT_NANO)  # type: ignore[attr-defined]
    before = {rig.again(tenant).chat(max_completion_tokens=20).request_id for _ in range(3)}
    pid = server.pid
    os.kill(pid, signal.SIGSTOP if how == "paused" else signal.SIGKILL)
    served = outage(rig, tenant)
    assert served
    if how == "paused":
        os.kill(pid, signal.SIGCONT)
    else:
        server.ensure_running()
    settled_again(rig, tenant)
    after = {rig.again(tenant).chat(max_completion_tokens=20).request_id for _ in range(3)}
    settled_again(rig, tenant)
    truth = check(rig, tenant, before | served | after)
    report(f"Redis {how}: {len(served)} of 40 served out of the allowance, {truth} nano charged")


@pytest.mark.timeout(120)
def test_workers_killed_in_an_outage_lose_nothing(rig: Rig, server: EmbeddedRedis) -> None:
    tenant = with_allowance(rig)
    rig.stranger = rig.tenant(LIMIT_NANO)  # type: ignore[attr-defined]
    os.kill(server.pid, signal.SIGKILL)
    served = outage(rig, tenant)
    rig.gateway.kill_group()
    server.ensure_running()
    rig.restart_gateway()
    settled_again(rig, tenant)
    truth = check(rig, tenant, served)
    assert list((rig.folder / "spool").glob("*.spool")), "the new workers have files of their own"
    report(f"{len(served)} served in an outage, then killed: all exact, {truth} nano charged")
