"""Every known way around a budget: bounded, or refused with a status of 4xx. What a request does
not show: input from elsewhere, tools, hidden output, work that goes on, paths and streams.

See ``test_bypasses.py`` for the others, and for what bounded means.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from gateway.core.chat_fields import UNBOUNDED
from tests.e2e.bypasses import RICH, begun, bounded, every_dollar_is_recorded, refused, served
from tests.e2e.jsonl import CHAT, chat_line
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import EMBEDDINGS, RESPONSES, data_of, prompted, question

COMPLETIONS = "/v1/completions"
INSTRUCT = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}
PICTURE = "https://pictures.example/very-large.png"
WINDOW_NANO = 128_000 * 150
"""What gpt-4o-mini's whole context window costs as input."""


@pytest.fixture(scope="module")
def rig(apart_rig: Rig) -> Rig:
    return apart_rig


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(RICH)


# Input that the request does not show


def test_previous_response_id(rig: Rig, tenant: Tenant) -> None:
    text = "A long conversation, which the next request does not repeat. " * 200
    first = tenant.caller.post(prompted(text, max_output_tokens=20), RESPONSES)
    more = {"previous_response_id": first.json["id"], "max_output_tokens": 20}
    served(rig, first)
    second = tenant.caller.post(prompted("And?", **more), RESPONSES)
    assert served(rig, second).rows[0].hold_nano >= WINDOW_NANO
    (shown,), (hidden,) = (rig.provider.charges()[r.request_id] for r in (first, second))
    assert hidden.prompt_tokens > shown.prompt_tokens > 2_000
    refused(rig, rig.tenant(10**6).caller.post(prompted("?", **more), RESPONSES))
    refused(rig, begun(tenant.caller, chat_line(0, previous_response_id="resp_1")))
    refused(rig, tenant.caller.chat(previous_response_id=first.json["id"]))


@pytest.mark.parametrize("given", ["conv_1", {"id": "conv_1"}, "auto"])
def test_conversation(rig: Rig, tenant: Tenant, given: Any) -> None:
    refused(rig, tenant.caller.post(prompted(conversation=given), RESPONSES), "conversation")
    refused(rig, tenant.caller.chat(conversation=given), "conversation")
    refused(rig, begun(tenant.caller, chat_line(0, conversation=given)))
    refused(rig, tenant.caller.post({}, "/v1/conversations"))


def test_stored_prompts(rig: Rig, tenant: Tenant) -> None:
    given = {"id": "pmpt_1", "version": "2", "variables": {"name": "x"}}
    for path in (RESPONSES, f"{RESPONSES}/compact", f"{RESPONSES}/input_tokens"):
        refused(rig, tenant.caller.post({"model": "gpt-4o-mini", "prompt": given}, path), "prompt")
    refused(rig, tenant.caller.chat(prompt=given), "prompt")
    refused(rig, begun(tenant.caller, chat_line(0, prompt=given)))


def test_files(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        name = sdk.files.create(file=("a.txt", b"words " * 5_000), purpose="user_data").id

    def asked(**part: str) -> dict[str, Any]:
        content = [{"type": "input_file", **part}]
        return prompted(input=[{"role": "user", "content": content}], max_output_tokens=20)

    record = served(rig, tenant.caller.post(asked(file_id=name), RESPONSES))
    assert record.rows[0].hold_nano >= WINDOW_NANO
    shown = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUFB"}
    for part in ({"file_id": name}, {"file_url": "https://files.example/a.pdf"}, shown):
        # Held at the whole window, so that who cannot pay for it is refused unsent.
        refused(rig, rig.tenant(10**6).caller.post(asked(**part), RESPONSES))
    refused(rig, tenant.caller.post(asked(file_id="file-none"), RESPONSES))
    chat = {"type": "file", "file": {"file_id": "file-none"}}
    body = question(messages=[{"role": "user", "content": [chat]}])
    refused(rig, tenant.caller.post(body))


@pytest.mark.parametrize("detail", ["low", "high", "auto", None])
def test_images_by_url(rig: Rig, tenant: Tenant, detail: str | None) -> None:
    shown = {"url": PICTURE, **({"detail": detail} if detail else {})}
    content: list[Any] = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": shown}]
    body = question(messages=[{"role": "user", "content": content}], max_completion_tokens=20)
    for model in ("gpt-4o-mini", "gpt-4o"):
        served(rig, tenant.caller.post({**body, "model": model}))
    served(rig, tenant.caller.post(question(messages=body["messages"], max_tokens=9)))
    part = {"type": "input_image", "image_url": PICTURE, "detail": detail or "auto"}
    body = prompted(input=[{"role": "user", "content": [part]}], max_output_tokens=20)
    served(rig, tenant.caller.post(body, RESPONSES))


@pytest.mark.parametrize("data", ["https://sounds.example/an-hour.wav", "bm8gc291bmQ=", "", 7])
def test_audio_by_url(rig: Rig, tenant: Tenant, data: Any) -> None:
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    messages = [{"role": "user", "content": [part]}]
    whoever = rig.tenant(10**6)
    for caller in (tenant.caller, whoever.caller):
        # For the rich the simulated provider refuses: its models do not hear.
        refused(rig, caller.post(question(messages=messages, max_completion_tokens=9)))
        refused(rig, caller.post(prompted(input=messages, max_output_tokens=20), RESPONSES))
    by_url = {"type": "audio_url", "audio_url": {"url": "https://sounds.example/a.wav"}}
    messages = [{"role": "user", "content": [by_url]}]
    refused(rig, whoever.caller.post(question(messages=messages, max_completion_tokens=9)))


# Tools that the provider runs


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "x", "server_url": "https://tools.example"},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1},
        {"type": "local_shell"},
        {"type": "a_tool_of_tomorrow"},
        {"name": "without a type"},
    ],
)
def test_tools_with_fees(rig: Rig, tenant: Tenant, tool: dict[str, Any]) -> None:
    refused(rig, tenant.caller.post(prompted(tools=[tool]), RESPONSES), "tools[0].type")
    refused(rig, tenant.caller.chat(tools=[tool]), "tools[0].type")
    refused(rig, begun(tenant.caller, chat_line(0, tools=[tool])))
    body = prompted(tools=[tool], background=True)
    refused(rig, tenant.caller.post(body, RESPONSES), "tools[0].type")


