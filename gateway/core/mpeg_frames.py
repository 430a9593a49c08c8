"""Bounds how long MPEG audio (MP3) plays, from its bytes as they come.

A frame's head says how long it plays and where the next one begins. Two sums are kept, and the
larger counts: of the frames in a row, with what lies between them at the lowest rate there is;
and of the longest choice of frames that do not overlap, which is what a decoder could be led to
that finds its way in at another place.
"""

from __future__ import annotations

import re
from fractions import Fraction
from heapq import heappop, heappush
from math import lcm

BYTES_PER_SECOND_MIN = 990
"""The lowest bit rate of the format is 8 kbit/s; frames are rounded down to whole bytes."""

FRAME_SECONDS_MAX = Fraction(576, 8_000)
"""A decoder may play a frame of which only the head has come."""

FRAMES_MAX = 400_000
"""Heads that are looked at: as many as 25 MB have at the lowest rate. What follows counts at that
rate, so that files full of heads do not take long."""

_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of MPEG-1, and of MPEG-2 and 2.5, layer III. Source: ISO 11172-3, 2.4.2.3; 13818-3."""
_HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second by the head's version bits and rate index."""
TICKS_PER_SECOND = lcm(*(hertz for rates in _HERTZ.values() for hertz in rates))

_HEAD = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]")
_HEAD_BYTES = 3
TAG_BYTES = 10


def _known_frames() -> dict[int, tuple[int, int]]:
    """Bytes and ticks of a frame, by the bits of its head that decide them."""
    found = {}
    for version, rates in _HERTZ.items():
        samples = 1_152 if version == 3 else 576
        table = _KBPS_1 if version == 3 else _KBPS_2
        for index, kbps in enumerate(table[1:], start=1):
            for rate, hertz in enumerate(rates):
                for padding in (0, 1):
                    second = 0xE0 | version << 3 | 1 << 1
                    third = index << 4 | rate << 2 | padding << 1
                    size = samples // 8 * kbps * 1_000 // hertz + padding
                    found[second << 8 | third] = size, samples * TICKS_PER_SECOND // hertz
    return found


_FRAMES = _known_frames()


class FrameClock:
    """Takes a file or a stream in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._at = 0
        """Where ``_rest`` begins, in bytes from the start."""
        self._looked_at = 0
        self._in_a_row = 0
        self._expected: int | None = None
        """Where the next frame in a row begins; None until the start has been seen."""
        self._between = 0
        self._longest = 0
        self._open: list[tuple[int, int]] = []
        """Ends of frames, and the longest choice of frames that ends there."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        if self._expected is None:
            if len(data) < TAG_BYTES and data[:3] == b"ID3"[: len(data)]:
                self._rest = data
                return
            self._expected = tag_end(data)
        if self._looked_at <= FRAMES_MAX:
            for match in _HEAD.finditer(data):
                self._take(self._at + match.start(), match.group())
        kept = min(len(data), _HEAD_BYTES - 1)
        self._at += len(data) - kept
        self._rest = data[len(data) - kept :]

    def longest_seconds(self) -> Fraction:
        """The most that what came plays."""
        end = self._at + len(self._rest)
        between = self._between + max(end - (self._expected or 0), 0)
        row = Fraction(self._in_a_row, TICKS_PER_SECOND) + Fraction(between, BYTES_PER_SECOND_MIN)
        choice = max([self._longest, *(ticks for _, ticks in self._open)])
        if self._looked_at > FRAMES_MAX:
            return max(row, Fraction(end, BYTES_PER_SECOND_MIN) + FRAME_SECONDS_MAX)
        return max(row, Fraction(choice, TICKS_PER_SECOND))

    def _take(self, at: int, head: bytes) -> None:
        frame = _FRAMES.get((head[1] & 0xFE) << 8 | head[2] & 0xFE)
        self._looked_at += 1
        if frame is None or self._looked_at > FRAMES_MAX:
            return
        size, ticks = frame
        while self._open and self._open[0][0] <= at:
            self._longest = max(self._longest, heappop(self._open)[1])
        heappush(self._open, (at + size, self._longest + ticks))
        assert self._expected is not None
        if at >= self._expected:
            self._between += at - self._expected
            self._in_a_row += ticks
            self._expected = at + size


def begins_a_frame(data: bytes) -> bool:
    """Whether ``data`` begins with a frame's head."""
    return _HEAD.match(data) is not None


def tag_end(data: bytes) -> int:
    """Where an ID3v2 tag at the start ends; its size has seven bits in each of four bytes."""
    if data[:3] != b"ID3":
        return 0
    size = 0
    for byte in data[6:TAG_BYTES]:
        size = size << 7 | byte & 0x7F
    return TAG_BYTES + size
