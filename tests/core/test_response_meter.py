from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.chat_meter import KEPT_BYTES_MAX, OUTPUT_AHEAD_TOKENS
from gateway.core.meters import Reading
from gateway.core.objects import Found, Kind
from gateway.core.response_meter import (
    ResponseStreamMeter,
    read_response,
    stored_response,
    unstored_response,
)
from gateway.core.sse import data_event, event_data
from gateway.core.usage import Usage

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 130,
}
COUNTED = Usage(
    input_tokens=100,
    cached_input_tokens=40,
    cache_write_tokens=10,
    output_tokens=30,
    reasoning_tokens=20,
)
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}


def search(kind: object, number: int = 1) -> dict[str, Any]:
    action = {"action": {"type": kind}} if kind is not None else {}
    return {"type": "web_search_call", "id": f"ws_{number}", "status": "completed", **action}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(text: str, place: int = 0, kind: str = "response.output_text") -> bytes:
    return event(f"{kind}.delta", output_index=place, content_index=0, delta=text)


def response(status: str = "completed", **fields: Any) -> dict[str, Any]:
    whole = {"id": "resp_1", "created_at": 1_700_000_000, "model": "gpt-4o-2024-08-06"}
    return {**whole, "status": status, "error": None, **fields}


def letters(text: str) -> int:
    return len(text)


# Whole answers


def test_usage_and_tier_of_a_whole_response() -> None:
    found = read_response(response(usage=USAGE, service_tier="flex"))
    assert found == Reading(COUNTED, "flex")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        response(usage=None),
        response(usage={"input_tokens": 5}),
        response(usage={**USAGE, "total_tokens": 131}),
        response(usage={**USAGE, "input_tokens": "100"}),
    ],
)
def test_missing_is_not_zero(payload: object) -> None:
    assert read_response(payload).usage is None


def test_an_explicit_zero_is_zero() -> None:
    zero = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert read_response(response(usage=zero)).usage == Usage()


@pytest.mark.parametrize("tier", ["auto", None, 5])
def test_a_tier_that_is_not_known_yet_is_none(tier: object) -> None:
    assert read_response(response(usage=USAGE, service_tier=tier)).service_tier is None


@pytest.mark.parametrize(
    ("output", "calls"),
    [
        ([], 0),
        ([MESSAGE, {"type": "function_call"}], 0),
        ([search("search"), search("search", 2), MESSAGE], 2),
        # Reading on in what a search has found has no fee.
        ([search("search"), search("open_page"), search("find_in_page")], 1),
        # What does not say what it did is taken to have one.
        ([search(None), search("of_tomorrow"), search(["search"])], 3),
        (None, 0),
        ([None, "web_search_call"], 0),
    ],
)
def test_searches_are_counted_from_the_output(output: object, calls: int) -> None:
    usage = read_response(response(usage=USAGE, output=output)).usage
    assert usage is not None
    assert usage.web_search_calls == calls


# What the client becomes the owner of


def test_a_stored_response_and_its_items() -> None:
    answer = response(output=[MESSAGE, search("search"), {"type": "reasoning"}, None])
    assert stored_response(answer) == [
        Found(Kind.RESPONSE, "resp_1", 1_700_000_000, "gpt-4o-2024-08-06"),
        Found(Kind.RESPONSE_ITEM, "msg_1"),
        Found(Kind.RESPONSE_ITEM, "ws_1"),
    ]
    # What is not stored cannot be referred to; its searches may be replayed.
    assert unstored_response(answer) == [Found(Kind.RESPONSE_ITEM, "ws_1")]


@pytest.mark.parametrize("answer", [{}, {"id": 5}, {"error": {"message": "x"}}])
def test_an_answer_without_an_id_is_nobodys(answer: dict[str, Any]) -> None:
    assert stored_response(answer) == []


def test_times_may_be_fractions_or_missing() -> None:
    assert stored_response({"id": "resp_1", "created_at": 5.7})[0].created_at == 5
    assert stored_response({"id": "resp_1", "created_at": "x", "model": None})[0].created_at == 0


