from __future__ import annotations

import io
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.sound_bounds import LAST_FRAME_SECONDS, RATES, UNKNOWN_RATE, longest_seconds
from gateway.simulator.errors import ProviderError
from gateway.simulator.sound import mp3, wav
from gateway.simulator.sound_length import seconds_of
from tests.core.test_flac_frames import frame

PCM = (1, 1, 24_000, 48_000, 2, 16)


def _wav(*chunks: tuple[bytes, bytes], sizes: dict[bytes, int] | None = None) -> bytes:
    body = b"WAVE"
    for kind, data in chunks:
        size = (sizes or {}).get(kind, len(data))
        body += struct.pack("<4sI", kind, size) + data + b"\x00" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _format(codec: int, channels: int, hertz: int, stated: int, block: int, bits: int) -> bytes:
    return struct.pack("<HHIIHH", codec, channels, hertz, stated, block, bits)


def _longest(data: bytes, name: str = "a.wav") -> Fraction:
    return longest_seconds(io.BytesIO(data), len(data), name)


def _by_size(data: bytes, rate: int) -> Fraction:
    return Fraction(len(data), rate) + LAST_FRAME_SECONDS


SECOND = (b"data", bytes(48_000))
FORMAT = (b"fmt ", _format(*PCM))


def test_a_wav_file_plays_as_long_as_its_samples() -> None:
    assert _longest(wav(2_300)) == Fraction(23, 10)
    assert _longest(wav(1)) == Fraction(1, 1_000)
    assert _longest(_wav(FORMAT, SECOND)) == 1
    assert _longest(_wav((b"LIST", b"odd"), FORMAT, (b"junk", bytes(9)), SECOND)) == 1


@pytest.mark.parametrize("size", [0, 1, 48_000, 2**31, 2**32 - 1])
def test_the_size_that_a_head_states_does_not_matter(size: int) -> None:
    assert _longest(_wav(FORMAT, SECOND, sizes={b"data": size})) == 1


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        # A stated rate that is too high, too low, or none at all.
        ((1, 1, 24_000, 4_000_000_000, 2, 16), Fraction(1)),
        ((1, 1, 24_000, 480, 2, 16), Fraction(100)),
        ((1, 1, 24_000, 0, 2, 16), None),
        # Samples that follow from what is stated are slower than the rate says.
        ((1, 1, 2_400, 48_000, 2, 16), Fraction(10)),
        ((1, 2, 24_000, 96_000, 4, 16), Fraction(1, 2)),
        ((3, 1, 12_000, 48_000, 4, 32), Fraction(1)),
        ((1, 0, 24_000, 48_000, 2, 16), None),
        # ADPCM, MP3 inside a WAV file, GSM: no plain samples.
        ((2, 1, 24_000, 48_000, 2, 4), None),
        ((0x55, 1, 24_000, 48_000, 1, 0), None),
        ((0x31, 1, 8_000, 1_625, 65, 0), None),
    ],
)
def test_adversarial_formats(
    fields: tuple[int, int, int, int, int, int], seconds: Fraction | None
) -> None:
    data = _wav((b"fmt ", _format(*fields)), SECOND)
    assert _longest(data) == (_by_size(data, RATES["wav"]) if seconds is None else seconds)


def test_of_several_formats_the_slowest_counts() -> None:
    slow = (b"fmt ", _format(1, 1, 8_000, 8_000, 1, 8))
    for chunks in ((slow, FORMAT), (FORMAT, slow)):
        assert _longest(_wav(*chunks, SECOND)) == 6


def test_the_extensible_format_names_its_codec_inside() -> None:
    head = _format(0xFFFE, 1, 24_000, 48_000, 2, 16) + struct.pack("<HHI", 22, 16, 4)
    samples = head + struct.pack("<H", 1) + bytes(14)
    packed = head + struct.pack("<H", 2) + bytes(14)
    assert _longest(_wav((b"fmt ", samples), SECOND)) == 1
    data = _wav((b"fmt ", packed), SECOND)
    assert _longest(data) == _by_size(data, 1_000)


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WAVE",
        b"RIFF\x00\x00\x00\x00WAVEdata",
        _wav(SECOND),
        _wav(SECOND, FORMAT),
        _wav((b"fmt ", b"short"), SECOND),
        _wav(*[(b"junk", b"")] * 2_000, FORMAT, SECOND),
        _wav((b"junk", b""), FORMAT, SECOND, sizes={b"junk": 2**32 - 1}),
    ],
)
def test_a_malformed_wav_file_counts_by_its_size(data: bytes) -> None:
    assert _longest(data) == _by_size(data, RATES["wav"])


def test_mp3_files_play_as_long_as_their_frames() -> None:
    assert _longest(mp3(61_000), "a.mp3") == seconds_of(mp3(61_000))
    assert _longest(mp3(480), "a.MPGA") == Fraction(480, 1_000)
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
    tagged = tag + mp3(61_000)
    assert seconds_of(tagged) <= _longest(tagged, "a.mp3") < seconds_of(tagged) + 1
    # Layer II is no frame here, and counts at the lowest rate of all.
    second = b"\xff\xfd\x90\x00" * 990
    assert _longest(second, "a.mpeg") == _by_size(second, UNKNOWN_RATE)


@pytest.mark.parametrize("start", [b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x00\x18ftyp"])
def test_another_format_by_the_name_of_mp3_counts_by_its_size(start: bytes) -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00"
    for data in (start + mp3(61_000), tag + start + mp3(61_000), tag * 3 + start + bytes(9_000)):
        assert _longest(data, "a.mp3") >= _by_size(data, UNKNOWN_RATE)


def _flac(hertz: int, samples: int, size: int = 42) -> bytes:
    packed = struct.pack(">Q", hertz << 44 | 15 << 36 | samples)
    return (b"fLaC\x80\x00\x00\x22" + bytes(10) + packed).ljust(size, b"\x00")


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (_flac(16_000, 32_000), Fraction(2)),
        (_flac(16_000, 32_000, 40_000), Fraction(2)),
        (_flac(8_000, 1) + frame() + frame(1), 2 * Fraction(65_535, 8_000)),
        (_flac(16_000, 0) + frame(size=b"", codes=0x80), Fraction(256, 16_000)),
        (_flac(0, 32_000, 4_000), Fraction(0)),
        (b"fLaC", Fraction(0)),
    ],
)
def test_flac_files_play_as_their_frames_or_as_they_state(data: bytes, seconds: Fraction) -> None:
    assert _longest(data, "a.flac") == seconds
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00"
    assert _longest(tag * 2 + data, "a.flac") == seconds


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"OggS" + bytes(1_000), "a.ogg"),
        (b"\x1a\x45\xdf\xa3" + bytes(1_000), "a.webm"),
        (b"\x00\x00\x00\x18ftyp" + bytes(1_000), "a.m4a"),
        (b"", "a.wav"),
        (b"whatever", ""),
        # What the name says and what the file begins with differ.
        (wav(1_000), "a.webm.flac"),
        (_flac(16_000, 16_000, 9_000), "a.wav"),
        (mp3(1_000), "a.ogg"),
        (mp3(1_000), "a"),
    ],
)
def test_all_else_counts_by_its_size(data: bytes, name: str) -> None:
    assert _longest(data, name) == _by_size(data, UNKNOWN_RATE)


def test_a_name_makes_no_file_shorter() -> None:
    slow = _wav((b"fmt ", _format(1, 1, 10, 10, 1, 8)), (b"data", bytes(1_000)))
    stated = _flac(1, 3_600)
    for name in ("a.wav", "a.mp3", "a.flac", "a.webm", "a"):
        assert _longest(slow, name) >= 100
        assert _longest(stated, name) >= 3_600
    assert _longest(wav(1_000), "a.mp3") >= Fraction(len(wav(1_000)), 1_000)


@given(st.binary(max_size=200), st.sampled_from(["a.wav", "a.mp3", "a.flac", "a.m4a", "b"]))
def test_any_bytes_have_a_bound(data: bytes, name: str) -> None:
    wave = _wav(FORMAT, (b"data", b""))
    for start in (b"", wave[:12], wave, b"fLaC\x80\x00\x00\x22"):
        whole = start + data
        bound = _longest(whole, name)
        assert bound >= 0
        try:
            assert bound >= seconds_of(whole)
        except ProviderError:
            continue
