from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from gateway.simulator.faults import Fault
from tests.simulator.conftest import Simulated, question
from tests.simulator.waiting import when

CHAT = "/v1/chat/completions"
QUICK = {"x-sim-batch-ms": "100"}
LONG = {"x-sim-batch-ms": "60000"}
ENDS = ("completed", "failed", "expired", "cancelled")


def _input(client: OpenAI, bodies: list[dict[str, Any]], endpoint: str = CHAT) -> str:
    rows = [
        {"custom_id": f"line-{index}", "method": "POST", "url": endpoint, "body": body}
        for index, body in enumerate(bodies)
    ]
    content = "\n".join(json.dumps(row) for row in rows).encode()
    return client.files.create(file=("in.jsonl", content), purpose="batch").id


def _start(
    client: OpenAI, file_id: str, headers: dict[str, str], endpoint: str = CHAT, **rest: Any
) -> tuple[Batch, str]:
    """A new batch, and the id that its charges carry."""
    mark = uuid4().hex
    arguments: dict[str, Any] = {
        "input_file_id": file_id,
        "endpoint": endpoint,
        "completion_window": "24h",
    }
    batch = client.batches.create(
        **(arguments | rest), extra_headers={"x-client-request-id": mark, **headers}
    )
    return batch, mark


def _ended(client: OpenAI, batch: Batch) -> Batch:
    return when(lambda: client.batches.retrieve(batch.id), lambda found: found.status in ENDS)


def _rows(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def _counts(batch: Batch) -> tuple[int, int, int]:
    counts = batch.request_counts
    assert counts is not None
    return counts.total, counts.completed, counts.failed


def test_lines_run_are_charged_and_come_back(simulated: Simulated, client: OpenAI) -> None:
    texts = ["one", "two", "three"]
    file_id = _input(client, [question(text) for text in texts])
    metadata = {"nightly": "yes"}
    batch, mark = _start(client, file_id, QUICK, metadata=metadata)
    assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", metadata)
    assert batch.expires_at == batch.created_at + 86_400
    done = _ended(client, batch)
    assert done.status == "completed"
    assert (done.errors, done.error_file_id, _counts(done)) == (None, None, (3, 3, 0))
    assert done.model == "gpt-4o-mini-2024-07-18"
    assert done.in_progress_at
    assert done.finalizing_at
    assert done.completed_at
    charges = simulated.charges_of_client(mark)
    assert len(charges) == 3
    assert {(c.endpoint, c.service_tier, c.model) for c in charges} == {
        ("chat/completions", "batch", "gpt-4o-mini-2024-07-18")
    }
    rows = _rows(client, done.output_file_id)
    assert [row["custom_id"] for row in rows] == ["line-0", "line-1", "line-2"]
    by_request = {charge.request_id: charge for charge in charges}
    for row in rows:
        assert row["id"].startswith("batch_req_")
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        charge = by_request.pop(row["response"]["request_id"])
        usage = row["response"]["body"]["usage"]
        assert usage["prompt_tokens"] == charge.prompt_tokens
        assert usage["completion_tokens"] == charge.completion_tokens
    assert done.usage is not None
    assert done.usage.input_tokens == sum(c.prompt_tokens for c in charges)
    assert done.usage.output_tokens == sum(c.completion_tokens for c in charges)
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    assert done.output_file_id is not None
    assert client.files.retrieve(done.output_file_id).purpose == "batch_output"


def test_reasoning_and_cached_tokens_are_in_the_usage(simulated: Simulated, client: OpenAI) -> None:
    text = f"{uuid4()} " + "budgets hold " * 1_000
    bodies = [question(text, model="gpt-5-mini")] * 2
    batch, mark = _start(
        client,
        _input(client, bodies),
        {"x-sim-batch-ms": "1000", "x-sim-reasoning-tokens": "128", "x-sim-output-tokens": "5"},
    )
    usage = _ended(client, batch).usage
    assert usage is not None
    charges = simulated.charges_of_client(mark)
    assert usage.output_tokens_details.reasoning_tokens == 256
    assert usage.output_tokens == 2 * (128 + 5)
    cached = sum(charge.cached_tokens for charge in charges)
    assert usage.input_tokens_details.cached_tokens == cached > 1_000


def test_embeddings_run_too(simulated: Simulated, client: OpenAI) -> None:
    body = {"model": "text-embedding-3-small", "input": ["a b", "c"]}
    endpoint = "/v1/embeddings"
    batch, mark = _start(client, _input(client, [body], endpoint), QUICK, endpoint)
    done = _ended(client, batch)
    (row,) = _rows(client, done.output_file_id)
    assert len(row["response"]["body"]["data"]) == 2
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.endpoint, charge.service_tier) == ("embeddings", "batch")
    assert done.usage is not None
    assert done.usage.total_tokens == charge.prompt_tokens