# Streams


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
def test_the_last_event_has_the_usage(end: str) -> None:
    meter = ResponseStreamMeter(stored=True)
    begin = response("in_progress", usage=None, service_tier="auto")
    whole = response(end, usage=USAGE, service_tier="default", output=[search("search")])
    events = [
        event("response.created", response=begin, sequence_number=0),
        event("response.in_progress", response=begin, sequence_number=1),
        event("response.output_item.added", output_index=0, item=search(None)),
        delta("hello"),
        event(f"response.{end}", response=whole, sequence_number=4),
    ]
    assert [meter.take(one) for one in events] == events
    assert meter.usage == COUNTED.with_web_search_calls(1)
    assert meter.service_tier == "default"
    assert meter.done
    assert meter.complete
    assert not meter.failed
    assert meter.kept_bytes == sum(map(len, events))


def test_ids_are_found_once_and_before_their_event_passes() -> None:
    meter = ResponseStreamMeter(stored=True)
    meter.take(event("response.created", response=response("queued")))
    assert meter.found == [Found(Kind.RESPONSE, "resp_1", 1_700_000_000, "gpt-4o-2024-08-06")]
    meter.found.clear()
    for kind in ("response.queued", "response.in_progress"):
        meter.take(event(kind, response=response("queued")))
    assert meter.found == []
    for kind in ("added", "done"):
        meter.take(event(f"response.output_item.{kind}", output_index=0, item=MESSAGE))
    late = {"type": "function_call", "id": "fc_1"}
    meter.take(event("response.completed", response=response(output=[MESSAGE, late])))
    assert [found.id for found in meter.found] == ["msg_1", "fc_1"]


def test_what_is_not_stored_has_no_owner_but_for_searches() -> None:
    meter = ResponseStreamMeter(stored=False)
    meter.take(event("response.created", response=response("in_progress")))
    meter.take(event("response.output_item.added", output_index=0, item=MESSAGE))
    meter.take(event("response.output_item.added", output_index=1, item=search("search")))
    meter.take(event("response.completed", response=response(output=[MESSAGE])))
    assert meter.found == [Found(Kind.RESPONSE_ITEM, "ws_1")]


def test_generated_text_is_never_taken_for_an_event() -> None:
    meter = ResponseStreamMeter(stored=True)
    lie = json.dumps({"type": "response.completed", "response": response(usage=USAGE)})
    for one in (delta(lie), delta('"response.failed" "error"'), delta("response.completed")):
        assert meter.take(one) == one
    assert (meter.done, meter.failed, meter.found) == (False, False, [])
    assert meter.usage is None


def test_usage_of_a_stream_that_goes_on_is_not_its_end() -> None:
    meter = ResponseStreamMeter(stored=True)
    meter.take(event("response.in_progress", response=response("in_progress", usage=USAGE)))
    assert meter.usage is None
    assert not meter.complete


@pytest.mark.parametrize(
    "told",
    [
        event("error", code="server_error", message="m", param=None, sequence_number=3),
        b'data: {"error": {"message": "m"}}\n\n',
    ],
)
def test_an_error_is_a_failure(told: bytes) -> None:
    meter = ResponseStreamMeter(stored=True)
    meter.take(told)
    assert meter.failed
    assert not meter.done


@pytest.mark.parametrize(
    "junk",
    [
        b"event: response.completed\ndata: {\n\n",
        b'data: ["response.completed"]\n\n',
        b'data: {"type": ["response.completed"]}\n\n',
        b'data: {"type": "response.completed", "response": null}\n\n',
        b'data: {"type": "response.created", "response": []}\n\n',
        b'data: {"type": "response.output_item.added", "item": 5}\n\n',
        b": response.completed\n\n",
    ],
)
def test_junk_passes_and_tells_nothing(junk: bytes) -> None:
    meter = ResponseStreamMeter(stored=True)
    assert meter.take(junk) == junk
    assert (meter.done, meter.failed, meter.found) == (False, False, [])


