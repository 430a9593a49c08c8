"""Tokens of pictures, from the provider's published rules for its GPT image models.

Sources: OpenAI docs, "Image generation", section "Cost and latency" (output, partial images);
"Images and vision", section "Calculating costs" (input). Where the rules are silent: a mask is
not counted, and the input counts once however many pictures are asked for.
"""

from __future__ import annotations

import math

QUALITIES = ("low", "medium", "high")
SQUARE, LANDSCAPE, PORTRAIT = (1_024, 1_024), (1_536, 1_024), (1_024, 1_536)

_OUTPUT = {
    SQUARE: {"low": 272, "medium": 1_056, "high": 4_160},
    PORTRAIT: {"low": 408, "medium": 1_584, "high": 6_240},
    LANDSCAPE: {"low": 400, "medium": 1_568, "high": 6_208},
}
PARTIAL_IMAGE_TOKENS = 100
"""Output tokens of each partial image, on top of those of the finished one."""

INPUT_BASE = 65
INPUT_TILE = 129
TILE_PIXELS = 512
FIT_PIXELS = 2_048
SHORT_SIDE_PIXELS = 512
HIGH_FIDELITY_SQUARE = 4_160
HIGH_FIDELITY_OTHER = 6_240


def output_tokens(size: tuple[int, int], quality: str) -> int:
    """Tokens of one finished picture of a standard size."""
    return _OUTPUT[size][quality]


def input_tokens(width: int, height: int, high_fidelity: bool) -> int:
    """Tokens of one picture given: fit in a square of 2048, bring the short side down to 512,
    count squares of 512; high fidelity adds a set number by shape.

    An oblong picture counts as such from its first pixel: the rule says no more than "closer to".
    """
    scale = min(1.0, FIT_PIXELS / max(width, height))
    across, down = width * scale, height * scale
    scale = min(1.0, SHORT_SIDE_PIXELS / min(across, down))
    tiles = math.ceil(round(across * scale) / TILE_PIXELS) * math.ceil(
        round(down * scale) / TILE_PIXELS
    )
    extra = 0
    if high_fidelity:
        extra = HIGH_FIDELITY_SQUARE if width == height else HIGH_FIDELITY_OTHER
    return INPUT_BASE + INPUT_TILE * tiles + extra
