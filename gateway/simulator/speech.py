"""``POST /v1/audio/speech``: a text as sound, piece by piece.

The older models are charged by characters of the text. gpt-4o-mini-tts is charged by tokens: of
the text and the instructions, and of the sound, at 1250 a minute (the rate behind the provider's
"about $0.015 a minute"; the exact count is not published).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.checks import choice, decimal, optional_text, refuse_unknown, text
from gateway.simulator.errors import bad_request, missing_parameter
from gateway.simulator.models import find_model_serving
from gateway.simulator.routes import Route
from gateway.simulator.server import Request, Stream
from gateway.simulator.sound import mp3, pcm, wav
from gateway.simulator.truth import Charge

CHARACTERS_MAX = 4_096
CHARACTERS_A_SECOND = 15
"""Pace of speech at speed 1."""
TOKENS_A_MINUTE = 1_250
TOKENS_MAX = 12_500
"""Most that a directive can ask for: ten minutes of sound."""
PIECE_MS = 480
"""Length of the sound in one piece; 20 frames of MP3."""

_FIELDS = frozenset(
    {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
)
_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_DRAWN = {"mp3": (mp3, "audio/mpeg"), "wav": (wav, "audio/wav"), "pcm": (pcm, "audio/pcm")}
_OLD_VOICES = ("nova", "shimmer", "echo", "onyx", "fable", "alloy", "ash", "sage", "coral")
_VOICES = (*_OLD_VOICES, "ballad", "verse", "marin", "cedar")


def speech_routes(tokenizer: Tokenizer) -> list[Route]:
    """The endpoint of this family."""
    return [("POST", "/v1/audio/speech", Speech(tokenizer))]


class Speech:
    """The endpoint."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, request: Request) -> Stream:
        """Answer a request. Raises ProviderError as the provider would refuse it."""
        body = request.json()
        refuse_unknown(body, _FIELDS, request.strict)
        model = find_model_serving("speech", body.get("model"))
        spoken = text(body, "input", CHARACTERS_MAX)
        by_tokens = model.name == "gpt-4o-mini-tts"
        _check_voice(body, by_tokens)
        form = _form(body)
        speed = decimal(body, "speed", 0.25, 4, 1)
        as_events = _wants_events(body, by_tokens)
        length_ms = math.ceil(1_000 * len(spoken) / CHARACTERS_A_SECOND / speed)
        if by_tokens and request.directives.output_tokens is not None:
            wanted = min(request.directives.output_tokens, TOKENS_MAX)
            length_ms = wanted * 60_000 // TOKENS_A_MINUTE
        charge = Charge(
            endpoint="audio/speech",
            model=model.snapshot,
            requested_model=body["model"],
            streamed=as_events,
        )
        if by_tokens:
            charge = replace(
                charge,
                prompt_tokens=self._text_tokens(body, spoken, model.encoding),
                completion_tokens=_audio_tokens(length_ms),
            )
        else:
            charge = replace(charge, units={"characters": len(spoken)})
        draw, content_type = _DRAWN[form]
        pieces = _pieces(draw(length_ms), length_ms, by_tokens)
        count = math.ceil(length_ms / PIECE_MS)
        if as_events:
            return _events(pieces, count, charge)
        return Stream(pieces, count, charge, done_event=b"", content_type=content_type)

    def _text_tokens(self, body: Mapping[str, Any], spoken: str, encoding: str) -> int:
        texts = (spoken, optional_text(body, "instructions"))
        return sum(len(self._tokenizer.encode(text, encoding)) for text in texts)


def _check_voice(body: Mapping[str, Any], by_tokens: bool) -> None:
    voice = body.get("voice")
    if voice is None:
        raise missing_parameter("voice")
    if by_tokens and isinstance(voice, dict) and isinstance(voice.get("id"), str):
        raise bad_request("The simulator has no custom voices.", "voice")
    choice(body, "voice", _VOICES if by_tokens else _OLD_VOICES, "")


def _form(body: Mapping[str, Any]) -> str:
    form = choice(body, "response_format", _FORMATS, "mp3")
    if form not in _DRAWN:
        raise bad_request(
            f"The simulator cannot make {form}. It makes mp3, wav and pcm.", "response_format"
        )
    return form


def _wants_events(body: Mapping[str, Any], by_tokens: bool) -> bool:
    as_events = choice(body, "stream_format", ("sse", "audio"), "audio") == "sse"
    if as_events and not by_tokens:
        raise bad_request(
            "stream_format 'sse' is not supported for this model.",
            "stream_format",
            "unsupported_value",
        )
    return as_events


def _audio_tokens(milliseconds: int) -> int:
    return -(-milliseconds * TOKENS_A_MINUTE // 60_000)


def _pieces(sound: bytes, length_ms: int, by_tokens: bool) -> Iterator[tuple[bytes, int]]:
    """Stretches of ``sound``, each with the audio tokens generated by then."""
    count = math.ceil(length_ms / PIECE_MS)
    for number in range(count):
        start, end = (len(sound) * at // count for at in (number, number + 1))
        played_ms = min(length_ms, (number + 1) * PIECE_MS)
        yield sound[start:end], _audio_tokens(played_ms) if by_tokens else 0


def _events(pieces: Iterator[tuple[bytes, int]], count: int, charge: Charge) -> Stream:
    """The sound in ``speech.audio.delta`` events, and the usage in ``speech.audio.done``."""
    usage = {
        "input_tokens": charge.prompt_tokens,
        "output_tokens": charge.completion_tokens,
        "total_tokens": charge.prompt_tokens + charge.completion_tokens,
    }
    done = {"type": "speech.audio.done"}
    return Stream(
        events=(
            (_event({"type": "speech.audio.delta", "audio": base64.b64encode(p).decode()}), tokens)
            for p, tokens in pieces
        ),
        event_count=count,
        charge=charge,
        usage_event=_event({**done, "usage": usage}),
        usage_event_bare=_event(done),
        done_event=b"",
    )


def _event(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
