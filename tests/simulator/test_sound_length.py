from __future__ import annotations

import struct
from fractions import Fraction

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.sound import mp3, wav
from gateway.simulator.sound_length import seconds_of

FRAME = b"\xff\xfb\x90\x00".ljust(417, b"\x00")
"""MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 144 * 128000 / 44100 bytes, 1152 samples."""


def test_wav_is_measured_to_the_sample() -> None:
    assert seconds_of(wav(1_234)) == Fraction(1_234, 1_000)


def test_a_wav_that_leaves_its_size_open_lasts_to_its_end() -> None:
    data = wav(2_000)
    open_ended = data[:40] + b"\xff\xff\xff\xff" + data[44:]
    assert seconds_of(open_ended) == 2


def test_other_chunks_of_a_wav_are_passed_over() -> None:
    data = wav(500)
    listed = b"LIST" + struct.pack("<I", 3) + b"abc\x00"
    assert seconds_of(data[:12] + listed + data[12:]) == Fraction(1, 2)


def test_mp3_is_the_sum_of_its_frames() -> None:
    assert seconds_of(FRAME * 10) == Fraction(11_520, 44_100)
    padded = (b"\xff\xfb\x92\x00").ljust(418, b"\x00")
    assert seconds_of(padded * 3) == Fraction(3 * 1_152, 44_100)


def test_tags_and_describing_frames_of_an_mp3_are_no_sound() -> None:
    tag = b"ID3\x04\x00\x00" + bytes((0, 0, 1, 2)) + b"\xff" * 130
    describing = FRAME[:36] + b"Xing" + FRAME[40:]
    assert seconds_of(tag + describing + FRAME * 5 + b"TAG" + b"\x00" * 125) == Fraction(
        5 * 1_152, 44_100
    )


def test_flac_says_its_samples() -> None:
    packed = 48_000 << 44 | 1 << 41 | 15 << 36 | 72_000
    stream_info = struct.pack(">HH6xQ16x", 4_096, 4_096, packed)
    assert seconds_of(b"fLaC\x80\x00\x00\x22" + stream_info) == Fraction(3, 2)
    unknown = struct.pack(">HH6xQ16x", 4_096, 4_096, packed >> 36 << 36)
    with pytest.raises(ProviderError, match="corrupted"):
        seconds_of(b"fLaC\x80\x00\x00\x22" + unknown)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"OggS" + b"\x00" * 60, "cannot measure ogg"),
        (b"\x00\x00\x00\x20ftypM4A " + b"\x00" * 60, "cannot measure mp4"),
        (b"\x1a\x45\xdf\xa3" + b"\x00" * 60, "cannot measure webm"),
        (b"", "Invalid file format"),
        (b"hello" * 20, "Invalid file format"),
        (wav(500)[:30], "corrupted"),
        (b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd", "corrupted"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "corrupted"),
        (b"fLaC\x80", "corrupted"),
    ],
)
def test_what_cannot_be_measured_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ProviderError, match=message) as refused:
        seconds_of(data)
    assert refused.value.status == 400


def test_own_speech_can_be_measured() -> None:
    assert seconds_of(mp3(2_400)) == Fraction(12, 5)
