from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.mpeg_frames import BYTES_PER_SECOND_MIN, FRAMES_MAX, FrameClock
from gateway.simulator.errors import ProviderError
from gateway.simulator.sound import mp3
from gateway.simulator.sound_length import seconds_of

SLOW = b"\xff\xe3\x18".ljust(72, b"\x00")
"""72 ms at 8 kHz and 8 kbit/s, the lowest of all rates."""
FAST = b"\xff\xe3\xe8".ljust(1_440, b"\x00")
"""72 ms at 8 kHz and 160 kbit/s."""


def _longest(data: bytes, step: int = 1 << 20) -> Fraction:
    clock = FrameClock()
    for start in range(0, len(data), step):
        clock.feed(data[start : start + step])
    return clock.longest_seconds()


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (b"", Fraction(0)),
        (mp3(24), Fraction(24, 1_000)),
        (mp3(60_000), Fraction(60)),
        (SLOW * 10, Fraction(720, 1_000)),
        (FAST * 10, Fraction(720, 1_000)),
        # MPEG-1, 44.1 kHz, 128 kbit/s, without and with a byte of padding.
        (b"\xff\xfb\x90".ljust(417, b"\x00"), Fraction(1_152, 44_100)),
        (b"\xff\xfb\x92".ljust(418, b"\x00"), Fraction(1_152, 44_100)),
        # A tag in front is skipped, whatever it holds.
        (b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + mp3(240), Fraction(240, 1_000)),
        # A tag behind is no frame, and counts at the lowest rate.
        (mp3(240) + b"TAG" + bytes(125), Fraction(240, 1_000) + Fraction(128, 990)),
        (bytes(990), Fraction(1)),
        # The last frame counts in full, however much of it is there.
        (SLOW + SLOW[:10], Fraction(144, 1_000)),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1_000, 1 << 20])
def test_frames_add_up_in_any_pieces(data: bytes, seconds: Fraction, step: int) -> None:
    assert _longest(data, step) == seconds


def test_frames_hidden_inside_others_are_found() -> None:
    """Heads that promise long frames, between which a decoder could find many short ones."""
    hidden = b"".join(FAST[:4] + (SLOW * 19).ljust(1_436, b"\x00") for _ in range(20))
    assert _longest(hidden) >= 20 * 19 * Fraction(72, 1_000)


@given(st.lists(st.sampled_from([SLOW, FAST, mp3(24), b"\xff", b"\xff\xfb", b"TAG", bytes(50)])))
@settings(max_examples=200)
def test_never_less_than_a_decoder_finds(parts: list[bytes]) -> None:
    data = b"".join(parts)
    try:
        played = seconds_of(data)
    except ProviderError:
        return
    assert _longest(data, 100) >= played


def test_a_file_full_of_heads_takes_no_long_time_and_counts_by_its_size() -> None:
    data = b"\xff\xe3\x18" * (FRAMES_MAX + 10)
    started = time.process_time()
    assert _longest(data) >= Fraction(len(data), BYTES_PER_SECOND_MIN)
    assert time.process_time() - started < 60
