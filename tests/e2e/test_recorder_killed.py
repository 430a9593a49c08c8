"""kill -9 of the recorder while it writes: every event becomes exactly one row."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from functools import partial

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig
from tests.e2e.test_killed import Load, assert_all_recorded

KILLS = 3


def _has_recorded(rig: Rig, wanted: int) -> bool:
    return rig.rows() >= wanted


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_9_of_the_recorder_under_load(
    make_own_rig: MakeRig, shared_redis_url: str, request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    chance = random.Random(kind)
    # Small batches, so that a kill can fall between any two steps of many of them.
    rig = make_own_rig(shared_redis_url, database_url=url, recorder="process", recorder_batch=5)
    load = Load(rig, rig.tenant(10**12))
    load.start(2)
    for _ in range(KILLS):
        wanted = rig.rows() + chance.randint(1, 15)
        until(partial(_has_recorded, rig, wanted), 30, "some records")
        assert rig.recorder is not None
        rig.recorder.kill_group()
        rig.start_recorder()
    load.end()
    rig.provider.quiet()
    until(lambda: rig.redis().zcard(rig.keys.holds) == 0, 30, "holds to be settled")
    # Its last life may not take over at once what an earlier one had read.
    rig.finish_recording()
    audited, found = rig.audit(), assert_all_recorded(rig)
    report(f"{kind}: {KILLS} kills, {found['charges']} charges, {audited['records']} rows")
    assert found["exact"] == found["charges"] == audited["records"]


def test_budgets_are_freed_of_the_dead_while_no_recorder_runs(make_rig: MakeRig) -> None:
    rig = make_rig(recorder="none", workers=1, hold_lease_seconds=0.5)
    tenant = rig.tenant(10**9)

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            tenant.caller.chat(directed={"fault": "hang"}, max_completion_tokens=50)

    client = threading.Thread(target=ask)
    client.start()
    until(lambda: rig.counters(tenant.budget)["held"], 20, "a hold")
    rig.gateway.kill_group()
    client.join(20)
    rig.restart_gateway()
    until(lambda: not rig.counters(tenant.budget)["held"], 20, "the hold to expire")
    assert rig.counters(tenant.budget)["spent"] > 0
