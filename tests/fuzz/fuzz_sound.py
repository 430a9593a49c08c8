"""Fuzzes the readers of FLAC and MPEG frames: sound is never taken for shorter than it is.

The oracle looks at every byte for a frame's head, each format written down once more from its
standard, and takes no care of time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from random import Random
from typing import IO, cast

from gateway.core import flac_frames, mpeg_frames, sound_bounds
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent, pieces

NAMES = ("a.mp3", "a.flac", "a.wav", "a.ogg", "a", "a.mpga", "mp3", "a.FLAC")

# MPEG audio: ISO 11172-3, 2.4.2.3, and 13818-3; layer III.

_KBPS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = (44_100, 48_000, 32_000)


def mpeg_frame(data: bytes, at: int) -> tuple[int, Fraction] | None:
    """Bytes and seconds of the frame whose head is at a place, if there is one."""
    if at + 3 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    rate, hertz, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer != 1 or rate in (0, 15) or hertz == 3:
        return None
    second = _HERTZ[hertz] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1_152 if version == 3 else 576
    kbps = _KBPS[3 if version == 3 else 2][rate - 1]
    return samples // 8 * kbps * 1_000 // second + padding, Fraction(samples, second)


def mpeg_decoders(data: bytes) -> Iterator[Fraction]:
    """How long what a decoder plays that begins at a place and goes from frame to frame; where
    there is none it looks for the next."""
    for start in {0, len(data) // 3, len(data) // 2}:
        # Nothing but a byte of ones begins a head.
        at, seconds = data.find(0xFF, start), Fraction(0)
        while 0 <= at < len(data):
            frame = mpeg_frame(data, at)
            if frame is None:
                at = data.find(0xFF, at + 1)
            else:
                at += max(frame[0], 1)
                seconds += frame[1]
        yield seconds


def _mpeg_head(rng: Random) -> bytes:
    first = (
        0xE0 | rng.choice((3, 3, 2, 0, 1)) << 3 | rng.choice((1, 1, 1, 2)) << 1 | rng.randrange(2)
    )
    return bytes([0xFF, first, rng.randrange(256), rng.randrange(256)])


def _mpeg(rng: Random) -> bytes:
    parts = []
    if rng.random() < 0.3:
        size = rng.choice((0, 5, 100, 2**20))
        parts.append(b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)))
        parts.append(bytes(min(size, 100)))
    for _ in range(rng.randrange(1, 8)):
        head = _mpeg_head(rng)
        frame = mpeg_frame(head, 0)
        size = max(frame[0] - 4, 0) if frame else 10
        if rng.random() < 0.3:
            size = rng.choice((0, 1, 10, size // 2))
        parts.append(head + bytes(min(size, 1_500)))
    return b"".join(parts)


# FLAC: RFC 9639, 9.1.


@lru_cache(maxsize=4_096)
def crc8(data: bytes) -> int:
    """CRC of x^8 + x^2 + x + 1, bit by bit."""
    crc = 0
    for byte in data:
        for bit in range(7, -1, -1):
            crc = (crc << 1 ^ (0x07 if (crc >> 7 ^ byte >> bit) & 1 else 0)) & 0xFF
    return crc


def flac_head(rng: Random) -> bytes:
    """A frame's head; most have the right check sum."""
    size, hertz = rng.randrange(16), rng.randrange(16)
    number = rng.choice(
        (b"\0", b"\x7f", b"\xc2\x80", b"\xe0\xa0\x80", b"\xfe\x80\x80\x80\x80\x80\x80")
    )
    head = bytes([0xFF, rng.choice((0xF8, 0xF9)), size << 4 | hertz, rng.choice((0, 0x18, 0xA8))])
    head += (
        number
        + rng.randbytes({6: 1, 7: 2}.get(size, 0))
        + rng.randbytes({12: 1, 13: 2, 14: 2}.get(hertz, 0))
    )
    return head + bytes([crc8(head) if rng.random() < 0.9 else rng.randrange(256)])


