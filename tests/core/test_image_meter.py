from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.image_meter import picture_stream_meter, read_picture_tokens, read_pictures
from gateway.core.meters import Reading
from gateway.core.usage import Usage

REPORT = {
    "input_tokens": 50,
    "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
    "output_tokens": 272,
    "total_tokens": 322,
}
USAGE = Usage(
    input_tokens=50, image_input_tokens=40, output_tokens=272, image_output_tokens=272, images=1
)


@pytest.mark.parametrize("certain", [True, False])
def test_pictures_are_counted(certain: bool) -> None:
    answer = {"data": [{"url": "a"}, {"url": "b"}], "usage": REPORT}
    assert read_pictures(answer, certain) == Reading(Usage(images=2), None, certain)
    assert read_pictures({"data": []}, certain) == Reading(Usage(), None, certain)


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"data": None}, {"data": {}}])
def test_an_answer_without_pictures_says_nothing(answer: object) -> None:
    assert read_pictures(answer, True).usage is None
    assert read_picture_tokens(answer).usage is None


def test_tokens_are_read_and_pictures_counted_for_reports() -> None:
    assert read_picture_tokens({"data": [{}], "usage": REPORT}) == Reading(USAGE, None)


@pytest.mark.parametrize("report", [None, {}, {**REPORT, "total_tokens": 1}, {"input_tokens": -1}])
def test_reports_that_say_nothing_or_contradict_themselves(report: object) -> None:
    assert read_picture_tokens({"data": [{}], "usage": report}) == Reading(None, None)


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_a_stream_ends_with_the_finished_picture(kind: str) -> None:
    meter = picture_stream_meter(1)
    partial = _event(f"{kind}.partial_image", b64_json="x" * 1_400_000, usage=REPORT)
    assert meter.take(partial) is partial
    assert (meter.done, meter.usage) == (False, None)
    last = _event(f"{kind}.completed", b64_json="y", usage=REPORT)
    assert meter.take(last) is last
    assert (meter.done, meter.complete, meter.usage) == (True, True, USAGE)


def test_a_stream_of_several_pictures_is_not_believed() -> None:
    meter = picture_stream_meter(2)
    # The first of them does not end the stream: what breaks off after it is not whole.
    for done in (False, True):
        meter.take(_event("image_generation.completed", usage=REPORT))
        assert (meter.done, meter.complete, meter.usage) == (done, done, None)
