"""How many tokens an image is billed as: OpenAI's published rules, as upper bounds.

Source: OpenAI, "Images and vision", sections "Model sizing behavior" and "Calculating
costs" (developers.openai.com/api/docs/guides/images-vision, as of autumn 2026). The rules
resize with unstated rounding; every rounding here goes the way that counts more tokens.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import imagesize

PATCH_PIXELS = 32
TILE_PIXELS = 512
TILE_FIT_PIXELS = 2_048
TILE_SHORT_SIDE_PIXELS = 768

PATCHES_MAX = 30_000
"""Images that need more patches than this are refused by the provider, at any detail."""

_HEADER_CHARACTERS = 1_400_000
"""Base64 characters decoded to find an image's size: about 1 MB. JPEG files may carry
several 64 kB segments of metadata before the frame header that states the size."""

HEADER_BYTES = _HEADER_CHARACTERS * 3 // 4

_HEAD_CHARACTERS = 256
"""Most characters before the comma of a data URL (``data:image/png;base64``)."""

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")


@dataclass(frozen=True, slots=True)
class Tiles:
    """``base`` tokens plus ``tile`` tokens for each 512-pixel square of the resized image."""

    base: int
    tile: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        if detail == "low":
            return self.base
        return self.base + self.tile * _tile_count(width, height)

    def tokens_max(self, detail: str) -> int:
        """The most that an image of any size can cost."""
        return self.base if detail == "low" else self.base + self.tile * 8


@dataclass(frozen=True, slots=True)
class Sizing:
    """Limits that an image is scaled down to: pixels of the longer side, number of patches."""

    side_pixels_max: int
    patches_max: int | None


@dataclass(frozen=True, slots=True)
class Patches:
    """Tokens for each 32-pixel square of the resized image, times a multiplier.

    ``multiplier_percent`` is the published multiplier in hundredths. ``sizings`` are by
    detail; an image at a detail that is not among them is counted at the dearest of them.
    """

    multiplier_percent: int
    sizings: Mapping[str, Sizing] = field(hash=False)

    def tokens(self, width: int, height: int, detail: str) -> int:
        return max(
            self._billed(_patch_count(width, height, sizing)) for sizing in self._sizings(detail)
        )

    def tokens_max(self, detail: str) -> int:
        """The most that an image of any size can cost."""
        most = 0
        for sizing in self._sizings(detail):
            side = -(-sizing.side_pixels_max // PATCH_PIXELS)
            limit = PATCHES_MAX if sizing.patches_max is None else sizing.patches_max
            most = max(most, min(side * side, limit))
        return self._billed(most)

    def _sizings(self, detail: str) -> tuple[Sizing, ...]:
        known = self.sizings.get(detail)
        return (known,) if known is not None else tuple(self.sizings.values())

    def _billed(self, patches: int) -> int:
        # "Floating-point rounding in billing can make the final count differ by one token."
        return -(-patches * self.multiplier_percent // 100) + 1


@dataclass(frozen=True, slots=True)
class ImageRule:
    """The rule of a model. Where it is not published which of two applies, both are given
    and the dearer one counts."""

    tiles: Tiles | None = None
    patches: Patches | None = None

    def tokens(self, size: tuple[int, int] | None, detail: str) -> int:
        """An upper bound of the tokens of one image; ``size`` None is an image of any size."""
        rules = [rule for rule in (self.tiles, self.patches) if rule is not None]
        if size is None:
            return max(rule.tokens_max(detail) for rule in rules)
        return max(rule.tokens(*size, detail) for rule in rules)


def _tile_count(width: int, height: int) -> int:
    """512-pixel squares after fitting into 2048 x 2048 and a short side of 768 pixels.

    1024 x 1024 takes 4, 2048 x 4096 takes 6. The first resize may round its short side
    either way, which changes the second scale: the larger outcome counts.
    """
    short, long = sorted((max(width, 1), max(height, 1)))
    shorts = {short}
    if long > TILE_FIT_PIXELS:
        shorts = {max(short * TILE_FIT_PIXELS // long, 1), -(-short * TILE_FIT_PIXELS // long)}
        long = TILE_FIT_PIXELS
    most = 0
    for side in shorts:
        across = long
        if side > TILE_SHORT_SIDE_PIXELS:
            across = -(-long * TILE_SHORT_SIDE_PIXELS // side)
            side = TILE_SHORT_SIDE_PIXELS
        most = max(most, -(-side // TILE_PIXELS) * -(-across // TILE_PIXELS))
    return most


def _patch_count(width: int, height: int, sizing: Sizing) -> int:
    """32-pixel squares after fitting into the sizing's limits.

    An image over the budget is scaled so that it stays within: billing has been seen to
    charge the whole budget then, so the whole budget is the bound.
    """
    long = max(width, height, 1)
    if long > sizing.side_pixels_max:
        width = -(-width * sizing.side_pixels_max // long)
        height = -(-height * sizing.side_pixels_max // long)
    patches = -(-max(width, 1) // PATCH_PIXELS) * -(-max(height, 1) // PATCH_PIXELS)
    return patches if sizing.patches_max is None else min(patches, sizing.patches_max)


def size_of(url: str) -> tuple[int, int] | None:
    """Width and height in pixels of the image in a base64 data URL.

    None where it cannot be known: a remote URL, another encoding or file type, damage.
    """
    if url[:5].lower() != "data:":
        return None
    comma = url.find(",", 0, _HEAD_CHARACTERS)
    if comma < 0 or not url[:comma].lower().endswith(";base64"):
        return None
    try:
        start = base64.b64decode(_start_of_data(url, comma + 1))
    except (binascii.Error, ValueError):
        return None
    return size_of_file(start)


def size_of_file(start: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of the image that begins with ``start``; None as above.

    ``HEADER_BYTES`` of it are enough for all but JPEG files with more metadata than that.
    """
    if not start.startswith(_SIGNATURES):
        return None
    if start.startswith(b"RIFF") and start[8:12] != b"WEBP":
        return None
    try:
        width, height = imagesize.get(io.BytesIO(start))
        if start.startswith(b"GIF"):
            width, height = _with_first_frame(start, width, height)
    except Exception:
        # The bytes are the client's own: whatever the parser makes of them, the image is
        # then counted at the worst case.
        return None
    if width <= 0 or height <= 0:
        return None
    return width, height


def _start_of_data(url: str, position: int) -> str:
    """The first base64 characters, without the white space that some clients break lines with."""
    start = "".join(url[position : position + _HEADER_CHARACTERS].split())
    if len(url) > position + _HEADER_CHARACTERS:
        start = start[: len(start) // 4 * 4]
    return start


def _with_first_frame(gif: bytes, width: int, height: int) -> tuple[int, int]:
    """The size of a GIF whose first frame may exceed the screen size its header states."""
    table = 3 << ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0
    position = 13 + table
    while gif[position] == 0x21:  # extensions: a label and length-prefixed blocks
        position += 2
        while gif[position]:
            position += gif[position] + 1
        position += 1
    if gif[position] != 0x2C:
        raise ValueError("no frame")
    left, top, across, down = (
        int.from_bytes(gif[position + at : position + at + 2], "little") for at in (1, 3, 5, 7)
    )
    return max(width, left + across), max(height, top + down)
