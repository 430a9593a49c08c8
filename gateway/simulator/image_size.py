"""Width and height of an image given in a request, from its first bytes."""

from __future__ import annotations

import base64
import binascii
import struct
from zlib import crc32

from gateway.simulator.errors import bad_request

REMOTE_SIZES = ((512, 512), (1_024, 1_024), (1_920, 1_080), (768, 2_048), (4_096, 4_096))
"""Sizes given, by a hash of the address, to images that are only named by one: the simulator
fetches nothing, yet whoever estimates must not know the size beforehand either."""


def size_of_image(url: str) -> tuple[int, int]:
    """Pixels across and down. Raises ProviderError (400) for data that is no image."""
    if not url.startswith("data:"):
        return REMOTE_SIZES[crc32(url.encode()) % len(REMOTE_SIZES)]
    _, _, encoded = url.partition("base64,")
    try:
        size = size_of_data(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        size = None
    if size is None:
        raise bad_request(
            "You uploaded an unsupported image. Please make sure your image is valid.",
            code="image_parse_error",
        )
    return size


def size_of_data(data: bytes) -> tuple[int, int] | None:
    """Pixels across and down of a PNG, GIF, JPEG or WebP file; None for anything else."""
    try:
        size = _png(data) or _gif(data) or _jpeg(data) or _webp(data)
    except (struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header (markers C0 to CF but C4, C8, CC)."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while True:
        marker, length = struct.unpack(">xBH", data[at : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF
