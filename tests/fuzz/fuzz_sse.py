"""Fuzzes event streams: however the bytes of one are cut, they mean the same and come out the same.

The oracle reads a stream line by line, as the standard says it (WHATWG HTML, section 9.2), and each
event as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.core import sse
from gateway.core.chat_meter import ChatStreamMeter
from gateway.core.final_meter import FinalUsageMeter
from gateway.core.image_meter import picture_stream_meter
from gateway.core.meters import StreamMeter, read_answer
from gateway.core.response_meter import ENDS, ResponseStreamMeter, read_response
from gateway.core.usage import usage_from_speech, usage_from_transcription
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent, pieces
from tests.fuzz.random_json import changed

ENDINGS = (
    b"\n\n",
    b"\n\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\r\r",
    b"\r\n\n",
    b"\n\r\n",
    b"\n\r",
    b"\n",
    b"\r",
)
NAMES = ("usage", "choices", "delta", "error", "type", "response", "item", "id", "index", "a")
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
USAGE_2 = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
DELTA = {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}
CHUNK = {"id": "c_1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
RESPONSE = {"id": "resp_1", "created_at": 5, "model": "m", "status": "completed", "usage": USAGE_2}
ITEM = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "hi"}]}
EVENTS: tuple[Any, ...] = (
    {**CHUNK, "choices": [DELTA], "usage": None},
    {**CHUNK, "choices": [DELTA], "service_tier": "flex"},
    {**CHUNK, "choices": [], "usage": USAGE, "service_tier": "default"},
    {**CHUNK, "choices": [DELTA], "usage": USAGE},
    {**CHUNK, "choices": [{"index": 1, "delta": {"audio": {"id": "audio_1", "data": "AA"}}}]},
    {**CHUNK, "choices": [{"index": 0, "text": "legacy", "logprobs": None}]},
    {"error": {"message": "no", "type": "server_error", "code": None, "param": None}},
    {"type": "response.created", "response": {**RESPONSE, "usage": None, "output": []}},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"},
    {"type": "response.completed", "response": {**RESPONSE, "output": [ITEM]}},
    {"type": "response.incomplete", "response": {**RESPONSE, "service_tier": "auto"}},
    {
        "type": "response.completed",
        "response": {**RESPONSE, "output": [{"type": "web_search_call"}]},
    },
    {"type": "image_generation.completed", "b64_json": "AA", "usage": USAGE_2},
    {"type": "image_generation.partial_image", "b64_json": "AA"},
    {"type": "speech.audio.done", "usage": USAGE_2},
    {"type": "transcript.text.done", "text": "hi", "usage": {"type": "duration", "seconds": 1.5}},
    {"type": "error", "message": "no"},
)
TOKENS = (
    *ENDINGS,
    *(b"data: ", b"data:", b"data", b"event: x\n", b": waiting\n\n", b"id: 1\n", b"retry: 5\n"),
    *(b"data: [DONE]\n\n", b"[DONE]", b',"usage":null', b', "usage": null', b'"usage":{}', b"}"),
    *(b'"error"', b'"usage"', b'"response.completed"', b"\ndata: ", b"\r\ndata:", b"\xef\xbb\xbf"),
    *(
        b"{",
        b"[",
        b'"',
        b"\\",
        b"\0",
        b"[" * 500,
        b'{"delta":' * 400,
        b"\xff",
        b"\\ud800",
        b"1e999",
    ),
)


def _event(rng: Random) -> bytes:
    fate = rng.random()
    if fate < 0.1:
        data = rng.choice((b"[DONE]", b"[DONE]", b"", b"null", b"1", b"no JSON", b'"text"', b"[]"))
    else:
        told = rng.choice(EVENTS)
        if rng.random() < 0.4:
            told = changed(rng, told, NAMES)
        separators = rng.choice(((",", ":"), (",", ":"), (", ", ": ")))
        ascii_only = rng.random() < 0.5
        text = json.dumps(told, separators=separators, ensure_ascii=ascii_only)
        data = text.encode("utf-8", "replace")
    if rng.random() < 0.05:
        half = rng.randrange(len(data) + 1)
        data = data[:half] + b"\ndata: " + data[half:]
    before = rng.choice((b"",) * 6 + (b"event: x\n", b": c\n", b"\n", b"id: 1\r\n"))
    return before + rng.choice((b"data: ",) * 5 + (b"data:",)) + data + rng.choice(ENDINGS)


def make(rng: Random) -> bytes:
    """A stream of events, as it is or bent."""
    data = b"".join(_event(rng) for _ in range(rng.randrange(1, 6)))
    return data if rng.random() < 0.5 else bent(rng, data, TOKENS)


# The oracle


def spec_data(stream: bytes) -> list[bytes]:
    """The data of all events that have some, the last one also where no blank line ends it.

    A line that is ``data`` alone is left out: it would add an empty line.
    """
    found, lines = [], []
    for line in [*re.split(rb"\r\n|\n|\r", stream), b""]:
        if line.startswith(b"data:"):
            lines.append(line[5:][line[5:6] == b" " :])
        elif not line and lines:
            found.append(b"\n".join(lines))
            lines = []
    return [data for data in found if data]


def _told(data: bytes) -> Mapping[str, Any] | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


# What is looked at


@dataclass
class Heard:
    """What became of one stream."""

    events: list[bytes]
    passed: list[bytes]
    rest: bytes
    meter: StreamMeter
    found: list[Any]


def hear(chunks: Sequence[bytes], meter: StreamMeter) -> Heard:
    """Meter a stream as ``gateway.relay_stream`` does."""
    splitter, heard = sse.EventSplitter(), Heard([], [], b"", meter, [])

    def take(event: bytes) -> None:
        heard.events.append(event)
        heard.passed.append(meter.take(event))
        heard.found += meter.found
        meter.found.clear()

    for chunk in chunks:
        for event in splitter.feed(chunk):
            take(event)
    heard.rest = splitter.rest
    if heard.rest.strip():
        take(heard.rest)
    return heard


METERS: tuple[Callable[[], StreamMeter], ...] = (
    lambda: ChatStreamMeter(show_usage=False, choices=2, stored=True),
    lambda: ChatStreamMeter(show_usage=True),
    lambda: ResponseStreamMeter(stored=True),
    lambda: ResponseStreamMeter(stored=False),
    lambda: picture_stream_meter(1),
    lambda: picture_stream_meter(2),
    lambda: FinalUsageMeter(("speech.audio.done",), usage_from_speech),
    lambda: FinalUsageMeter(("transcript.text.done",), usage_from_transcription),
)


def check(stream: bytes) -> bool:
    """Cut anyhow it is the same; its meaning is the standard's; usage is found and hidden."""
    quiet = len(stream) % 2 == 0
    make_meter = METERS[0] if quiet else METERS[1 + len(stream) // 2 % (len(METERS) - 1)]
    whole = hear([stream], make_meter())
    cut = hear(pieces(stream), make_meter())
    assert whole == cut, "another reading where it comes in pieces"
    ended = whole.events[: -1 if whole.rest.strip() else None]
    assert b"".join(ended) + whole.rest == stream, "bytes were lost or changed"
    data = [said for event in whole.events if (said := sse.event_data(event))]
    assert data == spec_data(stream), "other events than the standard finds"
    if not quiet:
        assert whole.passed == whole.events, "a stream that nothing was added to was changed"
    else:
        for event, passed in zip(whole.events, whole.passed, strict=True):
            _check_hidden(event, passed)
    _check_usage(whole.meter, whole.events)
    tokens = whole.meter.output_tokens_counted(len)
    assert tokens is None or tokens >= 0
    error = (
        whole.meter.error_event(dict.fromkeys(("code", "message", "param"), "x"))
        if isinstance(whole.meter, ResponseStreamMeter)
        else sse.comment("x")
    )
    assert sse.EventSplitter().feed(error) == [error]
    return whole.meter.usage is not None


def _check_hidden(event: bytes, passed: bytes) -> None:
    """What the gateway asked for is not shown, and nothing else is missing."""
    told = _told(sse.event_data(event))
    if told is None:
        assert passed == event or b'"usage"' in event
        return
    if "usage" not in told or b'"usage"' not in event:
        assert passed == event
        return
    if told["usage"] is not None and not told.get("choices"):
        assert passed == b""
        return
    shown = _told(sse.event_data(passed))
    meant = {name: value for name, value in told.items() if name != "usage"}
    assert repr(shown) == repr(meant), "more or less than the usage was taken out"


def _check_usage(meter: StreamMeter, events: Sequence[bytes]) -> None:
    """The usage is the last one that the stream tells, by whole events."""
    told = [found for event in events if (found := _told(sse.event_data(event))) is not None]
    if isinstance(meter, ChatStreamMeter):
        readings = [read_answer(one) for one in told if "usage" in one]
        usages = [one.usage for one in readings if one.usage is not None]
        assert meter.usage == (usages[-1] if usages else None)
    elif isinstance(meter, ResponseStreamMeter):
        ends = [
            one["response"]
            for one in told
            if one.get("type") in tuple(ENDS) and isinstance(one.get("response"), dict)
        ]
        assert meter.usage == (read_response(ends[-1]).usage if ends else None)
        assert meter.done == bool(ends)
    if meter.usage is not None:
        assert meter.usage.input_tokens >= 0 <= meter.usage.output_tokens


SSE = Fuzzer("sse", make, check, quick_inputs=6_000)
