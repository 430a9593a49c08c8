"""``POST /v1/audio/transcriptions`` and ``translations``: the length of a file, as words.

whisper-1 is charged by the second, begun ones in full. The gpt-4o models are charged by tokens:
ten for each second of sound (rounded up), those of the prompt, and those of the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import orjson

from gateway.simulator.checks import (
    choice,
    decimal,
    flag,
    optional_text,
    refuse_unknown,
    values_of_form,
)
from gateway.simulator.errors import ProviderError, bad_request, missing_parameter
from gateway.simulator.models import Model, find_model_serving
from gateway.simulator.multipart import form_of
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request, Stream
from gateway.simulator.sound_length import seconds_of
from gateway.simulator.text import LANGUAGES, Piece, Writer
from gateway.simulator.transcript import Transcript, srt, verbose, vtt
from gateway.simulator.truth import Charge

FILE_BYTES_MAX = 26_214_400
SECONDS_MIN = Fraction(1, 10)
SECONDS_MAX_GPT = 1_400
WORDS_A_SECOND = Fraction(5, 2)
AUDIO_TOKENS_A_SECOND = 10

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_PLAIN = "text/plain; charset=utf-8"
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_TRANSLATION_FIELDS = frozenset({"model", "prompt", "response_format", "temperature"})
_FIELDS = _TRANSLATION_FIELDS | {
    "chunking_strategy",
    "include",
    "language",
    "stream",
    "timestamp_granularities",
}


def transcription_routes(writer: Writer) -> list[Route]:
    """The endpoints of this family."""
    audio = Transcriptions(writer)
    return [
        ("POST", "/v1/audio/transcriptions", audio.transcribe),
        ("POST", "/v1/audio/translations", audio.translate),
    ]


@dataclass(frozen=True, slots=True)
class _Task:
    """A checked request."""

    endpoint: str
    model: Model
    requested_model: str
    seconds: Fraction
    seed: int
    form: str
    language: str
    prompt: str
    temperature: float
    granularities: tuple[str, ...] = ()
    logprobs: bool = False
    stream: bool = False

    @property
    def by_time(self) -> bool:
        return self.model.name == "whisper-1"


class Transcriptions:
    """Both endpoints. Each raises ProviderError as the provider would refuse a request."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def transcribe(self, request: Request) -> Answer | Stream:
        """A file as text in its own language."""
        task = _read(request, "audio/transcriptions")
        transcript = self._transcript(task, request.directives.output_tokens)
        charge = self._charge(task, transcript)
        if task.stream:
            return _stream(task, transcript, charge)
        return _answer(task, "transcribe", transcript, charge)

    def translate(self, request: Request) -> Answer:
        """A file as English text."""
        task = _read(request, "audio/translations")
        transcript = self._transcript(task, request.directives.output_tokens)
        return _answer(task, "translate", transcript, self._charge(task, transcript))

    def _transcript(self, task: _Task, length: int | None) -> Transcript:
        """Text as long as the sound, or of ``length`` tokens."""
        if length is None:
            length = max(1, round(task.seconds * WORDS_A_SECOND))
        spoken = task.language if task.language in LANGUAGES else "en"
        pieces = self._writer.compose(spoken, task.model.encoding, task.seed, length, length)
        return Transcript(pieces, task.seconds, task.language)

    def _charge(self, task: _Task, transcript: Transcript) -> Charge:
        charge = Charge(task.endpoint, task.model.snapshot, requested_model=task.requested_model)
        if task.by_time:
            return replace(charge, units={"audio_ms": 1_000 * math.ceil(task.seconds)})
        audio = math.ceil(task.seconds * AUDIO_TOKENS_A_SECOND)
        return replace(
            charge,
            prompt_tokens=audio + self._writer.count(task.prompt, task.model.encoding),
            audio_prompt_tokens=audio,
            completion_tokens=sum(piece.tokens for piece in transcript.pieces),
            streamed=task.stream,
        )


def _read(request: Request, endpoint: str) -> _Task:
    form = form_of(request)
    translating = endpoint == "audio/translations"
    body = values_of_form(form, decimal=("temperature",), flags=("stream",))
    # The SDK sends the parts of an object as fields of their own.
    known = {name for name in body if name.startswith("chunking_strategy[")}
    known |= _TRANSLATION_FIELDS if translating else _FIELDS
    refuse_unknown(body, known, request.strict)
    model = find_model_serving("transcription", body.get("model"))
    if translating and model.name != "whisper-1":
        raise bad_request("Only 'whisper-1' can translate.", "model", "invalid_value")
    whisper = model.name == "whisper-1"
    file = form.file("file")
    if file is None:
        raise missing_parameter("file")
    answer_form = _answer_form(body, model)
    own = {} if translating else _wishes(body, model, answer_form)
    return _Task(
        endpoint=endpoint,
        model=model,
        requested_model=body["model"],
        seconds=_length(file.data, whisper),
        seed=int.from_bytes(blake2b(file.data, digest_size=8).digest(), "big"),
        form=answer_form,
        language=(not translating and _language(body)) or "en",
        prompt=optional_text(body, "prompt"),
        temperature=decimal(body, "temperature", 0, 1, 0),
        **own,
    )


