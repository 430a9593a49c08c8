"""Pictures without a model: PNG files of the asked size, and the pages that ``url`` answers name.

A picture is stripes in two colours picked by a hash of the prompt. Its pixels are stored without
being packed, so a file weighs what a real one does (about a byte for each pixel) and costs a
few milliseconds, most of them checksums.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import lru_cache

from gateway.simulator.errors import ProviderError
from gateway.simulator.server import Answer, Request

PICTURES = "/sim/images/"
"""Where pictures are fetched from, without a key, as the provider's storage serves them."""
SIDE_MAX = 4_096
SHADES = 256
STRIPE_PIXELS = 16
_NAME = re.compile(r"(\d{1,4})x(\d{1,4})-([0-9a-f]{2})\.png")


@lru_cache(maxsize=16)
def draw_png(width: int, height: int, shade: int, transparent: bool = False) -> bytes:
    """A PNG file in the colours of ``shade`` (0 to 255), of which one may be see-through.

    Source: W3C, "Portable Network Graphics Specification": colour type 3, filter 0.
    """
    stripe = b"\x00" * STRIPE_PIXELS + b"\x01" * STRIPE_PIXELS
    line = b"\x00" + (stripe * (width // len(stripe) + 1))[:width]
    palette = bytes((shade, 255 - shade, 128, 255 - shade, shade, 64))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette),
            _chunk(b"tRNS", b"\x00") if transparent else b"",
            _chunk(b"IDAT", zlib.compress(line * height, 0)),
            _chunk(b"IEND", b""),
        )
    )


def picture_url(request: Request, width: int, height: int, shade: int) -> str:
    """The address of a picture at the simulator, under the name that the request called it by."""
    host = request.headers.get("host", "127.0.0.1")
    return f"http://{host}{PICTURES}{width}x{height}-{shade:02x}.png"


def picture_page(request: Request) -> Answer:
    """``GET`` of a picture. Raises ProviderError (404) for a name that none has.

    Nothing is kept: a picture is drawn again from its name.
    """
    name = _NAME.fullmatch(request.path.removeprefix(PICTURES))
    width, height = (int(name[1]), int(name[2])) if name else (0, 0)
    if request.method != "GET" or not name or not 0 < min(width, height) <= SIDE_MAX:
        raise ProviderError(404, "There is no such picture.")
    if max(width, height) > SIDE_MAX:
        raise ProviderError(404, "There is no such picture.")
    return Answer(draw_png(width, height, int(name[3], 16)), content_type="image/png")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
