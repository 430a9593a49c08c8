from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.image_requests import (
    Wishes,
    bound_by_picture,
    bound_by_tokens,
    default_model,
    input_tokens,
    is_billed_by_picture,
    size_tag,
    wishes_of,
)
from gateway.core.prices import Meter, Rate
from gateway.simulator import image_tokens as provider
from tests.core.media_prices import DALLE_3, GPT_IMAGE, WHISPER, row


def _wishes(**fields: Any) -> Wishes:
    return wishes_of(fields)


def test_what_a_request_asks_for() -> None:
    assert _wishes() == Wishes(1, None, None, 0, True)
    fields = {"n": 3, "size": "auto", "quality": "hd", "partial_images": 2, "input_fidelity": "low"}
    assert wishes_of(fields) == Wishes(3, "auto", "hd", 2, False)


@pytest.mark.parametrize(
    ("model", "size", "tag"),
    [
        ("dall-e-3", None, "1024x1024"),
        ("dall-e-3", "1792x1024", "1792x1024"),
        ("gpt-image-1", None, "auto"),
        ("gpt-image-1", "auto", "auto"),
        ("gpt-image-1", "1024x1536", "1024x1536"),
        ("dall-e-2", "large", "other"),
        ("dall-e-2", "1024x1024\n", "other"),
        ("dall-e-2", "0x99999999999", "other"),
        ("dall-e-2", "", "other"),
    ],
)
def test_the_size_that_reports_have(model: str, size: str | None, tag: str) -> None:
    assert size_tag(model, size) == tag


@pytest.mark.parametrize(
    "name", ["svg", "svg[model]", "complexity", "frame_count", "frame_count[]"]
)
def test_fields_with_a_price_of_their_own_are_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        wishes_of({name: "1"})


@pytest.mark.parametrize("form", ["svg", "gif", "PNG", "", 3])
def test_formats_with_a_price_of_their_own_are_refused(form: object) -> None:
    with pytest.raises(BadRequest) as refused:
        wishes_of({"output_format": form})
    assert refused.value.param == "output_format"


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({}, "dall-e-2"),
        ({"size": "512x512", "n": 2, "stream": None}, "dall-e-2"),
        ({"stream": False}, "gpt-image-1"),
        ({"background": "auto"}, "gpt-image-1"),
        ({"input_fidelity": "low"}, "gpt-image-1"),
    ],
)
def test_the_model_of_a_request_that_names_none(fields: dict[str, Any], model: str) -> None:
    assert default_model(fields) == model


def test_which_models_are_billed_by_the_picture() -> None:
    assert is_billed_by_picture(DALLE_3)
    assert not is_billed_by_picture(GPT_IMAGE)
    assert not is_billed_by_picture(WHISPER)


@pytest.mark.parametrize(
    ("fields", "nano", "certain"),
    [
        ({}, 40_000_000, True),
        ({"n": 3}, 120_000_000, True),
        ({"size": "1024x1792", "quality": "hd"}, 120_000_000, True),
        ({"size": "1024x1024", "quality": "auto"}, 80_000_000, False),
        ({"size": "9x9"}, 120_000_000, False),
        ({"quality": "low"}, 120_000_000, False),
    ],
)
def test_a_picture_has_the_price_of_its_size_and_quality(
    fields: dict[str, Any], nano: int, certain: bool
) -> None:
    bound, known = bound_by_picture(DALLE_3, "dall-e-3", wishes_of(fields))
    assert (bound.worst_nano, bound.least_nano, known) == (nano, nano, certain)


