"""What the calls of every client send: a question, a picture, a sound, files of lines."""

from __future__ import annotations

import io
import json
import struct
import wave
import zlib
from typing import Any
from uuid import uuid4

CHAT_MODEL = "gpt-4o-mini"
TUNED_MODEL = "gpt-4o-mini-2024-07-18"
SOUND_SECONDS = 2
_SOUND_RATE = 16_000
_PICTURE_PIXELS = 64

TOOL_QUESTION = "Please call the tool."
"""The simulator then calls the first tool."""

QUICK_BATCH = {"sim_batch_ms": "100"}
QUICK_JOB = {"sim_job_ms": "100"}
"""Metadata that shortens what takes seconds in the simulator, and hours at the provider."""
LONG_JOB = {"sim_job_ms": "60000"}
LONG_BATCH = {"sim_batch_ms": "60000"}
LONG_RESPONSE = {"sim_background_ms": "60000"}
QUICK_RESPONSE = {"sim_background_ms": "100"}

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def chat(text: str | None = None, **rest: Any) -> dict[str, Any]:
    """A chat request; without a text, one that nobody sent before."""
    content = text or f"What do budgets limit? {uuid4().hex}"
    return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": content}], **rest}


def lines(rows: list[Any]) -> bytes:
    """JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def batch_lines() -> bytes:
    """Three chat requests for a batch."""
    return lines(
        [
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": chat(max_tokens=20),
            }
            for number in range(3)
        ]
    )


def training_lines() -> bytes:
    """Examples for fine-tuning: as few as there may be, and some to spare."""
    return lines(
        [
            {
                "messages": [
                    {"role": "user", "content": f"What is left of budget {number}?"},
                    {"role": "assistant", "content": f"{number} dollars."},
                ]
            }
            for number in range(12)
        ]
    )


def picture() -> bytes:
    """A square PNG with an alpha channel, as edits and variations ask for (PNG, 5.6 and 11)."""
    size = _PICTURE_PIXELS

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    row = b"\x00" + b"\x40\x80\xc0\xff" * size
    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * size)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def sound() -> bytes:
    """Two seconds of silence as a WAV file."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes(bytes(2 * _SOUND_RATE * SOUND_SECONDS))
    return held.getvalue()
