from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

from tests.simulator.conftest import Simulated, request_bytes
from tests.simulator.test_responses import MODEL

SOON = {"x-sim-background-ms": "60"}
NEVER = {"x-sim-background-ms": "600000"}
SLOW = {"x-sim-background-ms": "4000", "x-sim-output-tokens": "400"}


def _start(client: OpenAI, headers: dict[str, str], **rest: Any) -> Any:
    body: Any = {"model": MODEL, "input": "Take your time.", "background": True}
    return client.responses.create(**(body | rest), extra_headers=headers)


def _wait(client: OpenAI, identity: str, *statuses: str) -> Response:
    while True:
        answer = client.responses.retrieve(identity)
        if answer.status in statuses:
            return answer
        assert answer.status in ("queued", "in_progress")
        time.sleep(0.005)


def test_it_is_queued_runs_and_is_charged_to_its_creator(
    simulated: Simulated, client: OpenAI
) -> None:
    mark = uuid4().hex
    answer = _start(client, {**SLOW, "x-sim-background-ms": "1500", "x-client-request-id": mark})
    assert (answer.status, answer.background, answer.output, answer.usage) == (
        "queued",
        True,
        [],
        None,
    )
    assert not simulated.charges_of_client(mark)
    running = _wait(client, answer.id, "in_progress")
    assert running.usage is None
    ended = _wait(client, answer.id, "completed")
    assert ended.usage is not None
    assert ended.usage.output_tokens == 400
    (charge,) = simulated.charges_of_client(mark)
    assert charge.request_id == answer._request_id
    assert (charge.endpoint, charge.prompt_tokens, charge.completion_tokens, charge.finished) == (
        "responses",
        ended.usage.input_tokens,
        400,
        True,
    )
    for _ in range(2):
        client.responses.retrieve(answer.id)
    assert len(simulated.charges_of_client(mark)) == 1
    again = client.responses.create(model=MODEL, input="On.", previous_response_id=answer.id)
    assert again.status == "completed"


def test_it_can_end_incomplete_or_failed(simulated: Simulated, client: OpenAI) -> None:
    short = _start(client, SOON, max_output_tokens=16)
    ended = _wait(client, short.id, "incomplete")
    assert ended.usage is not None
    assert ended.usage.output_tokens == 16
    mark = uuid4().hex
    failing = _start(client, {**SOON, "x-sim-fault": "failed", "x-client-request-id": mark})
    failed = _wait(client, failing.id, "failed")
    assert failed.error is not None
    assert failed.usage is not None
    (charge,) = simulated.charges_of_client(mark)
    assert charge.completion_tokens == failed.usage.output_tokens


