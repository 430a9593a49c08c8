"""kill -9 while a batch or a job runs: it is settled all the same, exactly and once."""

from __future__ import annotations

from tests.e2e import test_fine_tuning as jobs
from tests.e2e.conftest import MakeRig
from tests.e2e.jsonl import chat_lines
from tests.e2e.money import billed_nano
from tests.e2e.provider import until
from tests.e2e.rig import Rig
from tests.e2e.test_batches import begin, ended

RUNS_MS = 1_500


def _has_run(rig: Rig, request_id: str, charges: int) -> bool:
    return len(rig.provider.charges().get(request_id, ())) >= charges


def _assert_settled(rig: Rig, request_id: str) -> None:
    until(lambda: rig.redis().zcard(rig.keys.holds) == 0, 30, "the hold to be settled")
    # A recorder may not take over at once what a killed one had read.
    rig.finish_recording()
    rig.provider.quiet()
    record = rig.records()[request_id]
    charges = rig.provider.charges()[request_id]
    assert (record.cost_nano, record.certainty) == (billed_nano(charges), "exact")
    assert len(record.rows) == 1
    rig.audit()


def test_the_recorder_is_killed_while_a_batch_runs(
    make_own_rig: MakeRig, shared_redis_url: str, postgres_url: str
) -> None:
    rig = make_own_rig(
        shared_redis_url, database_url=postgres_url, recorder="process", follow_seconds=0.1
    )
    tenant = rig.tenant(10**12)
    assert rig.recorder is not None
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, chat_lines(12), batch_ms=RUNS_MS)
        until(lambda: _has_run(rig, request_id, 2), 30, "lines to run")
        rig.recorder.kill_group()
        # Clients read on while nobody records.
        batch = ended(sdk, batch_id)
        assert sdk.files.content(batch.output_file_id or "").text.count("\n") == 12
        assert rig.counters(tenant.budget)["held"] > 0
        rig.start_recorder()
        _assert_settled(rig, request_id)
    assert rig.counters(tenant.budget)["held"] == 0


def test_the_recorder_is_killed_again_and_again(
    make_own_rig: MakeRig, shared_redis_url: str
) -> None:
    rig = make_own_rig(shared_redis_url, recorder="process", follow_seconds=0.05)
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk:
        begun = [begin(sdk, chat_lines(4), batch_ms=200 * number) for number in range(1, 9)]
        for batch_id, _ in begun[::2]:
            ended(sdk, batch_id)
            assert rig.recorder is not None
            rig.recorder.kill_group()
            rig.start_recorder()
        for _, request_id in begun:
            _assert_settled(rig, request_id)


def test_the_gateway_is_killed_while_a_batch_and_a_job_run(
    make_own_rig: MakeRig, shared_redis_url: str
) -> None:
    rig = make_own_rig(shared_redis_url, hold_lease_seconds=1)
    tenant = rig.tenant(10**12, may_fine_tune=True)
    with tenant.caller.sdk() as sdk:
        batch_id, of_batch = begin(sdk, chat_lines(12), batch_ms=RUNS_MS)
        job_id, of_job = jobs.begin(sdk, job_ms=RUNS_MS)
    rig.gateway.kill_group()
    rig.restart_gateway()
    with rig.again(tenant).sdk() as sdk:
        assert ended(sdk, batch_id).status == "completed"
        assert jobs.ended(sdk, job_id).status == "succeeded"
    for request_id in (of_batch, of_job):
        _assert_settled(rig, request_id)