def test_web_searches(rig: Rig, tenant: Tenant) -> None:
    body = prompted("Search the web.", tools=[{"type": "web_search"}], max_output_tokens=50)
    # Nine are wanted: five is what is held for, and written, where no maximum was set.
    for maximum, calls in ((None, 5), (2, 2)):
        given = {**body, **({"max_tool_calls": maximum} if maximum else {})}
        reply = tenant.caller.post(given, RESPONSES, tool_calls=9)
        record = served(rig, reply)
        assert record.cost_nano >= calls * 10_000_000
        (charge,) = rig.provider.charges()[reply.request_id]
        assert charge.units["web_search_calls"] == calls
    for wrong in (0, -1, 10**6, "2", 1.5):
        refused(rig, tenant.caller.post({**body, "max_tool_calls": wrong}, RESPONSES))
    line = {**body, "input": "Search."}
    row = {"custom_id": "a", "method": "POST", "url": RESPONSES, "body": line}
    refused(rig, begun(tenant.caller, row, url=RESPONSES))
    refused(rig, begun(tenant.caller, chat_line(0, web_search_options={"a": 1})))


# Output that the answer does not show


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning(rig: Rig, tenant: Tenant, stream: bool) -> None:
    for maximum in (100, 5_000, None):
        rest: dict[str, Any] = {} if maximum is None else {"max_completion_tokens": maximum}
        body = question(model="o4-mini", stream=stream, **rest)
        reply = tenant.caller.post(body, reasoning_tokens=4_000, output_tokens=10)
        served(rig, reply)
        (charge,) = rig.provider.charges()[reply.request_id]
        assert charge.reasoning_tokens == min(maximum or 4_000, 4_000)


def test_rejected_predictions(rig: Rig, tenant: Tenant) -> None:
    content = "Nothing of this will be said again. " * 100
    for stream in (False, True):
        body = question(prediction={"type": "content", "content": content}, stream=stream)
        reply = tenant.caller.post({**body, "max_completion_tokens": 2_000}, output_tokens=20)
        served(rig, reply)
        (charge,) = rig.provider.charges()[reply.request_id]
        assert charge.rejected_prediction_tokens > 300


# Work that goes on after its request


def test_background(rig: Rig) -> None:
    tenant = rig.tenant(1_000_000)
    body = prompted(background=True, max_output_tokens=1_000)
    reply = tenant.caller.post(body, RESPONSES, background_ms=400, output_tokens=900)
    assert rig.counters(tenant.budget)["held"] > 600_000
    refused(rig, tenant.caller.post(body, RESPONSES))
    record = served(rig, reply)
    assert rig.counters(tenant.budget) == {"spent": record.cost_nano, "held": 0}


def test_batches(rig: Rig) -> None:
    tenant = rig.tenant(1_000_000)
    rows = [chat_line(number, max_completion_tokens=300) for number in range(9)]
    reply = begun(tenant.caller, *rows, batch_ms=400)
    assert rig.counters(tenant.budget)["held"] > 9 * 300 * 300
    refused(rig, begun(tenant.caller, *rows))
    # No maximum at all, in one line of many.
    refused(rig, begun(tenant.caller, chat_line(0, max_completion_tokens=None)))
    record = served(rig, reply)
    assert rig.counters(tenant.budget) == {"spent": record.cost_nano, "held": 0}