def test_a_row_with_one_price_for_all_pictures_is_certain() -> None:
    flat = row("dall-e-3", default={Meter.IMAGES: Rate(7, 1)})
    bound, certain = bound_by_picture(flat, "dall-e-3", _wishes(size="9x9", n=2))
    assert (bound.worst_nano, bound.tier, certain) == (14, "default", True)


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({"quality": "low", "size": "1024x1024"}, 272),
        ({"quality": "medium", "size": "1024x1536"}, 1_584),
        ({"quality": "high", "size": "1536x1024", "n": 2}, 12_416),
        ({"quality": "low"}, 408),
        ({"quality": "auto", "size": "1024x1024"}, 4_160),
        ({"size": "auto"}, 6_240),
        ({"quality": "low", "size": "1024x1024", "partial_images": 3}, 572),
    ],
)
def test_a_gpt_model_is_bounded_by_the_published_table(fields: dict[str, Any], made: int) -> None:
    bound = bound_by_tokens(GPT_IMAGE, "gpt-image-1", wishes_of(fields), 10)
    # The prompt counts as pictures, should the report not say what it is.
    assert bound.worst_nano == (10 + 32) * 10_000 + made * 40_000
    assert bound.input_tokens == 42


def test_pictures_given_count_once_whatever_is_made_of_them() -> None:
    wishes = _wishes(quality="low", size="1024x1024", n=3, input_fidelity="low")
    bound = bound_by_tokens(GPT_IMAGE, "gpt-image-1", wishes, 0, [(512, 512), None])
    given_tokens = 65 + 129 + 65 + 4 * 129
    assert bound.input_tokens == 32 + given_tokens
    assert bound.worst_nano == (32 + given_tokens) * 10_000 + 3 * 272 * 40_000


def test_text_that_a_newer_model_writes_is_bounded_too() -> None:
    wishes = _wishes(quality="low", size="1024x1024", n=2)
    older = bound_by_tokens(GPT_IMAGE, "gpt-image-1", wishes, 0)
    for name in ("gpt-image-1.5", "gpt-image-1.5-2025-12-16"):
        newer = bound_by_tokens(GPT_IMAGE, name, wishes, 0)
        assert newer.worst_nano - older.worst_nano == 2 * 1_024 * 40_000


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        ("gpt-image-2", {}, "model"),
        ("gpt-4o", {}, "model"),
        ("gpt-image-1", {"quality": "max"}, "quality"),
        ("gpt-image-1", {"size": "2048x2048"}, "size"),
    ],
)
def test_what_the_table_does_not_have_is_refused(
    model: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        bound_by_tokens(GPT_IMAGE, model, wishes_of(fields), 1)
    assert refused.value.param == param


def test_a_model_without_a_price_for_pictures_is_refused() -> None:
    with pytest.raises(ModelUnpriced):
        bound_by_tokens(WHISPER, "gpt-image-1", _wishes(), 1)


@pytest.mark.parametrize(
    ("size", "fidelity", "tokens"),
    [
        ((512, 512), False, 65 + 129),
        ((1, 1), False, 65 + 129),
        ((1_024, 1_024), False, 65 + 129),
        ((1_024, 1_025), False, 65 + 2 * 129),
        ((513, 3_000), False, 65 + 4 * 129),
        ((100_000, 1), False, 65 + 4 * 129),
        (None, False, 65 + 4 * 129),
        ((900, 900), True, 65 + 129 + 4_160),
        ((900, 901), True, 65 + 2 * 129 + 6_240),
        (None, True, 65 + 4 * 129 + 6_240),
    ],
)
def test_tokens_of_a_picture_given(
    size: tuple[int, int] | None, fidelity: bool, tokens: int
) -> None:
    assert input_tokens(size, fidelity) == tokens


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.booleans())
def test_a_picture_given_never_costs_more(width: int, height: int, fidelity: bool) -> None:
    bound = input_tokens((width, height), fidelity)
    assert provider.input_tokens(width, height, fidelity) <= bound <= input_tokens(None, fidelity)


def test_the_table_is_never_below_what_the_provider_charges() -> None:
    sizes = {"1024x1024": provider.SQUARE, "1024x1536": provider.PORTRAIT}
    for (name, size), quality in product(sizes.items(), provider.QUALITIES):
        bound = bound_by_tokens(GPT_IMAGE, "gpt-image-1", _wishes(size=name, quality=quality), 0)
        assert bound.worst_nano == 320_000 + provider.output_tokens(size, quality) * 40_000
