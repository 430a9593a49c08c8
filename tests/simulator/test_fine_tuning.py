from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.blobs import Blob
from gateway.simulator.faults import Fault
from gateway.simulator.models import find_model
from gateway.simulator.training_data import read_training_data
from tests.simulator.conftest import Simulated, question
from tests.simulator.waiting import when

MODEL = "gpt-4o-mini-2024-07-18"
QUICK = {"x-sim-job-ms": "100"}
LONG = {"x-sim-job-ms": "60000"}
ENDS = ("succeeded", "failed", "cancelled")
EXAMPLES = 12


def _content(examples: int = EXAMPLES) -> bytes:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is left of budget {number}?"},
                {"role": "assistant", "content": f"{number} dollars."},
            ]
        }
        for number in range(examples)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def _file(client: OpenAI, content: bytes | None = None) -> str:
    given = _content() if content is None else content
    return client.files.create(file=("train.jsonl", given), purpose="fine-tune").id


def _start(
    client: OpenAI, headers: dict[str, str], file_id: str | None = None, **rest: Any
) -> tuple[FineTuningJob, str]:
    """A new job, and the id that its charge carries."""
    mark = uuid4().hex
    arguments: dict[str, Any] = {"model": MODEL, "training_file": file_id or _file(client)}
    job = client.fine_tuning.jobs.create(
        **(arguments | rest), extra_headers={"x-client-request-id": mark, **headers}
    )
    return job, mark


def _when(client: OpenAI, job: FineTuningJob, *statuses: str) -> FineTuningJob:
    return when(
        lambda: client.fine_tuning.jobs.retrieve(job.id), lambda found: found.status in statuses
    )


def _tokens(tokenizer: Tokenizer) -> int:
    content = Blob(_content())
    return read_training_data(content, "supervised", find_model(MODEL), tokenizer).tokens


def test_a_job_trains_and_is_charged(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    job, mark = _start(
        client,
        QUICK,
        suffix="budget",
        seed=7,
        metadata={"a": "b"},
        validation_file=_file(client),
    )
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", MODEL)
    assert job.id.startswith("ftjob-")
    assert (job.trained_tokens, job.fine_tuned_model, job.finished_at) == (None, None, None)
    assert job.hyperparameters.n_epochs == "auto"
    done = _when(client, job, *ENDS)
    assert done.status == "succeeded"
    epochs = 100 // EXAMPLES
    assert done.hyperparameters.n_epochs == epochs
    assert done.method is not None
    assert done.method.supervised is not None
    assert done.method.supervised.hyperparameters is not None
    assert done.method.supervised.hyperparameters.n_epochs == epochs
    assert done.trained_tokens == epochs * _tokens(tokenizer)
    assert done.finished_at
    assert (done.seed, done.metadata) == (7, {"a": "b"})
    assert done.fine_tuned_model is not None
    assert done.fine_tuned_model.startswith(f"ft:{MODEL}:simulated:budget:")
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.endpoint, charge.model) == ("fine_tuning/jobs", MODEL)
    assert charge.units == {"trained_tokens": done.trained_tokens}
    assert charge.finished
    (results,) = done.result_files
    assert client.files.retrieve(results).purpose == "fine-tune-results"
    header, *rows = client.files.content(results).text.splitlines()
    assert header.startswith("step,train_loss,train_accuracy,valid_loss")
    assert len(rows) == EXAMPLES * epochs


def test_what_was_trained_works_like_its_base(simulated: Simulated, client: OpenAI) -> None:
    job, _ = _start(client, QUICK)
    done = _when(client, job, *ENDS)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    names = [checkpoint.fine_tuned_model_checkpoint for checkpoint in checkpoints]
    assert len(names) == 3
    assert names[0] == done.fine_tuned_model
    assert names[1] == f"{names[0]}:ckpt-step-{checkpoints[1].step_number}"
    assert {checkpoint.fine_tuning_job_id for checkpoint in checkpoints} == {job.id}
    listed = {model.id for model in client.models.list()}
    for name in names:
        response = client.chat.completions.with_raw_response.create(**question(model=name))
        assert response.parse().model == name
        charge = simulated.charge(response.headers["x-request-id"])
        assert (charge.model, charge.requested_model) == (name, name)
        assert client.models.retrieve(name).id == name
        assert name in listed
    for name in names:
        assert client.models.delete(name).deleted
        for gone in (client.models.retrieve, client.models.delete):
            with pytest.raises(openai.NotFoundError):
                gone(name)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**question(model=name))


def test_a_tuned_model_runs_in_a_batch(simulated: Simulated, client: OpenAI) -> None:
    job, _ = _start(client, QUICK)
    name = _when(client, job, *ENDS).fine_tuned_model
    url = "/v1/chat/completions"
    row = {"custom_id": "a", "method": "POST", "url": url, "body": question(model=name)}
    content = json.dumps(row).encode()
    file_id = client.files.create(file=("in.jsonl", content), purpose="batch").id
    mark = uuid4().hex
    batch = client.batches.create(
        input_file_id=file_id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers={"x-client-request-id": mark, "x-sim-batch-ms": "50"},
    )
    when(lambda: client.batches.retrieve(batch.id), lambda found: found.status == "completed")
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.model, charge.service_tier) == (name, "batch")