# Places


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_realtime(rig: Rig, tenant: Tenant, method: str) -> None:
    upgrade = {"upgrade": "websocket", "connection": "Upgrade"}
    for path in ("", "?model=gpt-realtime", "/sessions", "/client_secrets", "/calls"):
        for headers in ({}, upgrade):
            body = b"{}" if method == "POST" else None
            refused(rig, tenant.caller.request(method, f"/v1/realtime{path}", body, headers))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/../chat/completions",
        "/v1/models/%2e%2e/chat/completions",
        "/v1/models/gpt-4o/..%2f..%2fchat/completions",
        "/v1/moderations/../chat/completions",
        "/v1/responses/input_tokens/../../chat/completions",
        "/v1/responses/%2e%2e/chat/completions",
        "/v1/files/..%2Fchat%2Fcompletions",
        "/v1/files/x/../../chat/completions",
        "/v1/uploads/..%252fchat%252fcompletions/complete",
        "/v1/fine_tuning/jobs/..%5c..%5cchat/completions/cancel",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/chat/completions%00",
        "/v1/chat/completions;/v1/moderations",
        "/v1/chat%2fcompletions",
        "/v1/%63hat/completions",
        "/v1/batches/x%3F/../cancel",
    ],
)
def test_paths_that_change_under_decoding(rig: Rig, tenant: Tenant, path: str) -> None:
    charged = rig.provider.totals()["requests"]
    body = json.dumps(question()).encode()
    for method in ("POST", "GET", "DELETE"):
        reply = tenant.caller.request(method, path, body if method == "POST" else None)
        refused(rig, reply)
    assert rig.provider.totals()["requests"] == charged


# Streams


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, question()), (RESPONSES, prompted()), (COMPLETIONS, INSTRUCT)]
)
def test_streaming_without_usage(rig: Rig, tenant: Tenant, path: str, body: dict[str, Any]) -> None:
    if path != RESPONSES:
        shy = {**body, "stream": True, "stream_options": {"include_usage": False}}
        served(rig, tenant.caller.post(shy, path))
    reply = tenant.caller.post({**body, "stream": True}, path, fault="no-usage")
    served(rig, reply, "estimated")


def test_a_client_that_aborts_every_stream(rig: Rig) -> None:
    tenant = rig.tenant(RICH)
    bodies = ((CHAT, question()), (RESPONSES, prompted()), (COMPLETIONS, INSTRUCT))

    def abort(number: int) -> str:
        path, body = bodies[number % 3]
        stream = tenant.caller.streamed(body, path, token_interval_ms=3, output_tokens=80)
        for _ in islice(stream.events(), number % 7):
            pass
        stream.hang_up(reset=number % 2 == 0)
        return stream.request_id

    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(abort, range(30)))
    spent = sum(bounded(rig, request_id).cost_nano for request_id in ids)
    assert rig.counters(tenant.budget) == {"spent": spent, "held": 0}
    # With the budget gone, there is no stream left to abort.
    last = rig.tenant(spent // 30)
    assert last.caller.streamed(question(max_completion_tokens=80), CHAT).status == 429


# Fields that override what was granted


@pytest.mark.parametrize("name", sorted(UNBOUNDED))
def test_unknown_fields_that_override_maxima(rig: Rig, tenant: Tenant, name: str) -> None:
    # Two endpoints have one of these as their own, and bound it.
    own = {"max_output_tokens": RESPONSES, "best_of": COMPLETIONS}
    for path, body in (
        (CHAT, question(max_completion_tokens=5)),
        (RESPONSES, prompted(max_output_tokens=16)),
        (COMPLETIONS, {**INSTRUCT, "max_tokens": 5}),
        (EMBEDDINGS, {"model": "text-embedding-3-small", "input": "a"}),
        ("/v1/images/generations", {"model": "dall-e-2", "prompt": "a", "size": "256x256"}),
        ("/v1/audio/speech", {"model": "tts-1", "input": "a", "voice": "alloy"}),
    ):
        if own.get(name) != path:
            refused(rig, tenant.caller.post({**body, name: 100_000}, path), name)
    refused(rig, begun(tenant.caller, chat_line(0, **{name: 100_000})), "input_file_id")


def test_maxima_that_can_be_read_in_two_ways(rig: Rig, tenant: Tenant) -> None:
    plain = json.dumps(question())[:-1].encode()
    for fields in (
        b'"max_tokens": 5, "max_tokens": 16000',
        b'"max_tokens": 5, "max_completion_tokens": 16000',
        b'"max_completion_tokens": 5, "max_completion_\\u0074okens": 16000',
        b'"max_completion_tokens": 5e3',
        b'"max_completion_tokens": -5',
        b'"max_completion_tokens": 0',
        b'"max_completion_tokens": 1.5',
        b'"max_completion_tokens": "5"',
        b'"max_completion_tokens": true',
        b'"max_completion_tokens": [5]',
        b'"max_completion_tokens": 99999999999999999999999',
        b'"max_completion_tokens": NaN',
        b'"max_completion_tokens": Infinity',
        b'"n": 1, "n": 100',
        b'"model": "gpt-4o"',
    ):
        refused(rig, tenant.caller.post(plain + b", " + fields + b"}"))
    # An explicit null is no maximum, and the granted one is written.
    reply = tenant.caller.post(
        question(max_tokens=None, max_completion_tokens=None, stream=True), output_tokens=50
    )
    assert data_of(reply.body)
    served(rig, reply)


def test_all_of_it_is_recorded(rig: Rig) -> None:
    every_dollar_is_recorded(rig)