def test_the_error_event_has_both_of_openais_shapes() -> None:
    meter = ResponseStreamMeter(stored=True)
    meter.take(b": a comment\n\n")
    meter.take(event("response.created", response=response("in_progress")))
    fields = {"message": "It broke.", "type": "server_error", "param": None, "code": "broken"}
    told = meter.error_event(fields)
    assert told.startswith(b"event: error\n")
    assert json.loads(event_data(told)) == {
        "type": "error",
        "code": "broken",
        "message": "It broke.",
        "param": None,
        "sequence_number": 1,
        "error": fields,
    }


# Estimates of broken streams: one token a letter here


def estimate(*events: bytes) -> int | None:
    meter = ResponseStreamMeter(stored=True)
    for one in events:
        meter.take(one)
    counted = meter.output_tokens_counted(letters)
    return None if counted is None else counted - OUTPUT_AHEAD_TOKENS


def test_deltas_are_counted_joined() -> None:
    assert estimate(delta("hel"), delta("lo")) == 5 + 16
    # An item in between does not tear them apart, nor count twice once it is done.
    done = {**MESSAGE, "content": [{"type": "output_text", "text": "hello"}]}
    added = event("response.output_item.added", output_index=0, item=MESSAGE)
    finished = event("response.output_item.done", output_index=0, item=done)
    assert estimate(added, delta("hel"), delta("lo"), finished) == 5 + 5 + 16


def test_calls_are_counted_with_their_names() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "weather"}
    added = event("response.output_item.added", output_index=0, item={**call, "arguments": ""})
    arguments = delta('{"city"', kind="response.function_call_arguments")
    found = estimate(added, arguments)
    assert found is not None
    assert found >= len("weather") + len('{"city"')


def test_items_without_deltas_are_counted_as_well() -> None:
    summary = [{"type": "summary_text", "text": "thoughts"}]
    item = {"type": "reasoning", "id": "rs_1", "summary": summary}
    found = estimate(event("response.output_item.done", output_index=0, item=item))
    assert found is not None
    assert found >= len("thoughts")


def test_places_are_counted_apart() -> None:
    assert estimate(delta("one", 0), delta("two", 1)) == 2 * (3 + 16)


def test_nothing_that_is_no_text_is_counted() -> None:
    assert estimate(event("response.created", response=response("in_progress"))) == 0
    assert estimate(b'data: {"type": "response.output_text.delta", "delta": 5}\n\n') == 0


def test_what_cannot_be_read_cannot_be_counted() -> None:
    assert estimate(delta("one"), b"data: {broken\n\n", delta("two")) is None
    assert estimate(delta("one"), b": a comment\n\n", b"data: []\n\n") == 3 + 16


def test_a_long_stream_is_not_kept() -> None:
    meter = ResponseStreamMeter(stored=True)
    piece = delta("x" * 100_000)
    while meter.kept_bytes <= KEPT_BYTES_MAX:
        meter.take(piece)
    kept = len(meter.kept)
    meter.take(piece)
    assert len(meter.kept) == kept
    assert meter.output_tokens_counted(letters) is None


@pytest.mark.parametrize("place", [[1, 2], {"a": 1}, None, "x", 10**30])
def test_output_is_counted_wherever_a_provider_says_that_it_is(place: Any) -> None:
    meter = ResponseStreamMeter(stored=False)
    delta = {"type": "response.output_text.delta", "output_index": place, "content_index": place}
    item = {"type": "response.output_item.added", "output_index": place, "item": {"text": "abc"}}
    for told in ({**delta, "delta": "hi"}, {**delta, "delta": "there"}, item):
        meter.take(data_event(json.dumps(told).encode()))
    assert (meter.output_tokens_counted(len) or 0) >= OUTPUT_AHEAD_TOKENS + len("hithere")
