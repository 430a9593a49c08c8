from __future__ import annotations

import gzip
import json
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.faults import Fault
from tests.simulator.conftest import RawReply, Simulated, chunks, request_bytes
from tests.simulator.test_responses import MODEL, SEARCH, WEATHER

TOKENS = 40


def _events(client: OpenAI, **rest: Any) -> list[Any]:
    body: Any = {"model": MODEL, "input": "What do budgets limit?", "stream": True}
    return list(client.responses.create(**(body | rest)))


def _parsed(sent: list[bytes]) -> list[dict[str, Any]]:
    """The data of raw events, whose ``event:`` line has to name their type."""
    found = []
    for event in sent:
        first, second = event.decode().strip().split("\n")
        data: dict[str, Any] = json.loads(second.removeprefix("data: "))
        assert first == f"event: {data['type']}"
        found.append(data)
    return found


def test_text_comes_in_the_order_of_the_reference(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    events = _events(client)
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    done = next(e for e in events if e.type == "response.output_text.done")
    final = events[-1].response
    assert text == done.text == final.output_text
    assert final.usage.output_tokens == tokenizer.count(text, "o200k_base")
    assert events[0].response.usage is None
    assert events[0].response.status == "in_progress"
    assert final.id == events[0].response.id


def test_a_stream_says_what_the_whole_answer_says(client: OpenAI) -> None:
    body: Any = {"model": "gpt-5-mini", "input": "Be steady.", "include": []}
    whole = client.responses.create(**body)
    final = _events(client, **body)[-1].response
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage


def test_calls_searches_and_reasoning_have_their_events(client: OpenAI) -> None:
    events = _events(client, model="gpt-5", tools=[WEATHER], tool_choice="required")
    kinds = [event.type for event in events]
    assert kinds[2:5] == [
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
    ]
    arguments = "".join(
        e.delta for e in events if e.type == "response.function_call_arguments.delta"
    )
    done = next(e for e in events if e.type == "response.function_call_arguments.done")
    assert arguments == done.arguments == '{"place":"sample"}'
    assert events[-1].response.output[-1].arguments == arguments
    headers = {"x-sim-tool-calls": "2"}
    searched = _events(client, input="search the web", tools=[SEARCH], extra_headers=headers)
    kinds = [event.type for event in searched]
    for step in ("in_progress", "searching", "completed"):
        assert kinds.count(f"response.web_search_call.{step}") == 2


def test_a_stream_can_end_incomplete_or_failed(simulated: Simulated, client: OpenAI) -> None:
    last = _events(client, max_output_tokens=16)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    mark = uuid4().hex
    headers = {
        "x-sim-fault": "failed",
        "x-sim-output-tokens": str(TOKENS),
        "x-client-request-id": mark,
    }
    last = _events(client, extra_headers=headers)[-1]
    assert last.type == "response.failed"
    assert last.response.error.code == "server_error"
    (charge,) = simulated.charges_of_client(mark)
    assert 0 < last.response.usage.output_tokens == charge.completion_tokens < TOKENS
    assert not charge.finished


def test_deltas_hide_their_length_unless_told_not_to(simulated: Simulated) -> None:
    body = {"model": MODEL, "input": "100% of it?", "stream": True}
    sent = _parsed(chunks(simulated.raw(body, "responses").data.partition(b"\r\n\r\n")[2])[0])
    deltas = [e for e in sent if e["type"] == "response.output_text.delta"]
    assert {(len(e["delta"]) + len(e["obfuscation"])) % 16 for e in deltas} == {0}
    plain = body | {"stream_options": {"include_obfuscation": False}}
    assert b"obfuscation" not in simulated.raw(plain, "responses").data


def test_a_percent_sign_in_a_delta_stays_as_it_is(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"share": {"const": "100% %d"}},
        "required": ["share"],
    }
    form: Any = {"format": {"type": "json_schema", "name": "s", "schema": schema}}
    events = _events(client, text=form)
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert json.loads(text) == {"share": "100% %d"}


