from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.chat_meter import (
    KEPT_BYTES_MAX,
    OUTPUT_AHEAD_TOKENS,
    ChatStreamMeter,
    spoken_answers_of,
    stored_completion,
)
from gateway.core.meters import Reading, read_answer
from gateway.core.objects import Found, Kind
from gateway.core.sse import comment, data_event, event_data
from gateway.core.usage import Usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
TRICKY = ',"usage":null} "usage" {"error":1} [DONE] \\ \u2028 \U0001f600'


def chunk(delta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return {"id": "c1", "object": "chat.completion.chunk", "choices": choices, **fields}


def event(payload: object, *, spaced: bool = False) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return data_event(json.dumps(payload, ensure_ascii=False, separators=separators).encode())


def passed(payload: object, meter: ChatStreamMeter | None = None, *, spaced: bool = False) -> Any:
    """What a client that did not ask for usage gets of a chunk, parsed; None for nothing."""
    out = (meter or ChatStreamMeter(False)).take(event(payload, spaced=spaced))
    return json.loads(event_data(out)) if out else None


# Whole answers


@pytest.mark.parametrize(
    ("payload", "reading"),
    [
        ({"usage": USAGE}, Reading(Usage(input_tokens=7, output_tokens=5), None)),
        ({"usage": USAGE, "service_tier": "flex"}, Reading(Usage(7, output_tokens=5), "flex")),
        ({"usage": None, "service_tier": None}, Reading(None, None)),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 5}}, Reading(None, None)),
        ({"usage": {"prompt_tokens": 1.5, "completion_tokens": 5}}, Reading(None, None)),
        ({"usage": USAGE, "service_tier": 7}, Reading(Usage(7, output_tokens=5), None)),
        ([], Reading(None, None)),
        (None, Reading(None, None)),
    ],
)
def test_reading_of_a_whole_answer(payload: object, reading: Reading) -> None:
    assert read_answer(payload) == reading


# Streams: what is passed on


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("after", [{}, {"obfuscation": "x"}, {"obfuscation": "}{"}])
def test_usage_null_goes_and_nothing_else(spaced: bool, after: dict[str, str]) -> None:
    sent = chunk({"content": TRICKY}, usage=None, **after)
    kept = {name: value for name, value in sent.items() if name != "usage"}
    assert passed(sent, spaced=spaced) == kept


def test_usage_null_is_cut_without_touching_other_bytes() -> None:
    raw = b'data: {"a":1.50e0,"choices":[{"delta":{"content":"x"}}],"usage":null,"o":"y"}\r\n\r\n'
    meter = ChatStreamMeter(False)
    assert meter.take(raw) == raw.replace(b',"usage":null', b"")


def test_usage_null_of_a_part_stays() -> None:
    part = chunk({"content": "x", "usage": None})
    assert passed(part) == part
    part = chunk({"content": "x"})
    part["choices"][0]["usage"] = None
    assert passed(part) == part
    both = {**part, "usage": None}
    assert passed(both) == part


@pytest.mark.parametrize("show", [False, True])
@pytest.mark.parametrize(
    "content", ["usage", '"usage":null', ',"usage":null', '{"error":{}}', "[DONE]", "data: [DONE]"]
)
def test_content_about_usage_is_content(content: str, show: bool) -> None:
    meter = ChatStreamMeter(show)
    sent = event(chunk({"content": content}))
    assert meter.take(sent) == sent
    assert (meter.usage, meter.done, meter.failed) == (None, False, False)


def test_the_extra_usage_chunk_is_dropped_for_who_did_not_ask() -> None:
    meter = ChatStreamMeter(False)
    assert passed(chunk(usage=USAGE, service_tier="priority"), meter) is None
    assert (meter.usage, meter.service_tier) == (Usage(7, output_tokens=5), "priority")


def test_the_extra_usage_chunk_is_dropped_even_when_it_is_not_believed() -> None:
    meter = ChatStreamMeter(False)
    assert passed(chunk(usage={"prompt_tokens": 1, "completion_tokens": -1}), meter) is None
    assert meter.usage is None


def test_a_chunk_without_choices_is_not_a_usage_chunk() -> None:
    sent = chunk(usage=None, prompt_filter_results=[])
    assert passed(sent) == chunk(prompt_filter_results=[])


def test_usage_in_the_last_content_chunk_is_read_and_taken_out() -> None:
    meter = ChatStreamMeter(False)
    assert passed(chunk({"content": "end"}, usage=USAGE), meter) == chunk({"content": "end"})
    assert meter.usage == Usage(7, output_tokens=5)


@pytest.mark.parametrize("usage", [None, USAGE])
def test_who_asked_gets_every_byte(usage: object) -> None:
    for delta in (None, {"content": TRICKY}):
        meter = ChatStreamMeter(True)
        sent = event(chunk(delta, usage=usage))
        assert meter.take(sent) == sent
        assert (meter.usage is None) == (usage is None)


