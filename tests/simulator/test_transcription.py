from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.audio import Transcription

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.sound import mp3, wav
from gateway.simulator.transcription import FILE_BYTES_MAX
from gateway.simulator.truth import Charge
from tests.simulator.conftest import Simulated

SOUND = ("speech.wav", wav(12_300))
GPT = ["gpt-4o-transcribe", "gpt-4o-mini-transcribe"]


def _asked(simulated: Simulated, client: OpenAI, **wish: Any) -> tuple[Any, Charge]:
    response = client.audio.transcriptions.with_raw_response.create(**{"file": SOUND, **wish})
    return response.parse(), simulated.charge(response.headers["x-request-id"])


def test_whisper_is_charged_by_begun_seconds(simulated: Simulated, client: OpenAI) -> None:
    ignored = {"stream": True}
    answer, charge = _asked(
        simulated, client, model="whisper-1", prompt="Faregate", extra_body=ignored
    )
    assert answer.usage.to_dict() == {"type": "duration", "seconds": 13}
    assert 20 <= len(answer.text.split()) <= 31
    assert (charge.endpoint, charge.units) == ("audio/transcriptions", {"audio_ms": 13_000})
    assert (charge.prompt_tokens, charge.audio_prompt_tokens, charge.completion_tokens) == (0, 0, 0)


@pytest.mark.parametrize("model", GPT)
def test_newer_models_are_charged_by_tokens(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer, model: str
) -> None:
    answer, charge = _asked(simulated, client, model=model, prompt="Names: Faregate")
    prompt = tokenizer.count("Names: Faregate", "o200k_base")
    written = tokenizer.count(answer.text, "o200k_base")
    assert answer.usage.to_dict() == {
        "type": "tokens",
        "input_tokens": 123 + prompt,
        "input_token_details": {"audio_tokens": 123, "text_tokens": prompt},
        "output_tokens": written,
        "total_tokens": 123 + prompt + written,
    }
    assert (charge.model, charge.units) == (model, {})
    assert charge.prompt_tokens == 123 + prompt
    assert (charge.audio_prompt_tokens, charge.completion_tokens) == (123, written)


def test_a_stream_ends_with_the_text_and_the_usage(simulated: Simulated, client: OpenAI) -> None:
    stream = client.audio.transcriptions.create(
        file=SOUND, model=GPT[0], stream=True, include=["logprobs"], chunking_strategy="auto"
    )
    *deltas, done = stream
    assert done.type == "transcript.text.done"
    assert done.text == "".join(e.delta for e in deltas if e.type == "transcript.text.delta")
    assert done.logprobs
    assert done.usage is not None
    charge = simulated.charge(stream.response.headers["x-request-id"])
    assert (charge.streamed, charge.finished) == (True, True)
    assert (done.usage.input_tokens, done.usage.output_tokens) == (
        charge.prompt_tokens,
        charge.completion_tokens,
    )


def test_the_same_file_has_the_same_text(client: OpenAI) -> None:
    def text(sound: bytes) -> str:
        heard = client.audio.transcriptions.create(file=("a.wav", sound), model=GPT[0])
        return heard.text

    assert text(wav(5_000)) == text(wav(5_000)) != text(wav(5_001))


def test_an_mp3_is_measured_by_its_frames(simulated: Simulated, client: OpenAI) -> None:
    _, charge = _asked(simulated, client, file=("a.mp3", mp3(61_000)), model="whisper-1")
    assert charge.units == {"audio_ms": 62_000}


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_plain_forms(simulated: Simulated, client: OpenAI, form: str) -> None:
    answer, charge = _asked(simulated, client, model="whisper-1", response_format=form)
    assert isinstance(answer, str)
    assert answer.startswith("WEBVTT") == (form == "vtt")
    assert ("-->" in answer) == (form != "text")
    assert charge.units == {"audio_ms": 13_000}


def test_newer_models_answer_in_text_too(simulated: Simulated, client: OpenAI) -> None:
    answer, charge = _asked(simulated, client, model=GPT[1], response_format="text")
    assert isinstance(answer, str)
    assert charge.audio_prompt_tokens == 123


def test_verbose_answers(simulated: Simulated, client: OpenAI) -> None:
    answer, _ = _asked(
        simulated,
        client,
        model="whisper-1",
        response_format="verbose_json",
        language="ko",
        timestamp_granularities=["word", "segment"],
    )
    assert (answer.language, answer.duration) == ("korean", 12.3)
    assert answer.words[-1].end <= answer.segments[-1].end == 12.3
    assert answer.usage.seconds == 13


@pytest.mark.parametrize("form", ["json", "verbose_json"])
def test_translations_are_english_and_charged_the_same(
    simulated: Simulated, client: OpenAI, form: Any
) -> None:
    response = client.audio.translations.with_raw_response.create(
        file=SOUND, model="whisper-1", response_format=form
    )
    answer: Any = response.parse()
    assert answer.text.isascii()
    assert "usage" not in answer.to_dict()
    if form == "verbose_json":
        assert answer.language == "english"
    charge = simulated.charge(response.headers["x-request-id"])
    assert (charge.endpoint, charge.units) == ("audio/translations", {"audio_ms": 13_000})


def test_the_length_can_be_directed(simulated: Simulated, client: OpenAI) -> None:
    _, charge = _asked(simulated, client, model=GPT[0], extra_headers={"x-sim-output-tokens": "77"})
    assert charge.completion_tokens == 77


def test_logprobs_are_those_of_the_text(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(file=SOUND, model=GPT[0], include=["logprobs"])
    assert isinstance(answer, Transcription)
    assert answer.logprobs is not None
    assert "".join(entry.token or "" for entry in answer.logprobs) == answer.text


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "gpt-4o"}, "model"),
        ({"model": "tts-1"}, "model"),
        ({"response_format": "xml"}, "response_format"),
        ({"response_format": "srt", "model": GPT[0]}, "response_format"),
        ({"response_format": "verbose_json", "model": GPT[0]}, "response_format"),
        ({"language": "english"}, "language"),
        ({"temperature": 1.5}, "temperature"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        (
            {"timestamp_granularities": ["page"], "response_format": "verbose_json"},
            "timestamp_granularities",
        ),
        ({"include": ["logprobs"]}, "include"),
        ({"include": ["all"], "model": GPT[0]}, "include"),
        ({"chunking_strategy": {"type": "odd"}}, "chunking_strategy"),
        ({"extra_body": {"prompt": ["a", "b"]}}, "prompt"),
        ({"extra_body": {"language": ["en"]}}, "language"),
        ({"file": ("a.wav", wav(99))}, "file"),
        ({"file": ("a.ogg", b"OggS" + b"\x00" * 40)}, "file"),
        ({"file": ("a.mp3", mp3(1_400_024)), "model": GPT[0]}, "file"),
    ],
)
def test_bad_requests_are_refused(client: OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(**({"file": SOUND, "model": "whisper-1"} | change))
    assert refused.value.param == param


def test_large_files_are_refused(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="Maximum content size limit") as refused:
        client.audio.transcriptions.create(
            file=("a.wav", wav(1_000).ljust(FILE_BYTES_MAX + 1, b"\x00")), model="whisper-1"
        )
    assert refused.value.status_code == 413


def test_only_whisper_translates(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="whisper-1"):
        client.audio.translations.create(file=SOUND, model=GPT[0])
