"""How long an audio file plays, read exactly from WAV, MP3 and FLAC files.

Other containers are named and refused: a guess would charge something else than the truth.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from gateway.simulator.errors import ProviderError, bad_request

_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of MPEG-1 and of MPEG-2 and 2.5, layer III, by index (ISO 11172-3, 13818-3)."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second, by the header's version bits and rate index."""
_LAYER_III = 1
_VARIABLE_RATE_MARKS = (b"Xing", b"Info", b"VBRI")

_UNMEASURED = ((0, b"OggS", "ogg"), (4, b"ftyp", "mp4"), (0, b"\x1a\x45\xdf\xa3", "webm"))


def seconds_of(data: bytes) -> Fraction:
    """The exact length of the audio in ``data``. Raises ProviderError (400) where it has none."""
    for at, mark, name in _UNMEASURED:
        if data[at : at + len(mark)] == mark:
            raise bad_request(
                f"The simulator cannot measure {name} audio. It measures wav, mp3 and flac.", "file"
            )
    try:
        if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
            return _wav(data)
        if data[:4] == b"fLaC":
            return _flac(data)
        if data[:3] == b"ID3" or _mp3_frame(data, 0) is not None:
            return _mp3(data)
    except (struct.error, ZeroDivisionError):
        raise _corrupted() from None
    raise bad_request(
        "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', "
        "'oga', 'ogg', 'wav', 'webm']"
    )


def _wav(data: bytes) -> Fraction:
    """Bytes of sound over bytes a second. A size that writers of streams leave open, or that
    says more than there is, means the rest of the file."""
    at, bytes_a_second = 12, 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if kind == b"fmt ":
            (bytes_a_second,) = struct.unpack_from("<I", data, at + 8)
        elif kind == b"data":
            return Fraction(min(size, len(data) - at), bytes_a_second)
        at += size + size % 2
    raise _corrupted()


def _flac(data: bytes) -> Fraction:
    """Samples over rate, from the STREAMINFO block that every file begins with (RFC 9639)."""
    (packed,) = struct.unpack_from(">Q", data, 18)
    samples = packed & (1 << 36) - 1
    if samples == 0:
        raise _corrupted()
    return Fraction(samples, packed >> 44)


def _mp3(data: bytes) -> Fraction:
    """The sum of all frames, without the one that only describes the rest."""
    at = _after_tag(data)
    total, first = Fraction(0), True
    while True:
        frame = _mp3_frame(data, at)
        if frame is None:
            break
        size, samples, rate = frame
        describing = first and any(mark in data[at : at + 64] for mark in _VARIABLE_RATE_MARKS)
        if not describing:
            total += Fraction(samples, rate)
        first = False
        at += size
    if total == 0:
        raise _corrupted()
    return total


def _after_tag(data: bytes) -> int:
    """Where the frames begin: after an ID3v2 tag, whose size has seven bits in each byte."""
    if data[:3] != b"ID3":
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _mp3_frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Bytes, samples and samples a second of the frame at ``at``; None where there is none."""
    if at + 4 > len(data):
        return None
    (header,) = struct.unpack_from(">I", data, at)
    version, layer = header >> 19 & 3, header >> 17 & 3
    bit_rate, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != _LAYER_III or rate == 3:
        return None
    if not 0 < bit_rate < 15:
        return None
    samples = 1_152 if version == 3 else 576
    kbps = (_KBPS_1 if version == 3 else _KBPS_2)[bit_rate]
    hertz = _RATES[version][rate]
    return samples // 8 * kbps * 1_000 // hertz + (header >> 9 & 1), samples, hertz


def _corrupted() -> ProviderError:
    return bad_request("Audio file might be corrupted or unsupported", "file", "invalid_value")
