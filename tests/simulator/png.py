"""Reads a PNG file as a decoder would, with every check that its format allows."""

from __future__ import annotations

import struct
import zlib


def decode_png(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and the rows of pixels, each with its filter byte in front."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, dict[bytes, bytes]()
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert next(reversed(chunks)) == b"IEND"
    width, height, depth, colour, packing, filtering, lacing = struct.unpack(
        ">IIBBBBB", chunks[b"IHDR"]
    )
    assert (depth, colour, packing, filtering, lacing) == (8, 3, 0, 0, 0)
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == (width + 1) * height
    assert set(rows) <= set(range(len(chunks[b"PLTE"]) // 3))
    return width, height, rows
