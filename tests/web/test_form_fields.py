from __future__ import annotations

import io
from typing import Any

import pytest

from gateway.adapters.forms import Form, FormFile
from gateway.core.errors import BadRequest
from gateway.web.openai.form_fields import fields_of


def _file(name: str) -> FormFile:
    return FormFile(name, f"{name}.png", "image/png", 1, io.BytesIO(b"x"))


def _read(*fields: tuple[str, str], files: tuple[str, ...] = ("image",)) -> dict[str, Any]:
    sent = Form(fields, tuple(map(_file, files)))
    return fields_of(
        sent, texts=("model", "size"), integers=("n",), flags=("stream",), files=("image", "mask")
    )


def test_fields_have_their_types() -> None:
    given = (("model", "m"), ("n", "10"), ("stream", "true"), ("other", "1"), ("other", "2"))
    assert _read(*given) == {"model": "m", "n": 10, "stream": True}
    assert _read(("stream", "false")) == {"stream": False}
    assert _read(("size", ""), files=("image[]", "image[]", "mask")) == {"size": ""}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("n", "1"), ("n", "1")], "n"),
        ([("n[]", "1")], "n"),
        ([("n[0]", "1")], "n"),
        ([("model[", "m")], "model"),
        *(([("n", value)], "n") for value in ("", " 1", "+1", "1.0", "-1", "1e3", "٣", "9" * 16)),
        *(([("stream", value)], "stream") for value in ("", "True", "1", "yes")),
        ([("image", "x")], "image"),
        ([("image[]", "x")], "image"),
    ],
)
def test_what_could_be_read_otherwise_is_refused(fields: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        _read(*fields)
    assert refused.value.param == param


@pytest.mark.parametrize("name", ["n", "model", "file", "image[0]", "Image", "image[][]"])
def test_files_that_are_not_meant_are_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        _read(files=(name,))
