from __future__ import annotations

import io
from fractions import Fraction

import pytest

from gateway.core import flac_frames
from gateway.core.flac_frames import longest_seconds


def crc8(data: bytes) -> int:
    """Bit by bit, as the polynomial x^8 + x^2 + x + 1 says."""
    found = 0
    for byte in data:
        for bit in range(8):
            carry = found >> 7 ^ byte >> (7 - bit) & 1
            found = (found << 1 & 0xFF) ^ (0x07 if carry else 0)
    return found


def frame(
    number: int = 0, size: bytes = b"\xff\xfe", codes: int = 0x74, more: bytes = b""
) -> bytes:
    """A frame of silence: 65,535 samples at 8 kHz unless ``codes`` say otherwise."""
    head = b"\xff\xf8" + bytes((codes, 0x08)) + chr(number).encode() + size + more
    return head + bytes((crc8(head),)) + bytes(5)


def longest(data: bytes, stated_hertz: int = 1) -> Fraction:
    return longest_seconds(io.BytesIO(b"head" + data), 4, stated_hertz)


LONG = Fraction(65_535, 8_000)


def test_frames_of_silence_play_for_as_long_as_they_say() -> None:
    data = b"".join(frame(number) for number in range(2_000))
    assert len(data) < 30_000
    assert longest(data) == 2_000 * LONG


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        (frame(size=b"", codes=0xC9), Fraction(4_096, 44_100)),
        (frame(size=b"", codes=0x1A), Fraction(192, 48_000)),
        (frame(size=b"", codes=0x51), Fraction(4_608, 88_200)),
        (frame(size=b"\x09", codes=0x65), Fraction(10, 16_000)),
        (frame(size=b"", codes=0x80), Fraction(256, 1)),
        (frame(size=b"", codes=0x8C, more=b"\x02"), Fraction(256, 2_000)),
        (frame(size=b"", codes=0x8D, more=b"\x00\x03"), Fraction(256, 3)),
        (frame(size=b"", codes=0x8E, more=b"\x00\x03"), Fraction(256, 30)),
        (frame(0x10FFFF), LONG),
    ],
)
def test_a_frame_says_its_samples_and_its_rate(head: bytes, seconds: Fraction) -> None:
    assert longest(head) == seconds


def test_what_is_no_head_counts_nothing() -> None:
    whole = frame()
    for at in range(8):
        assert longest(whole[:at]) == 0
    broken = bytearray(whole)
    broken[7] ^= 1
    assert longest(bytes(broken)) == 0
    assert longest(b"\xff\xf8" * 1_000) == 0


@pytest.mark.parametrize("piece", [17, 18, 23, 64])
def test_a_head_across_two_pieces_counts_once(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flac_frames, "_READ_BYTES", piece)
    data = b"".join(frame(number) + bytes(number) for number in range(60))
    assert longest(data) == 60 * LONG


def test_beyond_many_heads_all_bytes_count_as_the_shortest_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b"".join(frame(number) for number in range(100))
    monkeypatch.setattr(flac_frames, "HEADS_MAX", 10)
    assert longest(data) >= 100 * LONG