def test_half_a_surrogate_pair_does_not_break_a_stream() -> None:
    raw = (
        b'data: {"choices":[{"delta":{"content":"\\ud83d usage: \\"usage\\""}}],"usage": null}\n\n'
    )
    out = ChatStreamMeter(False).take(raw)
    sent = json.loads(event_data(raw))
    del sent["usage"]
    assert json.loads(event_data(out)) == sent


def test_the_end_and_errors_are_seen() -> None:
    meter = ChatStreamMeter(False)
    for raw in (b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n"):
        assert meter.take(raw) == raw
        assert meter.done
        meter.done = False
    failure = event({"error": {"message": "overloaded"}})
    assert meter.take(failure) == failure
    assert meter.failed
    fine = ChatStreamMeter(False)
    fine.take(event(chunk({"content": "x"}, error=None)))
    assert not fine.failed


@pytest.mark.parametrize(
    "raw", [b'data: {"usage"\n\n', b'data: "usage"\n\n', b'data: ["error"]\n\n', comment('"usage"')]
)
def test_what_is_no_chunk_is_passed_on(raw: bytes) -> None:
    assert ChatStreamMeter(False).take(raw) == raw


DELTAS = st.dictionaries(
    st.sampled_from(["content", "reasoning_content", "refusal", "usage", "error"]),
    st.one_of(st.none(), st.text(max_size=8), st.sampled_from([TRICKY, ',"usage":null}'])),
)


@settings(max_examples=60)
@given(DELTAS, st.sampled_from([None, USAGE, "missing"]), st.booleans(), st.booleans())
def test_a_chunk_less_its_usage_is_what_was_sent(
    delta: dict[str, Any], usage: Any, spaced: bool, more: bool
) -> None:
    sent = chunk(delta, **({} if usage == "missing" else {"usage": usage}))
    if more:
        sent["obfuscation"] = TRICKY
    kept = {name: value for name, value in sent.items() if name != "usage"}
    assert passed(sent, spaced=spaced) == kept


# Streams: what a broken one is charged at


def words(text: str) -> int:
    return len(text.split())


def counted(meter: ChatStreamMeter, *payloads: object) -> int:
    for payload in payloads:
        meter.take(event(payload))
    found = meter.output_tokens_counted(words)
    assert found is not None
    return found


def test_nothing_received_is_charged_at_what_may_have_been_made() -> None:
    assert counted(ChatStreamMeter(False)) == OUTPUT_AHEAD_TOKENS
    assert counted(ChatStreamMeter(False, 3)) == 3 * OUTPUT_AHEAD_TOKENS


def test_text_of_several_chunks_is_counted_joined() -> None:
    halves = [chunk({"content": "hel"}), chunk({"content": "lo you"}, usage=None)]
    assert counted(ChatStreamMeter(False), *halves) == OUTPUT_AHEAD_TOKENS + 2 + 8


def test_every_choice_counts_even_one_that_has_not_begun() -> None:
    one = chunk({"content": "a b"})
    other = chunk({"content": "c d e"})
    other["choices"][0]["index"] = 1
    assert counted(ChatStreamMeter(False, 4), one, other) == 4 * OUTPUT_AHEAD_TOKENS + 5 + 16
    # More choices than were asked for count too; a senseless number takes nothing away.
    other["choices"][0]["index"] = 6
    assert counted(ChatStreamMeter(False, 4), other) == 7 * OUTPUT_AHEAD_TOKENS + 3 + 8
    other["choices"][0]["index"] = -9
    assert counted(ChatStreamMeter(False), other) == OUTPUT_AHEAD_TOKENS + 3 + 8


def test_reasoning_refusals_and_tool_calls_count() -> None:
    calls = [{"index": 1, "function": {"name": "f g", "arguments": '{"x": '}}]
    rest = [{"index": 1, "function": {"arguments": "1 2}"}}]
    found = counted(
        ChatStreamMeter(False),
        chunk({"reasoning_content": "r s t"}),
        chunk({"refusal": "no"}),
        chunk({"tool_calls": calls}),
        chunk({"tool_calls": rest}),
    )
    assert found == OUTPUT_AHEAD_TOKENS + (3 + 8) + (1 + 8) + (2 + 8) + (3 + 8)


@given(st.lists(st.tuples(st.integers(0, 2), st.text("ab ", max_size=9))), st.integers(1, 4))
def test_the_count_is_never_below_what_arrived(parts: list[tuple[int, str]], choices: int) -> None:
    meter = ChatStreamMeter(False, choices)
    texts = {index: "" for index, _ in parts}
    for index, text in parts:
        piece = chunk({"content": text})
        piece["choices"][0]["index"] = index
        meter.take(event(piece))
        texts[index] += text
    found = meter.output_tokens_counted(words)
    assert found is not None
    assert found >= sum(words(text) for text in texts.values()) + choices * OUTPUT_AHEAD_TOKENS


def test_what_cannot_be_counted_is_said_so() -> None:
    meter = ChatStreamMeter(False)
    meter.take(b"data: {broken\n\n")
    assert meter.output_tokens_counted(words) is None
    meter = ChatStreamMeter(False)
    for _ in range(2):
        meter.take(b"data: " + b"x" * (KEPT_BYTES_MAX // 2) + b"\n\n")
    assert meter.output_tokens_counted(words) is None
    kept = sum(map(len, meter.kept))
    meter.take(b"data: " + b"x" * 1000 + b"\n\n")
    assert sum(map(len, meter.kept)) == kept


def test_texts_of_legacy_completions_are_counted() -> None:
    meter = ChatStreamMeter(False, choices=2)
    for index, text in ((0, "one two"), (1, "three"), (0, " four")):
        meter.take(event({"choices": [{"index": index, "text": text, "finish_reason": None}]}))
    # Three words and one, eight tokens a text.
    assert meter.output_tokens_counted(words) == 3 + 1 + 2 * 8 + 2 * OUTPUT_AHEAD_TOKENS


@pytest.mark.parametrize(
    "payload",
    [
        [],
        None,
        {"choices": {}},
        {"choices": [None, 1, {"delta": []}]},
        {"choices": [{"index": True, "delta": {"content": 7, "more": [None, {"index": "x"}]}}]},
    ],
)
def test_odd_shapes_are_counted_without_a_crash(payload: object) -> None:
    assert counted(ChatStreamMeter(False), payload) >= OUTPUT_AHEAD_TOKENS


# Usage that is reported on the way


def test_usage_beside_an_answer_is_of_its_part_until_the_end() -> None:
    meter = ChatStreamMeter(show_usage=False)
    running = {"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": USAGE}
    meter.take(data_event(json.dumps(running).encode()))
    assert meter.usage is not None
    assert not meter.complete
    meter.take(b"data: [DONE]\n\n")
    assert meter.complete


def test_usage_in_a_chunk_of_its_own_is_of_the_whole() -> None:
    meter = ChatStreamMeter(show_usage=False)
    meter.take(data_event(json.dumps({"choices": [], "usage": USAGE}).encode()))
    assert meter.complete


# Spoken answers, which the provider keeps by ids of their own

SPOKEN = {"id": "audio_1", "data": "UklGRg==", "transcript": "Hello.", "expires_at": 9}


def test_a_spoken_answer_is_an_object_whether_or_not_the_completion_is_kept() -> None:
    answer = {
        "id": "chatcmpl-1",
        "created": 5,
        "model": "gpt-audio",
        "choices": [
            {"index": 0, "message": {"content": None, "audio": SPOKEN}},
            {"index": 1, "message": {"content": None, "audio": {**SPOKEN, "id": "audio_2"}}},
            {"index": 2, "message": {"content": "silent", "audio": None}},
        ],
    }
    spoken = [Found(Kind.SPOKEN_ANSWER, f"audio_{n}", 5, "gpt-audio") for n in (1, 2)]
    assert spoken_answers_of(answer) == spoken
    kept = Found(Kind.COMPLETION, "chatcmpl-1", 5, "gpt-audio")
    assert stored_completion(answer) == [kept, *spoken]


@pytest.mark.parametrize(
    "answer", [{}, {"choices": None}, {"choices": [None, {"message": 1}, {"delta": {"audio": 1}}]}]
)
def test_an_answer_that_says_nothing(answer: dict[str, Any]) -> None:
    assert spoken_answers_of(answer) == []


@pytest.mark.parametrize("stored", [False, True])
def test_a_spoken_answer_of_a_stream_is_found_once_with_its_first_piece(stored: bool) -> None:
    meter = ChatStreamMeter(False, stored=stored)
    pieces: list[dict[str, Any]] = [
        {"role": "assistant"},
        {"audio": {"id": "audio_1", "transcript": "Hel"}},
        {"audio": SPOKEN},
    ]
    for piece in pieces:
        assert passed(chunk(piece), meter) == chunk(piece)
        if piece == pieces[1]:
            assert [one.id for one in meter.found if one.kind is Kind.SPOKEN_ANSWER] == ["audio_1"]
    kinds = [Kind.COMPLETION] * stored + [Kind.SPOKEN_ANSWER]
    assert [one.kind for one in meter.found] == kinds


def test_a_piece_of_sound_that_is_no_json_is_passed_on() -> None:
    meter = ChatStreamMeter(False)
    raw = b'data: {"audio"\n\n'
    assert meter.take(raw) == raw
    assert meter.found == []


def test_a_comment_that_looks_like_usage_passes_as_it_is() -> None:
    meter = ChatStreamMeter(show_usage=False)
    event = b'data: {"choices":[]}\n: {"x":1,"usage":null}\n\n'
    assert meter.take(event) == event
