"""One request of every kind that there is, through the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai import OpenAI

from gateway.simulator.sound import wav
from tests.e2e.jsonl import CHAT, chat_lines, examples
from tests.e2e.media import png
from tests.e2e.traffic import prompted, question, sim

Raw = Any
"""An answer of the SDK with its headers."""


def calls(sdk: OpenAI) -> Iterator[tuple[str, Raw]]:
    """Every kind of request, by what it is of."""
    raw: Any = sdk.with_raw_response
    yield "a chat", raw.chat.completions.create(**question())
    yield "a response", raw.responses.create(**prompted())
    yield "a response in the background", raw.responses.create(**prompted(background=True))
    instruct = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}
    yield "a completion", raw.completions.create(**instruct)
    yield "an embedding", raw.embeddings.create(model="text-embedding-3-small", input="a word")
    yield "a moderation", raw.moderations.create(model="omni-moderation-latest", input="hello")
    size: Any = {"prompt": "A cat.", "size": "1024x1024"}
    yield "an image, by tokens", raw.images.generate(model="gpt-image-1", quality="low", **size)
    yield "an image, by the piece", raw.images.generate(model="dall-e-3", **size)
    picture = ("a.png", png(64, 64), "image/png")
    yield (
        "an edited image",
        raw.images.edit(model="gpt-image-1", image=picture, quality="low", **size),
    )
    said: Any = {"input": "How much does it cost to say this?", "voice": "alloy"}
    yield "a speech clip, by characters", raw.audio.speech.create(model="tts-1", **said)
    yield "a speech clip, by tokens", _spoken(sdk, said)
    sound = ("a.wav", wav(3_700), "audio/wav")
    yield (
        "a transcription, by seconds",
        raw.audio.transcriptions.create(model="whisper-1", file=sound),
    )
    yield (
        "a transcription, by tokens",
        raw.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound),
    )
    # In other forms it says nothing of the length, which is then measured here.
    yield (
        "a translation",
        raw.audio.translations.create(
            model="whisper-1", file=sound, response_format="verbose_json"
        ),
    )
    lines = raw.files.create(file=("lines.jsonl", chat_lines(5)), purpose="batch")
    yield "a file", lines
    train = raw.files.create(file=("train.jsonl", examples(10)), purpose="fine-tune")
    job = {"model": "gpt-4o-mini-2024-07-18", "training_file": train.parse().id}
    yield "a fine-tuning job", raw.fine_tuning.jobs.create(**job, extra_headers=sim(job_ms=200))
    batch = {"input_file_id": lines.parse().id, "endpoint": CHAT, "completion_window": "24h"}
    yield "a batch", raw.batches.create(**batch, extra_headers=sim(batch_ms=200))


def _spoken(sdk: OpenAI, said: Any) -> Raw:
    """Speech as events, which alone say what they cost."""
    made = sdk.audio.speech.with_raw_response.create(
        model="gpt-4o-mini-tts", stream_format="sse", **said
    )
    assert b"speech.audio.done" in made.parse().content
    return made
