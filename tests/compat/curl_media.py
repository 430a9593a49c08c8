"""Plain ``curl``: images and audio."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.compat import material
from tests.compat.curl import PNG, Curl, CurlCall

IMAGE = {"model": "gpt-image-1", "prompt": "A budget", "size": "1024x1024", "quality": "low"}
SPEECH = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Budgets hold."}


def _picture() -> tuple[str, bytes]:
    return ("square.png", material.picture())


def _sound() -> tuple[str, bytes]:
    return ("speech.wav", material.sound())


def _drawn(answer: Mapping[str, Any]) -> bytes:
    return base64.b64decode(answer["data"][0]["b64_json"])


def images(curl: Curl) -> None:
    answer = curl.post("/images/generations", IMAGE)
    assert _drawn(answer).startswith(PNG)
    assert answer["usage"]["output_tokens"] > 0
    by_piece = {"model": "dall-e-3", "prompt": "A budget", "size": "1024x1024"}
    assert curl.post("/images/generations", by_piece)["data"][0]["url"]


def images_stream(curl: Curl) -> None:
    reply = curl.send("/images/generations", {**IMAGE, "stream": True, "partial_images": 1})
    names = [line for line in reply.body.split(b"\n") if line.startswith(b"event: ")]
    assert names == [b"event: image_generation.partial_image", b"event: image_generation.completed"]


def image_edits(curl: Curl) -> None:
    answer = curl.form("/images/edits", "image", _picture(), IMAGE)
    assert _drawn(answer.json).startswith(PNG)


def image_variations(curl: Curl) -> None:
    fields = {"model": "dall-e-2", "size": "256x256", "response_format": "b64_json"}
    answer = curl.form("/images/variations", "image", _picture(), fields)
    assert _drawn(answer.json).startswith(PNG)


def speech(curl: Curl) -> None:
    for model in ("tts-1", "gpt-4o-mini-tts"):
        asked = {**SPEECH, "model": model, "response_format": "wav"}
        assert curl.send("/audio/speech", asked).body.startswith(b"RIFF")


def speech_stream(curl: Curl) -> None:
    reply = curl.send("/audio/speech", {**SPEECH, "stream_format": "sse"})
    assert b'"speech.audio.done"' in reply.body


def transcriptions(curl: Curl) -> None:
    for model in ("whisper-1", "gpt-4o-mini-transcribe"):
        reply = curl.form("/audio/transcriptions", "file", _sound(), {"model": model})
        assert reply.json["text"]
    fields = {"model": "whisper-1", "response_format": "text"}
    assert curl.form("/audio/transcriptions", "file", _sound(), fields).body.strip()


def transcriptions_stream(curl: Curl) -> None:
    fields = {"model": "gpt-4o-mini-transcribe", "stream": "true"}
    reply = curl.form("/audio/transcriptions", "file", _sound(), fields)
    assert b'"transcript.text.delta"' in reply.body
    assert b'"transcript.text.done"' in reply.body


def translations(curl: Curl) -> None:
    reply = curl.form("/audio/translations", "file", _sound(), {"model": "whisper-1"})
    assert reply.json["text"]


CALLS: Mapping[str, CurlCall] = {
    "images": images,
    "images_stream": images_stream,
    "image_edits": image_edits,
    "image_variations": image_variations,
    "speech": speech,
    "speech_stream": speech_stream,
    "transcriptions": transcriptions,
    "transcriptions_stream": transcriptions_stream,
    "translations": translations,
}
