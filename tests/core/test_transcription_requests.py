from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from gateway.core.catalog import ModelFacts, facts_for
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.meters import Reading
from gateway.core.sse import data_event
from gateway.core.transcription_requests import (
    bound_transcription,
    is_billed_by_time,
    read_transcription,
    transcript_meter,
)
from gateway.core.usage import Usage
from tests.core.media_prices import DALLE_3, TRANSCRIBE, WHISPER

FACTS = facts_for("gpt-4o-transcribe")
TOKENS = {
    "type": "tokens",
    "input_tokens": 30,
    "input_token_details": {"audio_tokens": 25, "text_tokens": 5},
    "output_tokens": 9,
    "total_tokens": 39,
}
USED = Usage(input_tokens=30, audio_input_tokens=25, output_tokens=9)


@pytest.mark.parametrize(
    ("seconds", "nano"),
    [
        (Fraction(0), 0),
        (Fraction(1, 1_000), 100_000),
        (Fraction(60), 6_000_000),
        (Fraction(60_001, 1_000), 6_100_000),
    ],
)
def test_time_is_billed_by_begun_seconds(seconds: Fraction, nano: int) -> None:
    bound = bound_transcription(WHISPER, facts_for("whisper-1"), seconds, 1_000)
    assert (bound.worst_nano, bound.least_nano) == (nano, nano)


@pytest.mark.parametrize(
    ("seconds", "audio", "output"),
    [
        (Fraction(0), 10, 2_000),
        (Fraction(10), 110, 2_000),
        (Fraction(10_001, 1_000), 111, 2_000),
        (Fraction(100), 1_010, 2_000),
        (Fraction(1_400), 14_010, 28_000),
    ],
)
def test_tokens_of_sound_prompt_and_text(seconds: Fraction, audio: int, output: int) -> None:
    bound = bound_transcription(TRANSCRIBE, FACTS, seconds, 5)
    # The prompt counts as sound, should the report not say what it is.
    assert bound.worst_nano == (audio + 5 + 32) * 6_000 + output * 10_000
    assert bound.input_tokens == audio + 5 + 32


def test_a_model_that_may_write_any_length_is_refused() -> None:
    with pytest.raises(BadRequest):
        bound_transcription(TRANSCRIBE, ModelFacts("x"), Fraction(1), 1)
    stated = replace(TRANSCRIBE, output_tokens_max=100)
    bound = bound_transcription(stated, ModelFacts("x"), Fraction(1), 0)
    assert bound.worst_nano == (20 + 32) * 6_000 + 100 * 10_000


def test_which_models_are_billed_by_time() -> None:
    assert is_billed_by_time(WHISPER)
    assert not is_billed_by_time(TRANSCRIBE)
    with pytest.raises(ModelUnpriced):
        bound_transcription(DALLE_3, FACTS, Fraction(1), 1)


@pytest.mark.parametrize("form", [None, "json", "verbose_json", "diarized_json"])
def test_reported_usage_is_read(form: str | None) -> None:
    assert read_transcription({"usage": TOKENS}, form, False) == Reading(USED, None)
    timed = {"usage": {"type": "duration", "seconds": 9}, "duration": 8.2}
    assert read_transcription(timed, form, True) == Reading(Usage(audio_milliseconds=9_000), None)


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_spoken_text_is_never_taken_for_a_report(form: str) -> None:
    assert read_transcription({"usage": TOKENS, "duration": 0}, form, True) == Reading(None, None)


@pytest.mark.parametrize(
    ("answer", "milliseconds"),
    [
        ({"duration": 8.47}, 9_000),
        ({"duration": 8}, 8_000),
        ({"duration": 0.0}, 0),
        ({"duration": 8.1, "usage": None}, 9_000),
        ({"duration": -1}, None),
        ({"duration": float("nan")}, None),
        ({"duration": 1e300}, None),
        ({"duration": True}, None),
        ({"duration": "8"}, None),
        ({"duration": 8, "usage": {"type": "duration", "seconds": -1}}, None),
        ({"text": "x"}, None),
        ([], None),
        (None, None),
        (123, None),
    ],
)
def test_a_stated_duration_is_billed_by_begun_seconds(
    answer: Any, milliseconds: int | None
) -> None:
    usage = None if milliseconds is None else Usage(audio_milliseconds=milliseconds)
    assert read_transcription(answer, "verbose_json", True) == Reading(usage, None)
    assert read_transcription(answer, "verbose_json", False).usage is None


def test_a_stream_ends_with_the_text() -> None:
    meter = transcript_meter()
    meter.take(data_event(b'{"type":"transcript.text.delta","delta":"transcript.text.done"}'))
    assert not meter.done
    report = b'{"type":"tokens","input_tokens":3,"output_tokens":4,"total_tokens":7}'
    meter.take(data_event(b'{"type":"transcript.text.done","text":"x","usage":' + report + b"}"))
    assert meter.usage == Usage(input_tokens=3, audio_input_tokens=3, output_tokens=4)
    assert meter.complete