def test_failing_lines_go_to_the_error_file_free(simulated: Simulated, client: OpenAI) -> None:
    bodies = [
        question(),
        question(max_tokens=10**6),
        question(stream=True),
        {"messages": []},
        question(metadata={"sim_status": "500"}),
    ]
    batch, mark = _start(client, _input(client, bodies), QUICK)
    done = _ended(client, batch)
    assert (done.status, _counts(done)) == ("completed", (5, 1, 4))
    assert len(simulated.charges_of_client(mark)) == 1
    assert [row["custom_id"] for row in _rows(client, done.output_file_id)] == ["line-0"]
    rows = _rows(client, done.error_file_id)
    assert [row["response"]["status_code"] for row in rows] == [400, 400, 400, 500]
    assert all(row["error"] is None for row in rows)
    assert "max_tokens is too large" in rows[0]["response"]["body"]["error"]["message"]


def test_without_a_success_there_is_no_output_file(client: OpenAI) -> None:
    batch, _ = _start(client, _input(client, [question(temperature=3)]), QUICK)
    done = _ended(client, batch)
    assert (done.status, done.output_file_id) == ("completed", None)
    assert done.error_file_id is not None


def test_a_bad_input_file_fails_the_batch(simulated: Simulated, client: OpenAI) -> None:
    content = b'{"custom_id": "a"}\nnot json\n'
    file_id = client.files.create(file=("bad.jsonl", content), purpose="batch").id
    batch, mark = _start(client, file_id, QUICK)
    done = _ended(client, batch)
    assert done.status == "failed"
    assert done.failed_at
    assert done.errors is not None
    assert done.errors.data is not None
    assert [(error.code, error.line) for error in done.errors.data] == [
        ("missing_required_parameter", 1),
        ("invalid_json_line", 2),
    ]
    assert (done.output_file_id, simulated.charges_of_client(mark)) == (None, [])


