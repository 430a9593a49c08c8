"""The longest that a recording can play, from its bytes.

What is billed by time must be bounded before a decoder has seen it, and a header can say
anything: the time follows from how many bytes there are, and from how few a second of sound
can take. A WAV file of samples, and the frames of MP3 and FLAC, tell that themselves; for other
formats it is a declared rate, below what their encoders make of speech (``RATES``). That rate is an
assumption: silence can take less.

Sources: RIFF/WAVE (Microsoft, "Multiple channel audio data and WAVE files"); ISO 11172-3 and
13818-3 (MPEG audio frames); RFC 9639 (FLAC).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import IO

from gateway.core import flac_frames
from gateway.core.mpeg_frames import TAG_BYTES, FrameClock, begins_a_frame, tag_end

RATES = {
    "mp3": 1_000,
    "wav": 1_000,
    "opus": 750,
    "aac": 750,
}
"""Fewest bytes of a second of sound. mp3: 8 kbit/s, the lowest of the format. wav that is not
plain samples: 8 kbit/s, which speech codecs inside it do not fall below. opus and aac, also inside
ogg, webm, mp4 and m4a files: 6 kbit/s, the lowest that Opus is specified for."""
UNKNOWN_RATE = min(RATES.values())

LAST_FRAME_SECONDS = Fraction(12, 100)
"""The longest frame of these formats (Opus): a decoder may play one that was cut off."""

_EXTENSIONS = {
    "wav": "wav",
    "wave": "wav",
    "mp3": "mp3",
    "mpga": "mp3",
    "mpeg": "mp3",
    "flac": "flac",
}
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_CHUNKS_MAX = 1_000
_READ_BYTES = 256 * 1024


def longest_seconds(content: IO[bytes], size: int, filename: str) -> Fraction:
    """An upper bound of the seconds that the file plays. ``content`` can be read and sought.

    The name's extension should agree with what the file begins with, since either may decide how
    the provider decodes it: where they differ, what the size allows counts as well.
    """
    at, start = _after_tags(content)
    named = _EXTENSIONS.get(filename.rpartition(".")[2].lower())
    found, kind = [], None
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        kind = "wav"
        found.append(_wav(content, at, size))
    elif start[:4] == b"fLaC":
        kind = "flac"
        found.append(_flac(content, at))
    elif begins_a_frame(start):
        kind = "mp3"
    if named == "mp3":
        found.append(_mp3(content))
    if kind is None or named not in (kind, None) or (kind == "mp3" and named is None):
        found.append(_by_size(size, UNKNOWN_RATE))
    return max(found)


def _after_tags(content: IO[bytes]) -> tuple[int, bytes]:
    """Where the ID3v2 tags at the start end, which decoders pass over, and what follows."""
    at = 0
    while True:
        content.seek(at)
        start = content.read(12)
        if len(start) < TAG_BYTES or not (after := tag_end(start)):
            return at, start
        at += after


def _by_size(size: int, rate: int) -> Fraction:
    return Fraction(size, rate) + LAST_FRAME_SECONDS


def _wav(content: IO[bytes], start: int, size: int) -> Fraction:
    """Bytes of sound over bytes a second.

    All bytes after the first data chunk's head are taken for sound, whatever size it states:
    writers of streams leave it open, and decoders read on. The rate is the lowest of those that
    the file states and that follow from what it states.
    """
    at = start + 12
    rates: list[int] = []
    for _ in range(_CHUNKS_MAX):
        content.seek(at)
        head = content.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        at += 8
        if kind == b"data" and rates and min(rates) > 0:
            return Fraction(max(size - at, 0), min(rates))
        if kind == b"fmt ":
            rates += _rates(content.read(min(length, 40)))
        at += length + length % 2
    return _by_size(size, RATES["wav"])


def _rates(chunk: bytes) -> Iterator[int]:
    """Bytes a second by a format chunk; 0 where it is not of plain samples."""
    if len(chunk) < 16:
        yield 0
        return
    codec, channels, hertz, stated, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if codec == _EXTENSIBLE and len(chunk) >= 26:
        (codec,) = struct.unpack_from("<H", chunk, 24)
    if codec not in (_PCM, _FLOAT):
        yield 0
        return
    yield stated
    yield hertz * channels * bits // 8


def _flac(content: IO[bytes], start: int) -> Fraction:
    """The length of its frames, or the one that the STREAMINFO block states, if that is more."""
    content.seek(start + 18)
    packed = content.read(8)
    (fields,) = struct.unpack(">Q", packed.ljust(8, b"\x00"))
    hertz, samples = fields >> 44, fields & (1 << 36) - 1
    stated = Fraction(samples, hertz) if hertz else Fraction(0)
    return max(stated, flac_frames.longest_seconds(content, start, hertz))


def _mp3(content: IO[bytes]) -> Fraction:
    content.seek(0)
    clock = FrameClock()
    while chunk := content.read(_READ_BYTES):
        clock.feed(chunk)
    return clock.longest_seconds()
