from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.image_request import read_edit, read_generation, read_variation
from gateway.simulator.multipart import Form, Upload
from gateway.simulator.picture import draw_png

SQUARE = Upload("a.png", "image/png", draw_png(64, 64, 1))
OBLONG = Upload("b.png", "image/png", draw_png(64, 32, 1))


def test_the_model_follows_from_the_fields_where_none_is_named() -> None:
    assert read_generation({"prompt": "x"}, True).model.name == "dall-e-2"
    asked = read_generation({"prompt": "x", "background": "auto"}, True)
    assert (asked.model.name, asked.requested_model) == ("gpt-image-1", "gpt-image-1")


def test_what_is_left_open_is_chosen_the_same_way_each_time() -> None:
    chosen = {
        (task.size, task.quality)
        for text in map(str, range(60))
        for task in [read_generation({"model": "gpt-image-1.5", "prompt": text}, True)] * 2
    }
    assert len(chosen) == 9


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 1_001}, "prompt"),
        ({"prompt": "x" * 4_001, "model": "dall-e-3"}, "prompt"),
        ({"prompt": "x" * 32_001, "model": "gpt-image-1"}, "prompt"),
        ({"model": "gpt-4o"}, "model"),
        ({"model": "tts-1"}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": 2, "model": "dall-e-3"}, "n"),
        ({"n": 1.5}, "n"),
        ({"size": "1792x1024", "model": "dall-e-2"}, "size"),
        ({"size": "256x256", "model": "dall-e-3"}, "size"),
        ({"size": "512x512", "model": "gpt-image-1"}, "size"),
        ({"quality": "hd"}, "quality"),
        ({"quality": "low", "model": "dall-e-3"}, "quality"),
        ({"quality": "hd", "model": "gpt-image-1"}, "quality"),
        ({"style": "vivid"}, "style"),
        ({"style": "odd", "model": "dall-e-3"}, "style"),
        ({"response_format": "url", "model": "gpt-image-1"}, "response_format"),
        ({"response_format": "png"}, "response_format"),
        ({"stream": True, "model": "dall-e-3"}, "stream"),
        ({"partial_images": 1, "model": "gpt-image-1"}, "partial_images"),
        ({"partial_images": 4, "stream": True, "model": "gpt-image-1"}, "partial_images"),
        ({"n": 2, "stream": True, "model": "gpt-image-1"}, "n"),
        ({"output_format": "webp", "model": "gpt-image-1"}, "output_format"),
        ({"output_format": "gif", "model": "gpt-image-1"}, "output_format"),
        ({"output_compression": 50, "model": "gpt-image-1"}, "output_compression"),
        ({"output_compression": 101, "model": "gpt-image-1"}, "output_compression"),
        ({"moderation": "none", "model": "gpt-image-1"}, "moderation"),
        (
            {"background": "transparent", "output_format": "jpeg", "model": "gpt-image-1"},
            "background",
        ),
        ({"user": 5}, "user"),
    ],
)
def test_bad_generations_are_refused(change: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        read_generation({"prompt": "x", "model": "dall-e-2", **change}, False)
    assert (refused.value.status, refused.value.param) == (400, param)


def _edit(model: str, *images: Upload, mask: Upload | None = None, **fields: str) -> Form:
    files = {"image[]": list(images)} | ({"mask": [mask]} if mask else {})
    values = {"model": model, "prompt": "x", **fields}
    return Form({name: [value] for name, value in values.items()}, files)


def test_an_edit_knows_the_sizes_of_its_pictures() -> None:
    form = _edit("gpt-image-1", SQUARE, OBLONG, mask=SQUARE, input_fidelity="high", n="2")
    task = read_edit(form, True)
    assert (task.inputs, task.high_fidelity, task.n) == (((64, 64), (64, 32)), True, 2)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (_edit("gpt-image-1"), "missing_required_parameter"),
        (_edit("gpt-image-1", *[SQUARE] * 17), "array_above_max_length"),
        (_edit("dall-e-2", SQUARE, SQUARE), "array_above_max_length"),
        (_edit("gpt-image-1", Upload("a", "", SQUARE.data)), "unsupported_file_mimetype"),
        (_edit("gpt-image-1", Upload("a", "image/png", b"no")), "invalid_image_file"),
        (_edit("gpt-image-1", SQUARE, mask=OBLONG), "invalid_mask_image_format"),
        (_edit("gpt-image-1", SQUARE, mask=Upload("m", "image/png", b"no")), None),
        (
            _edit("gpt-image-1-mini", SQUARE, input_fidelity="high"),
            "invalid_input_fidelity_model",
        ),
        (_edit("dall-e-2", OBLONG), None),
        (_edit("dall-e-2", SQUARE, input_fidelity="high"), "unknown_parameter"),
        (_edit("dall-e-3", SQUARE), None),
        (_edit("gpt-image-1", SQUARE, colour="red"), None),
        (_edit("gpt-image-1", SQUARE, n="many"), "invalid_type"),
    ],
)
def test_bad_edits_are_refused(form: Form, code: str | None) -> None:
    with pytest.raises(ProviderError) as refused:
        read_edit(form, True)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_only_one_model_makes_variations() -> None:
    form = Form({"model": ["gpt-image-1"]}, {"image": [SQUARE]})
    with pytest.raises(ProviderError, match="Value must be 'dall-e-2'"):
        read_variation(form, True)