def _length(data: bytes, whisper: bool) -> Fraction:
    if len(data) > FILE_BYTES_MAX:
        raise ProviderError(
            413,
            f"Maximum content size limit ({FILE_BYTES_MAX}) exceeded ({len(data)} bytes read)",
            kind="server_error",
        )
    seconds = seconds_of(data)
    if seconds < SECONDS_MIN:
        raise bad_request(
            "Audio file is too short. Minimum audio length is 0.1 seconds.",
            "file",
            "audio_too_short",
        )
    if not whisper and seconds > SECONDS_MAX_GPT:
        raise bad_request(
            f"audio duration {float(seconds)} seconds is longer than {SECONDS_MAX_GPT} seconds "
            "which is the maximum for this model",
            "file",
            "invalid_value",
        )
    return seconds


def _answer_form(body: dict[str, Any], model: Model) -> str:
    form = choice(body, "response_format", _FORMATS, "json")
    if model.name != "whisper-1" and form not in ("json", "text"):
        raise bad_request(
            f"response_format '{form}' is not compatible with model '{model.name}'. Use 'json' or "
            "'text' instead.",
            "response_format",
            "unsupported_value",
        )
    return form


def _language(body: dict[str, Any]) -> str:
    language = optional_text(body, "language") or "en"
    if not _LANGUAGE.fullmatch(language):
        raise bad_request(
            f"Invalid language '{language}'. Language parameter must be specified in ISO-639-1 "
            "format.",
            "language",
            "invalid_language_format",
        )
    return language


def _wishes(body: dict[str, Any], model: Model, form: str) -> dict[str, Any]:
    """What only transcriptions can be asked for. whisper-1 ignores ``stream``."""
    whisper = model.name == "whisper-1"
    granularities = _several(body, "timestamp_granularities", ("word", "segment"))
    included = _several(body, "include", ("logprobs",))
    if granularities and form != "verbose_json":
        raise bad_request(
            "timestamp_granularities is only supported with response_format 'verbose_json'.",
            "timestamp_granularities",
        )
    if included and (whisper or form != "json"):
        raise bad_request(
            "logprobs are only supported with response_format 'json' and not by whisper-1.",
            "include",
        )
    _check_chunking(body)
    return {
        "granularities": granularities,
        "logprobs": bool(included),
        "stream": flag(body, "stream") and not whisper,
    }


def _several(body: dict[str, Any], name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a field that may come several times, each one of ``allowed``."""
    values = body.get(name) or []
    listed = [values] if isinstance(values, str) else values
    return tuple(choice({name: value}, name, allowed, "") for value in listed)


def _check_chunking(body: dict[str, Any]) -> None:
    sent = "chunking_strategy" if "chunking_strategy" in body else "chunking_strategy[type]"
    strategy = optional_text(body, sent)
    if strategy in ("", "auto"):
        return
    if strategy.startswith("{"):
        with suppress(ValueError):
            strategy = orjson.loads(strategy).get("type")
    choice({"chunking_strategy": strategy}, "chunking_strategy", ("auto", "server_vad"), "")


def _answer(task: _Task, work: str, transcript: Transcript, charge: Charge) -> Answer:
    if task.form == "text":
        return Answer(f"{transcript.text}\n".encode(), charge, content_type=_PLAIN)
    if task.form in ("srt", "vtt"):
        shown = (srt if task.form == "srt" else vtt)(transcript)
        return Answer(shown.encode(), charge, content_type=_PLAIN)
    if task.form == "verbose_json":
        answer = verbose(transcript, work, task.granularities, task.temperature)
    else:
        answer = {"text": transcript.text}
    if task.logprobs:
        answer["logprobs"] = [_logprob(piece) for piece in transcript.pieces]
    if work == "transcribe":
        answer["usage"] = _usage(charge)
    return Answer(orjson.dumps(answer), charge)


def _usage(charge: Charge) -> dict[str, Any]:
    if "audio_ms" in charge.units:
        return {"type": "duration", "seconds": charge.units["audio_ms"] // 1_000}
    return {
        "type": "tokens",
        "input_tokens": charge.prompt_tokens,
        "input_token_details": {
            "text_tokens": charge.prompt_tokens - charge.audio_prompt_tokens,
            "audio_tokens": charge.audio_prompt_tokens,
        },
        "output_tokens": charge.completion_tokens,
        "total_tokens": charge.prompt_tokens + charge.completion_tokens,
    }


def _stream(task: _Task, transcript: Transcript, charge: Charge) -> Stream:
    done: dict[str, Any] = {"type": "transcript.text.done", "text": transcript.text}
    if task.logprobs:
        done["logprobs"] = [_logprob(piece) for piece in transcript.pieces]
    return Stream(
        events=_deltas(task, transcript),
        event_count=len(transcript.pieces),
        charge=charge,
        usage_event=_event({**done, "usage": _usage(charge)}),
        usage_event_bare=_event(done),
        done_event=b"",
    )


def _deltas(task: _Task, transcript: Transcript) -> Iterator[tuple[bytes, int]]:
    tokens = 0
    for piece in transcript.pieces:
        tokens += piece.tokens
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": piece.text}
        if task.logprobs:
            event["logprobs"] = [_logprob(piece)]
        yield _event(event), tokens


def _logprob(piece: Piece) -> dict[str, Any]:
    return {"token": piece.text, "logprob": -0.125, "bytes": list(piece.text.encode())}


def _event(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
