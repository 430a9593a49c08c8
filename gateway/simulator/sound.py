"""Sound without a model: a quiet tone as PCM or WAV, and silence as MP3."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from functools import cache

RATE = 24_000
"""Samples a second, as in the provider's speech; 16 bits, one channel."""
SAMPLE_BYTES = 2
TONE_HERTZ = 220
TONE_HEIGHT = 1_000

MP3_FRAME_MS = 24
"""Length of one frame: 576 samples."""
_MP3_KBPS = 64
_MP3_FRAME_BYTES = 72 * _MP3_KBPS * 1_000 // RATE
_MP3_FRAME = b"\xff\xf3\x84\xc0".ljust(_MP3_FRAME_BYTES, b"\x00")
"""MPEG-2 layer III, no checksum, 64 kbit/s, 24 kHz, mono. Side information of zeros says that
the frame holds no coefficients, which decodes to silence (ISO 13818-3, 2.4.1)."""


def pcm(milliseconds: int) -> bytes:
    """A tone of this length, in signed 16-bit samples, low byte first."""
    size = milliseconds * RATE // 1_000 * SAMPLE_BYTES
    second = _one_second()
    return (second * (size // len(second) + 1))[:size]


def wav(milliseconds: int) -> bytes:
    """The same in a WAV file (RIFF, format tag 1)."""
    samples = pcm(milliseconds)
    format_chunk = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES, 16
    )
    data_chunk = struct.pack("<4sI", b"data", len(samples)) + samples
    size = 4 + len(format_chunk) + len(data_chunk)
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + format_chunk + data_chunk


def mp3(milliseconds: int) -> bytes:
    """Silence of this length, rounded up to whole frames."""
    return _MP3_FRAME * math.ceil(milliseconds / MP3_FRAME_MS)


@cache
def _one_second() -> bytes:
    turn = 2 * math.pi * TONE_HERTZ / RATE
    samples = array("h", (round(TONE_HEIGHT * math.sin(turn * at)) for at in range(RATE)))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
