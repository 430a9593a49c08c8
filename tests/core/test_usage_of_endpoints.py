"""Usage reports of the endpoints beside chat, in the shapes of OpenAI's API reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.usage import (
    COUNT_MAX,
    InvalidUsage,
    Usage,
    usage_from_batch,
    usage_from_fine_tuning,
    usage_from_images,
    usage_from_responses,
    usage_from_speech,
    usage_from_transcription,
)

Parser = Callable[[object], Usage | None]

IN_AND_OUT: tuple[Parser, ...] = (
    usage_from_responses,
    usage_from_batch,
    usage_from_images,
    usage_from_transcription,
    usage_from_speech,
)
"""All that read ``input_tokens`` and ``output_tokens``."""

RESPONSE: dict[str, Any] = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 50},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1300,
}
IMAGES: dict[str, Any] = {
    "input_tokens": 250,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 200},
    "output_tokens": 4160,
    "total_tokens": 4410,
}
SPOKEN: dict[str, Any] = {
    "type": "tokens",
    "input_tokens": 120,
    "input_token_details": {"text_tokens": 20, "audio_tokens": 100},
    "output_tokens": 30,
    "total_tokens": 150,
}


@pytest.mark.parametrize(
    ("parse", "report", "usage"),
    [
        (
            usage_from_responses,
            RESPONSE,
            Usage(
                input_tokens=1000,
                cached_input_tokens=400,
                cache_write_tokens=50,
                output_tokens=300,
                reasoning_tokens=200,
            ),
        ),
        (
            usage_from_batch,
            {
                "input_tokens": 12_000_000_000,
                "input_tokens_details": {"cached_tokens": 11_000_000_000},
                "output_tokens": 10_000_000_001,
                "output_tokens_details": {"reasoning_tokens": 7},
                "total_tokens": 22_000_000_001,
            },
            Usage(
                input_tokens=12_000_000_000,
                cached_input_tokens=11_000_000_000,
                output_tokens=10_000_000_001,
                reasoning_tokens=7,
            ),
        ),
        (
            usage_from_images,
            IMAGES,
            Usage(
                input_tokens=250,
                image_input_tokens=200,
                output_tokens=4160,
                image_output_tokens=4160,
            ),
        ),
        (
            usage_from_images,
            {**IMAGES, "output_tokens_details": {"text_tokens": 160, "image_tokens": 4000}},
            Usage(
                input_tokens=250,
                image_input_tokens=200,
                output_tokens=4160,
                image_output_tokens=4000,
            ),
        ),
        (
            usage_from_transcription,
            SPOKEN,
            Usage(input_tokens=120, audio_input_tokens=100, output_tokens=30),
        ),
        (
            usage_from_speech,
            {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            Usage(input_tokens=14, output_tokens=101, audio_output_tokens=101),
        ),
    ],
)
def test_every_part_of_a_report_is_read(parse: Parser, report: object, usage: Usage) -> None:
    assert parse(report) == usage


@pytest.mark.parametrize("parse", IN_AND_OUT)
@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        "usage",
        7,
        {},
        {"input_tokens": None, "output_tokens": 5},
        {"output_tokens": 5, "total_tokens": 5},
        {"input_tokens": 5},
        {"input_tokens": 5, "output_tokens": None},
        {"input_tokens": 5, "total_tokens": 4},
    ],
)
def test_a_missing_count_is_no_usage_rather_than_zero(parse: Parser, report: object) -> None:
    assert parse(report) is None


@pytest.mark.parametrize("parse", IN_AND_OUT)
def test_an_explicit_zero_is_zero(parse: Parser) -> None:
    assert parse({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}) == Usage()
    nulls = dict.fromkeys(
        ("input_tokens_details", "input_token_details", "output_tokens_details", "total_tokens")
    )
    assert parse({"input_tokens": 0, "output_tokens": 0, **nulls}) == Usage()


@pytest.mark.parametrize("parse", IN_AND_OUT)
@pytest.mark.parametrize("bad", [True, False, 1.0, "1", -1, COUNT_MAX + 1, [], {}])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "total_tokens"])
def test_what_is_not_a_count_is_invalid(parse: Parser, bad: object, name: str) -> None:
    with pytest.raises(InvalidUsage, match=name):
        parse({"input_tokens": 1, "output_tokens": 1, name: bad})


@pytest.mark.parametrize("parse", IN_AND_OUT)
def test_the_largest_count_is_believed(parse: Parser) -> None:
    usage = parse({"input_tokens": COUNT_MAX, "output_tokens": 0})
    assert usage is not None
    assert usage.input_tokens == COUNT_MAX


@pytest.mark.parametrize("parse", IN_AND_OUT)
@pytest.mark.parametrize("total", [0, 2, 4])
def test_totals_that_contradict_each_other_are_invalid(parse: Parser, total: int) -> None:
    with pytest.raises(InvalidUsage, match="total_tokens"):
        parse({"input_tokens": 1, "output_tokens": 2, "total_tokens": total})


@pytest.mark.parametrize(
    ("parse", "report"),
    [
        (usage_from_responses, {**RESPONSE, "input_tokens_details": {"cached_tokens": 1001}}),
        (
            usage_from_responses,
            {**RESPONSE, "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 401}},
        ),
        (usage_from_responses, {**RESPONSE, "output_tokens_details": {"reasoning_tokens": 301}}),
        (usage_from_responses, {**RESPONSE, "input_tokens_details": {"cached_tokens": "4"}}),
        (usage_from_responses, {**RESPONSE, "input_tokens_details": []}),
        (usage_from_images, {**IMAGES, "input_tokens_details": {"image_tokens": 251}}),
        (usage_from_images, {**IMAGES, "input_tokens_details": {"text_tokens": 251}}),
        (
            usage_from_images,
            {**IMAGES, "input_tokens_details": {"image_tokens": 100, "text_tokens": 149}},
        ),
        (
            usage_from_images,
            {**IMAGES, "output_tokens_details": {"image_tokens": 4160, "text_tokens": 1}},
        ),
        (usage_from_transcription, {**SPOKEN, "input_token_details": {"audio_tokens": 121}}),
        (
            usage_from_transcription,
            {**SPOKEN, "input_token_details": {"audio_tokens": 100, "text_tokens": 21}},
        ),
    ],
)
def test_parts_that_contradict_their_total_are_invalid(parse: Parser, report: object) -> None:
    with pytest.raises(InvalidUsage):
        parse(report)


@pytest.mark.parametrize(
    ("details", "dearer"),
    [
        (None, 120),
        ({}, 120),
        ({"text_tokens": 20}, 100),
        ({"audio_tokens": 90, "image_tokens": 90}, 90),
        ({"audio_tokens": 0, "image_tokens": 0, "text_tokens": 120}, 0),
    ],
)
def test_what_is_not_said_to_be_text_is_the_dearer_kind(details: object, dearer: int) -> None:
    heard = usage_from_transcription({**SPOKEN, "input_token_details": details})
    assert heard is not None
    assert heard.audio_input_tokens == dearer
    seen = usage_from_images(
        {"input_tokens": 120, "output_tokens": 0, "input_tokens_details": details}
    )
    assert seen is not None
    assert seen.image_input_tokens == dearer


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (9, 9_000),
        (9.0, 9_000),
        # 8.47 is no binary fraction: the decimal that was written counts.
        (8.47, 8_470),
        (0.1, 100),
        (0.0001, 1),
        (5e-324, 1),
        (59.9999, 60_000),
        (3723.501, 3_723_501),
        (10_000_000_001, 10_000_000_001_000),
    ],
)
def test_seconds_are_kept_in_milliseconds_rounded_up(seconds: float, milliseconds: int) -> None:
    usage = usage_from_transcription({"type": "duration", "seconds": seconds})
    assert usage == Usage(audio_milliseconds=milliseconds)
    assert usage_from_transcription({"seconds": seconds}) == usage


@pytest.mark.parametrize(
    "bad",
    [
        -1,
        -0.001,
        float("nan"),
        float("inf"),
        float("-inf"),
        1e300,
        COUNT_MAX,
        True,
        "9",
        [],
    ],
)
def test_seconds_that_are_no_duration_are_invalid(bad: object) -> None:
    with pytest.raises(InvalidUsage, match="seconds"):
        usage_from_transcription({"type": "duration", "seconds": bad})


@pytest.mark.parametrize(
    "report",
    [
        {"type": "duration"},
        {"type": "duration", "seconds": None},
        {"type": "duration", "input_tokens": 1, "output_tokens": 1},
        {"type": "tokens", "seconds": 9},
        {"type": "words", "seconds": 9, "input_tokens": 1, "output_tokens": 1},
        {"type": None, "seconds": 9},
        {"type": [], "seconds": 9},
    ],
)
def test_a_transcription_of_another_form_reports_nothing(report: object) -> None:
    assert usage_from_transcription(report) is None


def test_trained_tokens_are_of_a_job_that_ended() -> None:
    assert usage_from_fine_tuning({"trained_tokens": 5_768}) == Usage(trained_tokens=5_768)
    assert usage_from_fine_tuning({"trained_tokens": 0}) == Usage()
    for job in (None, {}, {"trained_tokens": None}, "job"):
        assert usage_from_fine_tuning(job) is None
    for bad in (-1, 1.5, True, COUNT_MAX + 1):
        with pytest.raises(InvalidUsage, match="trained_tokens"):
            usage_from_fine_tuning({"trained_tokens": bad})