def test_events_can_be_read_again_from_any_point(simulated: Simulated, client: OpenAI) -> None:
    mark = uuid4().hex
    headers = {**SOON, "x-client-request-id": mark}
    events = list(_start(client, headers, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert events[-1].type == "response.completed"
    identity = events[0].response.id
    rest = list(client.responses.retrieve(identity, stream=True, starting_after=4))
    assert [event.sequence_number for event in rest] == list(range(5, len(events)))
    assert rest[-1] == events[-1]
    bare = list(
        client.responses.retrieve(identity, stream=True, extra_headers={"x-sim-fault": "no-usage"})
    )
    last: Any = bare[-1]
    assert last.response.usage is None
    (charge,) = simulated.charges_of_client(mark)
    final: Any = events[-1]
    assert charge.completion_tokens == final.response.usage.output_tokens


def test_a_client_that_leaves_does_not_end_it(simulated: Simulated, client: OpenAI) -> None:
    mark = uuid4().hex
    body = {"model": MODEL, "input": "Go on.", "background": True, "stream": True}
    wish = {"x_sim_background_ms": "300", "x_sim_output_tokens": "300"}
    with closing(simulated.connect()) as sock:
        sock.sendall(request_bytes(body, "responses", x_client_request_id=mark, **wish))
        data = b""
        while b"response.queued" not in data:
            data += sock.recv(65_536)
    while not (charges := simulated.charges_of_client(mark)):
        time.sleep(0.01)
    assert (charges[0].completion_tokens, charges[0].finished) == (300, True)


@pytest.mark.parametrize("fault", ["reset-mid-stream", "truncate-chunk", "error-event"])
def test_a_broken_stream_of_it_can_be_taken_up(
    simulated: Simulated, client: OpenAI, fault: str
) -> None:
    mark = uuid4().hex
    body = {"model": MODEL, "input": "Go on.", "background": True, "stream": True}
    reply = simulated.raw(
        body,
        "responses",
        x_sim_fault=fault,
        x_sim_background_ms="60",
        x_client_request_id=mark,
    )
    assert b"response.completed" not in reply.data
    created = next(line for line in reply.data.split(b"\n") if b"resp_" in line)
    identity = json.loads(created.removeprefix(b"data: "))["response"]["id"]
    seen = reply.data.count(b"\nevent: response.")
    rest: list[Any] = list(client.responses.retrieve(identity, stream=True, starting_after=seen))
    assert rest[0].sequence_number == seen + 1
    final = rest[-1].response
    (charge,) = simulated.charges_of_client(mark)
    assert (charge.completion_tokens, charge.finished) == (final.usage.output_tokens, True)


def test_cancelled_in_the_queue_costs_nothing(simulated: Simulated, client: OpenAI) -> None:
    mark = uuid4().hex
    answer = _start(client, {**NEVER, "x-client-request-id": mark})
    cancelled = client.responses.cancel(answer.id)
    assert (cancelled.status, cancelled.usage, cancelled.output) == ("cancelled", None, [])
    assert client.responses.cancel(answer.id) == cancelled
    assert not simulated.charges_of_client(mark)


def test_cancelled_while_running_costs_what_ran(simulated: Simulated, client: OpenAI) -> None:
    mark = uuid4().hex
    stream = _start(client, {**SLOW, "x-client-request-id": mark}, stream=True)
    kinds = []
    for event in stream:
        kinds.append(event.type)
        if event.type == "response.created":
            identity = event.response.id
        if kinds.count("response.output_text.delta") == 5:
            assert client.responses.cancel(identity).status == "cancelled"
    assert "response.completed" not in kinds
    (charge,) = simulated.charges_of_client(mark)
    assert 0 < charge.completion_tokens < 400
    assert charge.prompt_tokens > 0
    assert not charge.finished


def test_what_cannot_be_cancelled_or_streamed(client: OpenAI) -> None:
    plain = client.responses.create(model=MODEL, input="Hello")
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(plain.id)
    with pytest.raises(openai.BadRequestError, match="cannot be streamed"):
        client.responses.retrieve(plain.id, stream=True)
    ended = _start(client, SOON)
    whole = _wait(client, ended.id, "completed")
    assert client.responses.cancel(ended.id) == whole
    running = _start(client, NEVER)
    with pytest.raises(openai.BadRequestError, match="in progress"):
        client.responses.create(model=MODEL, input="x", previous_response_id=running.id)
    client.responses.cancel(running.id)
    with pytest.raises(openai.BadRequestError, match="'store'"):
        _start(client, SOON, store=False)


@pytest.mark.parametrize(
    ("fault", "charges"), [("reset-before-headers", 0), ("reset-before-headers-charged", 1)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_starts_it_only_where_it_is_charged(
    simulated: Simulated, client: OpenAI, fault: str, charges: int, stream: bool
) -> None:
    mark = uuid4().hex
    headers = {**SOON, "x-sim-fault": fault, "x-client-request-id": mark}
    with pytest.raises(openai.APIConnectionError):
        _start(client, headers, stream=stream)
    while len(simulated.charges_of_client(mark)) < charges:
        time.sleep(0.01)
    other = _start(client, {"x-sim-background-ms": "120"})
    _wait(client, other.id, "completed")
    assert len(simulated.charges_of_client(mark)) == charges


def test_without_usage_it_never_shows_any(client: OpenAI) -> None:
    answer = _start(client, {**SOON, "x-sim-fault": "no-usage"})
    assert _wait(client, answer.id, "completed").usage is None