def flac_seconds(data: bytes, stated_hertz: int) -> Fraction:
    """The sum of all frames that have a right head, wherever it stands."""
    sizes = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608}
    rates = (
        0,
        88_200,
        176_400,
        192_000,
        8_000,
        16_000,
        22_050,
        24_000,
        32_000,
        44_100,
        48_000,
        96_000,
    )
    total = Fraction(0)
    at = data.find(b"\xff")
    while at >= 0:
        head = data[at : at + 16]
        at = data.find(b"\xff", at + 1)
        if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15:
            continue
        if head[3] >> 4 > 10 or head[3] & 1:
            continue
        ones = 0
        while ones < 8 and head[4] & 0x80 >> ones:
            ones += 1
        end = 4 + max(ones, 1)
        code, rate = head[2] >> 4, head[2] & 15
        size = sizes.get(code, 1 << code if code >= 8 else 0)
        hertz = stated_hertz if rate == 0 else (rates[rate] if rate < 12 else 0)
        if code in (6, 7):
            size = int.from_bytes(head[end : end + code - 5]) + 1
            end += code - 5
        if rate >= 12:
            width = 1 if rate == 12 else 2
            hertz = int.from_bytes(head[end : end + width]) * {12: 1_000, 13: 1, 14: 10}[rate]
            end += width
        if end < len(head) and crc8(head[:end]) == head[end]:
            total += Fraction(size, max(hertz, 1))
    return total


def _flac(rng: Random) -> bytes:
    hertz = rng.choice((0, 8_000, 44_100, 2**20 - 1))
    stated = struct.pack(">Q", hertz << 44 | rng.choice((0, 1, 44_100, 2**36 - 1)))
    parts = [b"fLaC\x80\0\0\x22", b"\0" * 10, stated, b"\0" * 16]
    parts += [
        flac_head(rng) + rng.randbytes(rng.choice((0, 3, 20, 300))) for _ in range(rng.randrange(8))
    ]
    return b"".join(parts)


def _wav(rng: Random) -> bytes:
    chunk = struct.pack(
        "<HHIIHH",
        rng.choice((1, 3, 6, 0xFFFE, 0x55)),
        rng.randrange(4),
        rng.choice((0, 1, 8_000, 44_100, 2**32 - 1)),
        rng.choice((0, 1, 16_000, 2**32 - 1)),
        2,
        rng.choice((0, 8, 16, 24)),
    )
    extra = rng.choice((b"", bytes(10), b"\x16\0" + bytes(6) + b"\x01\0" + bytes(14)))
    head = b"fmt " + struct.pack("<I", len(chunk + extra)) + chunk + extra
    data = b"data" + struct.pack("<I", rng.choice((0, 100, 2**32 - 1))) + bytes(rng.randrange(400))
    return b"RIFF\xff\xff\xff\xffWAVE" + rng.choice((head + data, data + head, head + head + data))


TOKENS = (
    *(
        b"ID3\x04\0\0\0\0\0\x05",
        b"ID3",
        b"fLaC",
        b"RIFF",
        b"WAVE",
        b"fmt ",
        b"data",
        b"TAG",
        b"\xff",
    ),
    *(
        b"\xff\xfb\x90\x00",
        b"\xff\xf8\x69\x18",
        b"\xff\xf3\x14",
        b"\xff\xff",
        b"\xff" * 40,
        b"\0" * 20,
    ),
)


def make(rng: Random) -> bytes:
    """The beginning of a file, one byte that chooses its name, as it is or bent."""
    data = rng.choice((_mpeg, _mpeg, _flac, _flac, _wav))(rng)
    if rng.random() < 0.5:
        data = bent(rng, data, TOKENS)
    return rng.randbytes(1) + data


class _ShortReads(BytesIO):
    """A file that gives less than was asked for, as one on a network may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 37) if size and size > 64 else size)


def check(named: bytes) -> bool:
    """No reader fails; none is shorter than a decoder plays, nor says another thing in pieces."""
    data, name = named[1:], NAMES[named[0] % len(NAMES)] if named else "a"
    longest = sound_bounds.longest_seconds(BytesIO(data), len(data), name)
    assert longest >= 0
    whole, cut = mpeg_frames.FrameClock(), mpeg_frames.FrameClock()
    whole.feed(data)
    for piece in pieces(data):
        cut.feed(piece)
    played = whole.longest_seconds()
    assert played == cut.longest_seconds(), "MPEG frames play another time in pieces"
    skipped = mpeg_frames.tag_end(data)
    if skipped == 0:
        assert played >= max(mpeg_decoders(data), default=Fraction(0)), (
            "an MPEG decoder plays longer"
        )
    for hertz in (0, 44_100):
        found = flac_frames.longest_seconds(BytesIO(data), 0, hertz)
        short = flac_frames.longest_seconds(cast(IO[bytes], _ShortReads(data)), 0, hertz)
        assert found == short, "FLAC frames play another time in short reads"
        assert found >= flac_seconds(data, hertz), "a FLAC decoder plays longer"
    if name == "a.mp3" and not data.startswith((b"RIFF", b"fLaC", b"ID3")):
        assert longest >= played
    return played > 0 or flac_seconds(data, 44_100) > 0


SOUND = Fuzzer("sound", make, check, quick_inputs=2_500)
