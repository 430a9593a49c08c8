from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from gateway.simulator.image_size import size_of_data
from gateway.simulator.picture import draw_png
from tests.simulator.conftest import Simulated
from tests.simulator.png import decode_png


@pytest.mark.parametrize("size", [(256, 256), (1_792, 1_024), (1_024, 1_536), (7, 3)])
def test_a_picture_is_a_valid_png_of_its_size(size: tuple[int, int]) -> None:
    data = draw_png(*size, 40)
    assert decode_png(data)[:2] == size == size_of_data(data)
    assert len(data) > size[0] * size[1]


def test_pictures_differ_by_shade_and_may_be_see_through() -> None:
    plain = draw_png(32, 32, 1)
    assert plain != draw_png(32, 32, 2)
    assert b"tRNS" in draw_png(32, 32, 1, transparent=True)
    assert b"tRNS" not in plain


@pytest.mark.parametrize(
    "name", ["4097x1-00.png", "1x4097-00.png", "0x1-00.png", "1x1-zz.png", "1x1-00.gif", ""]
)
def test_there_are_no_other_pictures(simulated: Simulated, name: str) -> None:
    address = f"http://127.0.0.1:{simulated.port}/sim/images/{name}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address)
    assert refused.value.code == 404