def test_a_cancelled_batch_keeps_and_charges_what_ran(simulated: Simulated, client: OpenAI) -> None:
    batch, mark = _start(client, _input(client, [question()] * 500), LONG)
    when(lambda: client.batches.retrieve(batch.id), lambda found: _counts(found)[1] >= 2)
    cancelling = client.batches.cancel(batch.id)
    assert cancelling.status == "cancelling"
    assert cancelling.cancelling_at
    done = _ended(client, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at
    ran = _counts(done)[1]
    assert 2 <= ran < 500
    assert len(simulated.charges_of_client(mark)) == ran
    assert len(_rows(client, done.output_file_id)) == ran
    codes = Counter(row["error"]["code"] for row in _rows(client, done.error_file_id))
    assert codes == {"batch_cancelled": 500 - ran}
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status"):
        client.batches.cancel(batch.id)


def test_a_batch_expires_as_directed(simulated: Simulated, client: OpenAI) -> None:
    file_id = _input(client, [question()] * 5)
    batch, mark = _start(client, file_id, {**QUICK, "x-sim-batch-expires-after": "2"})
    done = _ended(client, batch)
    assert done.status == "expired"
    assert done.expired_at
    assert _counts(done)[:2] == (5, 2)
    assert len(simulated.charges_of_client(mark)) == 2
    assert len(_rows(client, done.output_file_id)) == 2
    rows = _rows(client, done.error_file_id)
    assert [row["error"]["code"] for row in rows] == ["batch_expired"] * 3
    assert all(row["response"] is None for row in rows)


def test_directives_may_come_in_the_metadata(simulated: Simulated, client: OpenAI) -> None:
    metadata = {"sim_batch_ms": "50", "sim_batch_expires_after": "0", "sim_output_tokens": "7"}
    batch, mark = _start(client, _input(client, [question()]), {}, metadata=metadata)
    assert _ended(client, batch).status == "expired"
    assert simulated.charges_of_client(mark) == []


def test_output_files_expire_as_asked(client: OpenAI) -> None:
    policy = {"anchor": "created_at", "seconds": 7_200}
    file_id = _input(client, [question()])
    batch, _ = _start(client, file_id, QUICK, output_expires_after=policy)
    done = _ended(client, batch)
    assert done.output_file_id is not None
    output = client.files.retrieve(done.output_file_id)
    assert output.expires_at == output.created_at + 7_200


def test_batches_are_listed_newest_first(client: OpenAI) -> None:
    file_id = _input(client, [question()])
    made = [_start(client, file_id, QUICK)[0].id for _ in range(3)]
    listed = client.batches.list(limit=2)
    assert [batch.id for batch in listed.data] == made[:0:-1]
    assert listed.has_more
    assert client.batches.list(after=made[1], limit=1).data[0].id == made[0]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/files"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at"}}, "output_expires_after.seconds"),
        ({"input_file_id": 3}, "input_file_id"),
    ],
)
def test_bad_requests_are_refused(client: OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        _start(client, _input(client, [question()]), QUICK, **change)
    assert refused.value.param == param


def test_unknown_and_unfit_files_and_batches(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        _start(client, "file-unknown", QUICK)
    other = client.files.create(file=("x.jsonl", b"{}"), purpose="fine-tune").id
    with pytest.raises(openai.BadRequestError, match="purpose 'batch'"):
        _start(client, other, QUICK)
    for call in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_x'"):
            call("batch_x")


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_HEADERS, Fault.ERROR_EVENT])
def test_a_failure_that_is_free_creates_no_batch(client: OpenAI, fault: Fault) -> None:
    file_id = _input(client, [question()])
    with pytest.raises(openai.APIError):
        _start(client, file_id, {**QUICK, "x-sim-fault": fault})
    assert all(batch.input_file_id != file_id for batch in client.batches.list())


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("responses", {"model": "gpt-4o-mini", "input": "Hello"}),
        ("completions", {"model": "davinci-002", "prompt": "Hello"}),
    ],
)
def test_other_text_endpoints_run_as_lines(
    simulated: Simulated, client: OpenAI, name: str, body: dict[str, Any]
) -> None:
    endpoint = f"/v1/{name}"
    batch, mark = _start(client, _input(client, [body], endpoint), QUICK, endpoint)
    (row,) = _rows(client, _ended(client, batch).output_file_id)
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.endpoint, charge.service_tier) == (name, "batch")
    answer = row["response"]["body"]
    assert charge.prompt_tokens + charge.completion_tokens == answer["usage"]["total_tokens"]
    if name == "responses":
        assert client.responses.retrieve(answer["id"]).status == "completed"


def test_moderations_run_free(simulated: Simulated, client: OpenAI) -> None:
    endpoint = "/v1/moderations"
    batch, mark = _start(client, _input(client, [{"input": "Hello"}], endpoint), QUICK, endpoint)
    done = _ended(client, batch)
    assert (done.status, _counts(done)) == ("completed", (1, 1, 0))
    assert not simulated.charges_of_client(mark)
