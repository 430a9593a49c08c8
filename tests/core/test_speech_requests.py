from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bounds import bound_of_usage
from gateway.core.errors import BadRequest
from gateway.core.meters import Reading
from gateway.core.speech_requests import (
    SoundMeter,
    Wishes,
    is_billed_by_character,
    most_usage,
    speech_stream_meter,
    wishes_of,
)
from gateway.core.sse import data_event
from gateway.core.usage import Usage
from gateway.simulator.sound import mp3, pcm, wav
from tests.core.media_prices import MINI_TTS, TTS


def _wishes(**fields: Any) -> Wishes:
    return wishes_of({"input": "hello", **fields})


def test_what_a_request_asks_for() -> None:
    assert _wishes() == Wishes("hello", "", Fraction(1), "mp3", False)
    wishes = _wishes(
        instructions="Low.", speed=0.3, response_format="wav", stream_format="sse", voice={}
    )
    assert wishes == Wishes("hello", "Low.", Fraction(3, 10), "wav", True)


@pytest.mark.parametrize("length", [1, 4_096])
def test_the_longest_text(length: int) -> None:
    assert len(_wishes(input="예" * length).text) == length


@pytest.mark.parametrize("text", [None, "", "x" * 4_097, 5, ["a"]])
def test_texts_that_are_refused(text: object) -> None:
    with pytest.raises(BadRequest) as refused:
        wishes_of({"input": text})
    assert refused.value.param == "input"


def test_characters_are_known_beforehand() -> None:
    assert is_billed_by_character(TTS)
    most = most_usage(TTS, _wishes(input="é예🎈"), 1_000)
    assert most == Usage(characters=3)
    assert bound_of_usage(TTS, most).worst_nano == 45_000
    meter = SoundMeter(most, "mp3")
    for size, whole in ((0, False), (10, False), (10, True)):
        assert meter.reading(size, whole) == Reading(most, None)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"input": "x" * 120}, 60 + 60),
        ({"input": "예" * 40}, 60 + 60),
        ({"input": "x" * 120, "speed": 4}, 60 + 60),
        ({"input": "x" * 120, "speed": 0.25}, 60 + 240),
        ({"input": "x" * 120, "instructions": "Slowly."}, 60 + 120),
    ],
)
def test_sound_is_bounded_by_the_slowest_pace(fields: dict[str, Any], seconds: int) -> None:
    assert not is_billed_by_character(MINI_TTS)
    most = most_usage(MINI_TTS, _wishes(**fields), 30)
    tokens = -(-seconds * 1_250 // 60)
    assert most == Usage(input_tokens=62, output_tokens=tokens, audio_output_tokens=tokens)
    assert bound_of_usage(MINI_TTS, most).worst_nano == 62 * 1_000 + tokens * 12_000


MOST = Usage(input_tokens=62, output_tokens=9_000, audio_output_tokens=9_000)


def _heard(data: bytes, form: str, *, whole: bool = True) -> Reading:
    meter = SoundMeter(MOST, form)
    for start in range(0, len(data), 999):
        meter.hear(data[start : start + 999])
    return meter.reading(len(data), whole)


@pytest.mark.parametrize(
    ("data", "form", "tokens"),
    [
        (pcm(6_000), "pcm", 125),
        (pcm(6_001), "pcm", 126),
        (wav(6_000), "wav", 126),
        (mp3(6_000), "mp3", 125),
        (mp3(6_001), "mp3", 126),
        (b"", "pcm", 0),
        (bytes(750), "opus", 21),
        (bytes(7_500), "aac", 209),
        # More than the bound would be, at the lowest rate of the format.
        (bytes(750_000), "opus", None),
        (bytes(10), "flac", None),
        (bytes(10), "midi", None),
    ],
)
def test_what_came_is_counted_from_above(data: bytes, form: str, tokens: int | None) -> None:
    reading = _heard(data, form)
    if tokens is None:
        assert reading == Reading(None, None)
        return
    usage = Usage(input_tokens=62, output_tokens=tokens, audio_output_tokens=tokens)
    assert reading == Reading(usage, None, certain=False)


@pytest.mark.parametrize("form", ["pcm", "mp3", "opus"])
def test_what_was_broken_off_says_nothing(form: str) -> None:
    assert _heard(pcm(100), form, whole=False) == Reading(None, None)


@given(st.integers(0, 20_000))
def test_never_less_than_the_provider_counts(milliseconds: int) -> None:
    truth = -(-milliseconds * 1_250 // 60_000)
    for draw, form in ((pcm, "pcm"), (wav, "wav"), (mp3, "mp3")):
        usage = _heard(draw(milliseconds), form).usage
        assert usage is not None
        assert truth <= usage.audio_output_tokens <= truth + 1


def test_events_report_their_usage() -> None:
    done = (
        b'{"type":"speech.audio.done","usage":'
        b'{"input_tokens":3,"output_tokens":4,"total_tokens":7}}'
    )
    meter = speech_stream_meter(MOST)
    meter.take(data_event(b'{"type":"speech.audio.delta","audio":"AA=="}'))
    assert not meter.done
    meter.take(data_event(done))
    assert meter.usage == Usage(input_tokens=3, output_tokens=4, audio_output_tokens=4)
    by_character = speech_stream_meter(Usage(characters=9))
    by_character.take(data_event(b'{"type":"speech.audio.done"}'))
    assert by_character.usage == Usage(characters=9)
