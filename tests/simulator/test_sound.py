from __future__ import annotations

import io
import wave
from array import array
from fractions import Fraction

import pytest

from gateway.simulator.sound import RATE, mp3, pcm, wav
from gateway.simulator.sound_length import seconds_of


@pytest.mark.parametrize("length_ms", [1, 480, 1_000, 61_234])
def test_a_wav_file_holds_the_tone(length_ms: int) -> None:
    with wave.open(io.BytesIO(wav(length_ms))) as opened:
        shape = opened.getnchannels(), opened.getsampwidth(), opened.getframerate()
        assert shape == (1, 2, RATE)
        assert opened.getnframes() == length_ms * 24
        assert opened.readframes(length_ms * 24) == pcm(length_ms)


def test_the_tone_is_quiet_but_there() -> None:
    samples = array("h", pcm(1_000))
    assert 900 < max(samples) <= 1_000
    assert -1_000 <= min(samples) < -900


def test_an_mp3_file_is_whole_frames() -> None:
    assert seconds_of(mp3(1_000)) == Fraction(42 * 24, 1_000)
    assert mp3(0) == b""
