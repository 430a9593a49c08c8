"""Fine-tuning jobs and their models: permitted, bounded, charged exactly, and owned."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.core.policy import Sharing
from tests.e2e.jsonl import examples, lines, preference
from tests.e2e.money import billed_nano
from tests.e2e.provider import until
from tests.e2e.rig import Recorded, Rig, Tenant
from tests.e2e.traffic import question, sim

BASE = "gpt-4o-mini-2024-07-18"
ENDED = ("succeeded", "failed", "cancelled")
PATIENCE = 30.0


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12, may_fine_tune=True)


def training_file(sdk: OpenAI, content: bytes) -> str:
    """The id of an uploaded training file."""
    return sdk.files.create(file=("train.jsonl", content), purpose="fine-tune").id


def begin(
    sdk: OpenAI, content: bytes | None = None, *, job_ms: int = 300, **rest: Any
) -> tuple[str, str]:
    """The ids of a new job and of the request that began it."""
    file_id = training_file(sdk, content or examples(10))
    made = sdk.fine_tuning.jobs.with_raw_response.create(
        **{"model": BASE, "training_file": file_id, **rest}, extra_headers=sim(job_ms=job_ms)
    )
    return made.parse().id, made.headers["x-faregate-request-id"]


def ended(sdk: OpenAI, job_id: str) -> Any:
    """The job once it has ended."""

    def asked() -> Any:
        job = sdk.fine_tuning.jobs.retrieve(job_id)
        return job if job.status in ENDED else None

    return until(asked, PATIENCE, f"{job_id} to end")


def assert_billed_exactly(rig: Rig, request_id: str) -> Recorded:
    """The record of a job costs what the provider charged for its training."""
    record = rig.record(request_id)
    rig.provider.quiet()
    charges = rig.provider.charges().get(request_id, [])
    assert record.cost_nano == billed_nano(charges)
    assert record.certainty == "exact"
    assert record.cost_nano <= record.rows[0].hold_nano, "the hold was overrun"
    return record


@pytest.fixture(scope="module")
def tuned(rig: Rig, tenant: Tenant) -> Any:
    """A job that has succeeded, and its record."""
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, suffix="mine")
        return ended(sdk, job_id), assert_billed_exactly(rig, request_id)


# What is charged


def test_a_job_costs_its_trained_tokens(tuned: Any) -> None:
    job, record = tuned
    assert job.status == "succeeded"
    assert record.cost_nano == job.trained_tokens * 3_000
    row = record.rows[0]
    assert (row.endpoint, row.model, row.trained_tokens) == (
        "fine_tuning/jobs",
        BASE,
        job.trained_tokens,
    )
    # Ten examples are trained on ten times by the Cookbook's rule: held, written, and done.
    assert job.hyperparameters.n_epochs == 10
    assert job.method.supervised.hyperparameters.n_epochs == 10


@pytest.mark.parametrize(
    "wish",
    [
        {"hyperparameters": {"n_epochs": 2}},
        {"hyperparameters": {"n_epochs": "auto", "batch_size": 1}},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}}},
        {"method": {"type": "supervised"}},
    ],
)
def test_epochs_are_what_was_asked_or_the_published_rule(
    rig: Rig, tenant: Tenant, wish: dict[str, Any]
) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, examples(12), **wish)
        job = ended(sdk, job_id)
    given = wish.get("hyperparameters") or wish["method"].get("supervised", {}).get(
        "hyperparameters", {}
    )
    epochs = given.get("n_epochs", "auto")
    assert job.hyperparameters.n_epochs == (8 if epochs == "auto" else epochs)
    assert_billed_exactly(rig, request_id)


def test_preferences_are_billed_exactly_too(rig: Rig, tenant: Tenant) -> None:
    content = lines(*(preference(number) for number in range(10)))
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, content, method={"type": "dpo"})
        assert ended(sdk, job_id).status == "succeeded"
    assert assert_billed_exactly(rig, request_id).cost_nano > 0


def test_a_cancelled_job_is_charged_for_what_it_has_trained(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, job_ms=30_000)

        def training() -> bool:
            events = sdk.fine_tuning.jobs.list_events(job_id)
            return any(event.type == "metrics" for event in events)

        until(training, PATIENCE, "training to begin")
        sdk.fine_tuning.jobs.cancel(job_id)
        job = ended(sdk, job_id)
    assert job.status == "cancelled"
    record = assert_billed_exactly(rig, request_id)
    assert 0 < record.cost_nano < record.rows[0].hold_nano
    assert record.cost_nano == job.trained_tokens * 3_000


def test_a_job_cancelled_before_it_says_anything_is_charged_and_marked(
    rig: Rig, tenant: Tenant
) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, job_ms=30_000)
        sdk.fine_tuning.jobs.cancel(job_id)
        assert ended(sdk, job_id).trained_tokens is None
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (record.rows[0].hold_nano, "estimated")


def test_a_job_that_fails_before_it_trains_costs_nothing(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, examples(9))
        assert ended(sdk, job_id).status == "failed"
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (0, "exact")


def test_a_job_pauses_and_goes_on(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, request_id = begin(sdk, job_ms=2_000)
        jobs = sdk.fine_tuning.jobs
        until(lambda: jobs.retrieve(job_id).status == "running", PATIENCE, "training to begin")
        assert jobs.pause(job_id).status == "queued"
        assert jobs.resume(job_id).status == "running"
        assert ended(sdk, job_id).status == "succeeded"
    assert_billed_exactly(rig, request_id)


# What is refused


def test_without_permission_no_job_begins(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk, pytest.raises(openai.PermissionDeniedError) as refused:
        begin(sdk)
    assert f"faregate client set {tenant.name} --fine-tuning" in refused.value.message


def test_a_job_beyond_the_budget_is_refused(rig: Rig) -> None:
    tenant = rig.tenant(100_000, may_fine_tune=True)
    with tenant.caller.sdk() as sdk, pytest.raises(openai.RateLimitError) as refused:
        begin(sdk)
    assert refused.value.code == "insufficient_quota"
    assert rig.counters(tenant.budget) == {"spent": 0, "held": 0}


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"model": "o4-mini-2025-04-16"}, "model"),
        ({"model": "gpt-5"}, "model"),
    ],
)
def test_what_cannot_be_bounded_is_refused(
    tenant: Tenant, wish: dict[str, Any], param: str
) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        begin(sdk, **wish)
    assert refused.value.param == param


def test_an_example_that_cannot_be_counted_is_named(tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError, match="Line 3 "):
        begin(sdk, examples(2) + lines({"messages": "none"}))


# Whose it is


def test_the_models_and_files_of_a_job_are_its_owners_alone(
    rig: Rig, tenant: Tenant, tuned: Any
) -> None:
    job, _ = tuned
    stranger = rig.tenant(10**12, may_fine_tune=True)
    name = job.fine_tuned_model
    with tenant.caller.sdk() as sdk, stranger.caller.sdk() as other:
        checkpoints = sdk.fine_tuning.jobs.checkpoints.list(job.id).data
        assert len(checkpoints) == 3
        mine = {name, *(one.fine_tuned_model_checkpoint for one in checkpoints)}
        assert mine <= {model.id for model in sdk.models.list()}
        assert sdk.files.content(job.result_files[0]).text.startswith("step,")
        for model in mine:
            raw = sdk.chat.completions.with_raw_response.create(**question(model=model))
            request_id = raw.headers["x-faregate-request-id"]
            record = rig.record(request_id)
            assert (record.cost_nano, record.certainty) == (rig.truth_nano(request_id), "exact")
            assert sdk.models.retrieve(model).id == model
            _assert_unknown(other, model)
        assert not any(model.id.startswith("ft:") for model in other.models.list())
        for ask in (
            other.fine_tuning.jobs.retrieve,
            other.fine_tuning.jobs.cancel,
            other.fine_tuning.jobs.pause,
            other.fine_tuning.jobs.resume,
            other.fine_tuning.jobs.list_events,
            other.fine_tuning.jobs.checkpoints.list,
        ):
            with pytest.raises(openai.NotFoundError):
                ask(job.id)
        assert other.fine_tuning.jobs.list().data == []
        with pytest.raises(openai.NotFoundError):
            other.files.content(job.result_files[0])
        with pytest.raises(openai.NotFoundError):
            other.files.content(job.training_file)
        for field in ("training_file", "validation_file"):
            with pytest.raises(openai.NotFoundError) as refused:
                begin(other, **{field: job.training_file})
            assert refused.value.param == field


def _assert_unknown(sdk: OpenAI, model: str) -> None:
    """Every way to name a model gives the answer that one which does not exist gives."""
    nothing = "ft:gpt-4o-mini-2024-07-18:nobody::none"
    ways: list[Any] = [
        lambda name: sdk.chat.completions.create(**question(model=name)),
        lambda name: sdk.models.retrieve(name),
        lambda name: sdk.models.delete(name),
        lambda name: begin(sdk, model=name),
    ]
    for way in ways:
        with pytest.raises(openai.NotFoundError) as about_foreign:
            way(model)
        with pytest.raises(openai.NotFoundError) as about_nothing:
            way(nothing)
        assert about_foreign.value.code == "model_not_found"
        assert str(about_foreign.value.body) == str(about_nothing.value.body).replace(
            nothing, model
        )


def test_a_model_trained_before_can_be_trained_further(
    rig: Rig, tenant: Tenant, tuned: Any
) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        begin(sdk, model=tuned[0].fine_tuned_model)
    # By the provider: the simulated one trains dated models alone. Nothing stays held.
    assert "not available for fine-tuning" in refused.value.message
    rig.drain()
    assert rig.counters(tenant.budget)["held"] == 0


def test_a_model_can_be_deleted_by_its_owner(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        job_id, _ = begin(sdk, hyperparameters={"n_epochs": 1})
        name = ended(sdk, job_id).fine_tuned_model
        assert sdk.chat.completions.create(**question(model=name)).choices
        assert sdk.models.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(**question(model=name))
        assert name not in [model.id for model in sdk.models.list()]
        with pytest.raises(openai.NotFoundError):
            sdk.models.delete("gpt-4o-mini")


def test_jobs_are_listed_and_filtered(rig: Rig) -> None:
    tenant = rig.tenant(10**12, may_fine_tune=True)
    with tenant.caller.sdk() as sdk:
        first, _ = begin(sdk, metadata={"kind": "a"})
        second, _ = begin(sdk)
        ended(sdk, second)
        rig.drain()
        jobs = sdk.fine_tuning.jobs
        assert {job.id for job in jobs.list()} == {first, second}
        assert [job.id for job in jobs.list(metadata={"kind": "a"})] == [first]
        assert jobs.list(metadata={"kind": "b"}).data == []
        bare = jobs.list(extra_query={"metadata": "null"})
        assert [job.id for job in bare] == [second]
        assert all(job.status == "succeeded" for job in jobs.list())


def test_a_team_shares_its_models(rig: Rig) -> None:
    tenant = rig.tenant(10**12, may_fine_tune=True)
    mate = rig.mate(tenant)
    rig.share(tenant, Sharing.TEAM)
    with tenant.caller.sdk() as sdk, mate.caller.sdk() as other:
        job_id, _ = begin(sdk)
        until(lambda: other.fine_tuning.jobs.list().data, 10, "the team to share")
        # The mate is the first to learn of the model; it stays the other's all the same.
        name = ended(other, job_id).fine_tuned_model
        assert other.chat.completions.create(**question(model=name)).choices
        rig.share(tenant, Sharing.CLIENT)
        assert sdk.chat.completions.create(**question(model=name)).choices
        with pytest.raises(openai.NotFoundError):
            other.chat.completions.create(**question(model=name))
