"""kill -9 of the recorder while it writes: every event becomes exactly one row."""

from __future__ import annotations

import random
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
