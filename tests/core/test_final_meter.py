from __future__ import annotations

import json

import pytest

from gateway.core.final_meter import FinalUsageMeter
from gateway.core.sse import data_event
from gateway.core.usage import Usage, usage_from_speech

REPORT = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
USAGE = Usage(input_tokens=3, output_tokens=4, audio_output_tokens=4)


def _meter() -> FinalUsageMeter:
    return FinalUsageMeter(("it.done", "it.ended"), usage_from_speech)


def _event(payload: object) -> bytes:
    return data_event(json.dumps(payload).encode())


@pytest.mark.parametrize("kind", ["it.done", "it.ended"])
def test_the_last_event_tells_the_usage(kind: str) -> None:
    meter = _meter()
    events = [_event({"type": "it.delta", "delta": "a"}), _event({"type": kind, "usage": REPORT})]
    assert [meter.take(event) for event in events] == events
    assert (meter.usage, meter.done, meter.complete, meter.failed) == (USAGE, True, True, False)
    assert meter.kept_bytes == sum(map(len, events))
    assert meter.output_tokens_counted(len) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "it.delta", "delta": "it.done", "usage": REPORT},
        {"type": "it.delta", "delta": '{"type":"it.done"}', "usage": REPORT},
        {"kind": "it.done", "usage": REPORT},
        {"type": ["it.done"], "usage": REPORT},
        ["it.done"],
        "it.done",
    ],
)
def test_what_only_looks_like_the_end(payload: object) -> None:
    meter = _meter()
    try:
        meter.take(_event(payload))
    except TypeError:
        pytest.fail("a type that is no string")
    assert (meter.done, meter.usage) == (False, None)


@pytest.mark.parametrize(
    "event",
    [b'data: {"type":"it.done",\n\n', b": it.done\n\n", b'data: "it.done"\n\n', b"\n\n"],
)
def test_what_is_no_json(event: bytes) -> None:
    meter = _meter()
    assert meter.take(event) == event
    assert not meter.done


@pytest.mark.parametrize("report", [None, {}, {**REPORT, "total_tokens": 8}, "x"])
def test_an_end_without_a_usage_to_believe(report: object) -> None:
    meter = _meter()
    meter.take(_event({"type": "it.done", "usage": report}))
    assert (meter.done, meter.complete, meter.usage) == (True, True, None)


@pytest.mark.parametrize("payload", [{"type": "error", "error": None}, {"error": {"message": "x"}}])
def test_an_error(payload: object) -> None:
    meter = _meter()
    meter.take(_event(payload))
    assert (meter.failed, meter.done) == (True, False)


def test_only_the_first_end_counts() -> None:
    meter = _meter()
    meter.take(_event({"type": "it.done", "usage": REPORT}))
    meter.take(_event({"type": "it.done", "usage": {"input_tokens": 0, "output_tokens": 0}}))
    assert meter.usage == USAGE
