"""The Python SDK: images and audio."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.compat import material
from tests.compat.program import Call, Program, every

PNG = b"\x89PNG\r\n\x1a\n"
IMAGE: dict[str, Any] = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}


def _picture() -> tuple[str, bytes, str]:
    return ("square.png", material.picture(), "image/png")


def _sound() -> tuple[str, bytes, str]:
    return ("speech.wav", material.sound(), "audio/wav")


def images(sdk: Any) -> Program:
    answer = yield sdk.images.generate(**IMAGE, prompt="A budget")
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)
    assert answer.usage.output_tokens > 0
    piece = yield sdk.images.generate(model="dall-e-3", prompt="A budget", size="1024x1024")
    assert piece.data[0].url


def images_stream(sdk: Any) -> Program:
    stream = yield sdk.images.generate(**IMAGE, prompt="A budget", stream=True, partial_images=1)
    events = yield every(stream)
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]


def image_edits(sdk: Any) -> Program:
    answer = yield sdk.images.edit(**IMAGE, prompt="A frame", image=_picture())
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)


def image_variations(sdk: Any) -> Program:
    answer = yield sdk.images.create_variation(
        model="dall-e-2", image=_picture(), size="256x256", response_format="b64_json"
    )
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)


def speech(sdk: Any) -> Program:
    asked: dict[str, Any] = {"voice": "alloy", "input": "Budgets hold."}
    for model in ("tts-1", "gpt-4o-mini-tts"):
        answer = yield sdk.audio.speech.create(model=model, **asked, response_format="wav")
        assert answer.content.startswith(b"RIFF")


def speech_stream(sdk: Any) -> Program:
    answer = yield sdk.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Budgets hold.", stream_format="sse"
    )
    assert b'"speech.audio.done"' in answer.content


def transcriptions(sdk: Any) -> Program:
    for model in ("whisper-1", "gpt-4o-mini-transcribe"):
        answer = yield sdk.audio.transcriptions.create(model=model, file=_sound())
        assert answer.text
    text = yield sdk.audio.transcriptions.create(
        model="whisper-1", file=_sound(), response_format="text"
    )
    assert isinstance(text, str)


def transcriptions_stream(sdk: Any) -> Program:
    stream = yield sdk.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe", file=_sound(), stream=True
    )
    *deltas, done = yield every(stream)
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text


def translations(sdk: Any) -> Program:
    answer = yield sdk.audio.translations.create(model="whisper-1", file=_sound())
    assert answer.text


CALLS: Mapping[str, Call] = {
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
