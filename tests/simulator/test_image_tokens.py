from __future__ import annotations

import pytest

from gateway.simulator.image_tokens import LANDSCAPE, PORTRAIT, SQUARE, input_tokens, output_tokens


@pytest.mark.parametrize(
    ("size", "quality", "tokens"),
    [
        (SQUARE, "low", 272),
        (SQUARE, "medium", 1_056),
        (SQUARE, "high", 4_160),
        (PORTRAIT, "low", 408),
        (PORTRAIT, "medium", 1_584),
        (PORTRAIT, "high", 6_240),
        (LANDSCAPE, "low", 400),
        (LANDSCAPE, "medium", 1_568),
        (LANDSCAPE, "high", 6_208),
    ],
)
def test_output_by_the_published_table(size: tuple[int, int], quality: str, tokens: int) -> None:
    assert output_tokens(size, quality) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1_024, 1_024, 65 + 129),  # seen in a bill: 194
        (512, 513, 65 + 2 * 129),  # seen in a bill: two tiles
        (1, 1, 65 + 129),
        (3_840, 2_160, 65 + 2 * 129),
        (1_536, 1_024, 65 + 2 * 129),
        (8_192, 512, 65 + 4 * 129),
    ],
)
def test_input_by_tiles_of_the_shrunk_picture(width: int, height: int, tokens: int) -> None:
    assert input_tokens(width, height, False) == tokens
    assert input_tokens(height, width, False) == tokens


def test_high_fidelity_adds_by_shape() -> None:
    assert input_tokens(1_024, 1_024, True) == 194 + 4_160
    assert input_tokens(1_536, 1_024, True) == 65 + 2 * 129 + 6_240
