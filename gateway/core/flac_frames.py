"""Bounds how long FLAC plays, from the heads of its frames.

A frame of silence has a dozen bytes and plays for seconds, so neither the size of a file nor what
it states of its length bounds how long it plays. What looks like a head and has the right check
sum counts, wherever it stands: a decoder may begin at any of them.

Source: RFC 9639, section 9.1 (frame header) and 8.2 (streaminfo).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import IO

HEADS_MAX = 100_000
"""Heads that are looked at: thirty times as many as 25 MB of speech have. What follows counts as
the shortest frames there can be, so that files full of heads do not take long."""

FRAME_SAMPLES_MAX = 65_536
FRAME_BYTES_MIN = 12
"""The longest frame, and the fewest bytes that it has."""

_HEAD_BYTES_MAX = 16
_READ_BYTES = 256 * 1024
_HEAD = re.compile(rb"\xff[\xf8\xf9][\x10-\xfe][\x00-\xae]", re.DOTALL)

_SIZES = {1: 192, **{n: 144 << n for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}
_SIZE_BYTES = {6: 1, 7: 2}
_HERTZ = dict(
    enumerate((88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000), start=1)
) | {9: 44_100, 10: 48_000, 11: 96_000}
_HERTZ_BYTES = {12: (1, 1_000), 13: (2, 1), 14: (2, 10)}
"""Samples of a frame and samples a second by their codes; or the bytes that say them, and what
these are counted in."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def longest_seconds(content: IO[bytes], at: int, stated_hertz: int) -> Fraction:
    """The most that the frames from ``at`` on play. ``stated_hertz`` is what the file states, for
    frames that do not say it."""
    samples: dict[int, int] = {}
    for number, (position, head) in enumerate(_heads(content, at)):
        if number == HEADS_MAX:
            left = content.seek(0, 2) - position
            size = (left // FRAME_BYTES_MIN + 1) * FRAME_SAMPLES_MAX
            samples[1] = samples.get(1, 0) + size
            break
        frame = _frame(head, stated_hertz)
        if frame is not None:
            size, hertz = frame
            samples[hertz] = samples.get(hertz, 0) + size
    return sum((Fraction(count, hertz) for hertz, count in samples.items()), Fraction(0))


def _heads(content: IO[bytes], at: int) -> Iterator[tuple[int, bytes]]:
    """Where each possible head begins, and its bytes."""
    content.seek(at)
    rest, ended = b"", False
    while not ended:
        chunk = content.read(_READ_BYTES)
        ended = not chunk
        data = rest + chunk
        # The last bytes come again with the next ones, with which a head is whole.
        known = len(data) if ended else max(len(data) - _HEAD_BYTES_MAX, 0)
        for match in _HEAD.finditer(data):
            start = match.start()
            if start < known:
                yield at + start, data[start : start + _HEAD_BYTES_MAX]
        at += known
        rest = data[known:]


def _frame(head: bytes, stated_hertz: int) -> tuple[int, int] | None:
    """Samples, and samples a second, of the frame that begins so; None where it is no head."""
    size_code, hertz_code = head[2] >> 4, head[2] & 15
    first = head[4] if len(head) > 4 else 0xFF
    ones = 8 - (~first & 0xFF).bit_length()
    # The frame's number, coded as UTF-8 codes characters.
    end = 4 + max(ones, 1)
    size = _SIZES.get(size_code, 0)
    if size_code in _SIZE_BYTES:
        size = int.from_bytes(head[end : end + _SIZE_BYTES[size_code]]) + 1
        end += _SIZE_BYTES[size_code]
    hertz = _HERTZ.get(hertz_code, stated_hertz)
    if hertz_code in _HERTZ_BYTES:
        width, unit = _HERTZ_BYTES[hertz_code]
        hertz = int.from_bytes(head[end : end + width]) * unit
        end += width
    crc = 0
    for byte in head[:end]:
        crc = _CRC[crc ^ byte]
    if end >= len(head) or head[end] != crc:
        return None
    return size, max(hertz, 1)