def _break(simulated: Simulated, fault: Fault, *, stream: bool) -> tuple[RawReply, str]:
    """A request with an injected fault, and the id to find its charge by."""
    mark = uuid4().hex
    reply = simulated.raw(
        {"model": MODEL, "input": "What do budgets limit?", "stream": stream},
        "responses",
        x_sim_fault=fault,
        x_sim_output_tokens=str(TOKENS),
        x_client_request_id=mark,
    )
    return reply, mark


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.ERROR_EVENT])
def test_a_broken_stream_is_charged_so_far(
    simulated: Simulated, tokenizer: Tokenizer, fault: Fault
) -> None:
    reply, mark = _break(simulated, fault, stream=True)
    assert reply.was_reset == (fault is Fault.RESET_MID_STREAM)
    sent, ended = chunks(reply.data.partition(b"\r\n\r\n")[2])
    assert ended == (fault is Fault.ERROR_EVENT)
    events = _parsed(sent)
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    if fault is Fault.ERROR_EVENT:
        assert (events[-1]["type"], events[-1]["code"]) == ("error", "server_error")
    (charge,) = simulated.charges_of_client(mark)
    text = "".join(e["delta"] for e in events if "delta" in e)
    assert charge.completion_tokens == tokenizer.count(text, "o200k_base")
    assert 0 < charge.completion_tokens < TOKENS
    assert not charge.finished


@pytest.mark.parametrize("stream", [False, True])
def test_usage_can_be_missing_though_charged(simulated: Simulated, stream: bool) -> None:
    reply, mark = _break(simulated, Fault.NO_USAGE, stream=stream)
    assert b"input_tokens" not in reply.body
    assert (b"response.completed" in reply.body) == stream
    assert simulated.charges_of_client(mark)[0].completion_tokens == TOKENS


def test_bad_json_gzip_and_a_missing_end(simulated: Simulated) -> None:
    reply, _ = _break(simulated, Fault.BAD_JSON, stream=True)
    broken = 0
    for event in reply.body.split(b"\n\n")[:-1]:
        try:
            json.loads(event.partition(b"\ndata: ")[2])
        except ValueError:
            broken += 1
    assert broken == 1
    reply, _ = _break(simulated, Fault.GZIP, stream=True)
    assert b"event: response.completed" in gzip.decompress(reply.body)
    assert b"[DONE]" not in gzip.decompress(reply.body)
    reply, mark = _break(simulated, Fault.MISSING_DONE, stream=True)
    assert b"response.output_item.done" in reply.body
    assert b"response.completed" not in reply.body
    assert simulated.charges_of_client(mark)[0].finished


@pytest.mark.parametrize(
    ("fault", "charges"),
    [
        (Fault.RESET_BEFORE_HEADERS, 0),
        (Fault.RESET_BEFORE_HEADERS_CHARGED, 1),
        (Fault.RESET_AFTER_HEADERS, 1),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_resets(simulated: Simulated, fault: Fault, charges: int, stream: bool) -> None:
    reply, mark = _break(simulated, fault, stream=stream)
    assert reply.was_reset
    assert len(simulated.charges_of_client(mark)) == charges


def test_what_a_leaving_client_got_is_charged_and_not_kept(simulated: Simulated) -> None:
    mark = uuid4().hex
    body = {"model": MODEL, "input": "Hello", "stream": True}
    wish = {"x_sim_token_interval_ms": "5", "x_sim_output_tokens": "2000"}
    with closing(simulated.connect()) as sock:
        sock.sendall(request_bytes(body, "responses", x_client_request_id=mark, **wish))
        data = b""
        while data.count(b"output_text.delta\n") < 10:
            data += sock.recv(65_536)
    while not (charges := simulated.charges_of_client(mark)):
        time.sleep(0.01)
    (charge,) = charges
    assert not charge.finished
    assert 10 <= charge.completion_tokens < 2_000