def test_models_of_the_provider_cannot_be_deleted(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("gpt-4o-mini")
    with pytest.raises(openai.NotFoundError):
        client.models.delete("gpt-99")


def test_a_cancelled_job_is_charged_for_its_share(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    job, mark = _start(client, {"x-sim-job-ms": "20000"}, hyperparameters={"n_epochs": 4})

    def metrics() -> list[Any]:
        events = client.fine_tuning.jobs.list_events(job.id, limit=100).data
        return [event for event in events if event.type == "metrics"]

    when(metrics, lambda found: len(found) >= 1)
    done = client.fine_tuning.jobs.cancel(job.id)
    assert (done.status, done.fine_tuned_model, done.result_files) == ("cancelled", None, [])
    share = len(metrics())
    assert done.trained_tokens == 4 * _tokens(tokenizer) * share // 20
    assert 0 < done.trained_tokens < 4 * _tokens(tokenizer)
    (charge,) = simulated.charges_of_client(mark)
    assert charge.units == {"trained_tokens": done.trained_tokens}
    assert not charge.finished
    with pytest.raises(openai.BadRequestError, match="already cancelled"):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_job_cancelled_before_it_ran_is_free(simulated: Simulated, client: OpenAI) -> None:
    job, mark = _start(client, LONG)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert simulated.charges_of_client(mark) == []


def test_a_job_pauses_and_goes_on(client: OpenAI) -> None:
    job, _ = _start(client, {"x-sim-job-ms": "2000"})
    with pytest.raises(openai.BadRequestError, match="cannot be paused"):
        client.fine_tuning.jobs.pause(job.id)
    _when(client, job, "running")
    assert client.fine_tuning.jobs.pause(job.id).status == "queued"
    with pytest.raises(openai.BadRequestError, match="cannot be paused"):
        client.fine_tuning.jobs.pause(job.id)
    assert client.fine_tuning.jobs.resume(job.id).status == "running"
    with pytest.raises(openai.BadRequestError, match="not paused"):
        client.fine_tuning.jobs.resume(job.id)
    assert _when(client, job, *ENDS).status == "succeeded"
    with pytest.raises(openai.BadRequestError, match="already completed"):
        client.fine_tuning.jobs.resume(job.id)


def test_a_paused_job_can_be_cancelled(client: OpenAI) -> None:
    job, _ = _start(client, LONG)
    _when(client, job, "running")
    client.fine_tuning.jobs.pause(job.id)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"


@pytest.mark.parametrize("param", ["training_file", "validation_file"])
def test_a_bad_file_fails_the_job(simulated: Simulated, client: OpenAI, param: str) -> None:
    job, mark = _start(client, QUICK, **{param: _file(client, _content(9))})
    done = _when(client, job, *ENDS)
    assert done.status == "failed"
    assert done.error is not None
    assert (done.error.code, done.error.param) == ("invalid_n_examples", param)
    assert simulated.charges_of_client(mark) == []
    event = client.fine_tuning.jobs.list_events(job.id).data[0]
    assert (event.level, event.message) == ("error", done.error.message)


def test_events_tell_the_story_newest_first(client: OpenAI) -> None:
    job, _ = _start(client, QUICK)
    _when(client, job, *ENDS)
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=7)]
    assert messages[0] == "The job has successfully completed"
    assert messages[-1] == f"Created fine-tuning job: {job.id}"
    assert "Files validated, moving job to queued state" in messages


def test_reinforcement_is_charged_by_time(simulated: Simulated, client: OpenAI) -> None:
    grader = {
        "type": "string_check",
        "name": "g",
        "input": "x",
        "reference": "x",
        "operation": "eq",
    }
    method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
    job, mark = _start(client, QUICK, model="o4-mini-2025-04-16", method=method)
    assert _when(client, job, *ENDS).status == "succeeded"
    (charge,) = simulated.charges_of_client(mark)
    assert charge.units == {"training_seconds": 1}


def test_jobs_are_listed_newest_first_and_by_metadata(client: OpenAI) -> None:
    file_id, mark = _file(client), uuid4().hex
    made = [
        _start(client, QUICK, file_id, metadata={"mark": mark, "n": str(number)})[0].id
        for number in range(3)
    ]
    listed = client.fine_tuning.jobs.list(metadata={"mark": mark})
    assert [job.id for job in listed] == made[::-1]
    (second,) = client.fine_tuning.jobs.list(metadata={"mark": mark, "n": "1"}).data
    assert second.id == made[1]
    page = client.fine_tuning.jobs.list(after=made[2], limit=1)
    assert [job.id for job in page.data] == [made[1]]


def test_what_cannot_be_found_or_trained_on(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Could not find fine tune: ftjob-x"):
        client.fine_tuning.jobs.retrieve("ftjob-x")
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.list_events("ftjob-x")
    with pytest.raises(openai.BadRequestError, match="invalid training_file: file-x"):
        _start(client, QUICK, "file-x")
    other = client.files.create(file=("x.jsonl", _content()), purpose="batch").id
    with pytest.raises(openai.BadRequestError, match="not 'fine-tune'"):
        _start(client, QUICK, other)
    with pytest.raises(
        openai.BadRequestError, match="gpt-4o-mini is not available for fine-tuning"
    ):
        _start(client, QUICK, model="gpt-4o-mini")


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_HEADERS, Fault.ERROR_EVENT])
def test_a_failure_that_is_free_creates_no_job(client: OpenAI, fault: Fault) -> None:
    file_id = _file(client)
    with pytest.raises(openai.APIError):
        _start(client, {**QUICK, "x-sim-fault": fault}, file_id)
    assert all(job.training_file != file_id for job in client.fine_tuning.jobs.list())
