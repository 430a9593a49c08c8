from __future__ import annotations

import base64
import json
import math
from fractions import Fraction
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.sound import pcm
from gateway.simulator.sound_length import seconds_of
from tests.simulator.conftest import Simulated

TEXT = "Budgets are limits that hold. " * 4
"""120 characters: eight seconds of speech."""
SECONDS = 8
AUDIO_TOKENS = 167
"""8 * 1250 / 60, rounded up."""


@pytest.mark.parametrize(
    ("form", "kind", "seconds"),
    [
        ("wav", "audio/wav", Fraction(SECONDS)),
        ("mp3", "audio/mpeg", Fraction(math.ceil(8_000 / 24) * 24, 1_000)),
        (None, "audio/mpeg", Fraction(math.ceil(8_000 / 24) * 24, 1_000)),
    ],
)
def test_characters_are_charged_and_spoken(
    simulated: Simulated, client: OpenAI, form: Any, kind: str, seconds: Fraction
) -> None:
    wish = {"response_format": form} if form else {}
    with client.audio.speech.with_streaming_response.create(
        model="tts-1-hd", voice="alloy", input=TEXT, **wish
    ) as answer:
        assert answer.headers["content-type"] == kind
        assert answer.headers["transfer-encoding"] == "chunked"
        sound = answer.read()
    assert seconds_of(sound) == seconds
    charge = simulated.charge(answer.headers["x-request-id"])
    assert (charge.endpoint, charge.model, charge.units) == (
        "audio/speech",
        "tts-1-hd",
        {"characters": 120},
    )
    assert (charge.prompt_tokens, charge.completion_tokens) == (0, 0)


def test_characters_are_not_bytes(simulated: Simulated, client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input="예산은 지켜집니다"
    ) as answer:
        answer.read()
    assert simulated.charge(answer.headers["x-request-id"]).units == {"characters": 9}


def test_the_newer_model_is_charged_by_tokens(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts",
        voice="marin",
        input=TEXT,
        instructions="Speak slowly.",
        response_format="pcm",
    ) as answer:
        assert answer.read() == pcm(SECONDS * 1_000)
    charge = simulated.charge(answer.headers["x-request-id"])
    given = sum(tokenizer.count(text, "o200k_base") for text in (TEXT, "Speak slowly."))
    assert (charge.prompt_tokens, charge.completion_tokens) == (given, AUDIO_TOKENS)
    assert charge.units == {}


def test_events_carry_the_sound_and_its_usage(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts",
        voice="coral",
        input=TEXT,
        response_format="wav",
        stream_format="sse",
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    sound = b"".join(base64.b64decode(event["audio"]) for event in deltas)
    assert seconds_of(sound) == SECONDS
    given = tokenizer.count(TEXT, "o200k_base")
    assert done == {
        "type": "speech.audio.done",
        "usage": {
            "input_tokens": given,
            "output_tokens": AUDIO_TOKENS,
            "total_tokens": given + AUDIO_TOKENS,
        },
    }
    charge = simulated.charge(answer.headers["x-request-id"])
    assert (charge.completion_tokens, charge.streamed) == (AUDIO_TOKENS, True)


def test_faster_speech_is_shorter(simulated: Simulated, client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="ash", input=TEXT, response_format="wav", speed=4
    ) as answer:
        assert seconds_of(answer.read()) == 2
    assert simulated.charge(answer.headers["x-request-id"]).completion_tokens == 42


def test_the_length_can_be_directed(simulated: Simulated, client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts",
        voice="ash",
        input="x",
        response_format="wav",
        extra_headers={"x-sim-output-tokens": "1250"},
    ) as answer:
        assert seconds_of(answer.read()) == 60
    assert simulated.charge(answer.headers["x-request-id"]).completion_tokens == 1_250


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "x" * 4_097}, "input"),
        ({"voice": "gandalf"}, "voice"),
        ({"voice": "marin"}, "voice"),
        ({"voice": {"id": "voice_1"}, "model": "gpt-4o-mini-tts"}, "voice"),
        ({"response_format": "ogg"}, "response_format"),
        ({"response_format": "opus"}, "response_format"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"stream_format": "xml"}, "stream_format"),
        ({"model": "whisper-1"}, "model"),
        ({"instructions": ["x"], "model": "gpt-4o-mini-tts"}, "instructions"),
    ],
)
def test_bad_requests_are_refused(client: OpenAI, change: dict[str, Any], param: str) -> None:
    wish = {"model": "tts-1", "voice": "alloy", "input": "x", **change}
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(**wish)
    assert refused.value.param == param
