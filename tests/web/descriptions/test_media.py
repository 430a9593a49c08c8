from __future__ import annotations

from collections.abc import Set
from typing import Any

import pytest

from gateway.core import speech_requests
from gateway.core.errors import BadRequest
from gateway.core.image_requests import UNBOUNDED, wishes_of
from gateway.core.media_fields import KNOWN
from gateway.settings import Settings
from gateway.web.descriptions.media import OPERATIONS
from gateway.web.openai.checks import check_fields
from tests.web.descriptions.routes import allows, names_in, refused_in


def refuse(field: str, known: Set[str]) -> None:
    """The checks of fields that every one of these endpoints makes, or pictures alone."""
    check_fields({field: 1}, known, Settings())
    wishes_of({field: 1})


ENDPOINTS = {
    "images.create_image": "images/generations",
    "images.create_image_edit": "images/edits",
    "images.create_image_variation": "images/variations",
    "speech.create_speech": "audio/speech",
    "transcriptions.create_transcription": "audio/transcriptions",
    "transcriptions.create_translation": "audio/translations",
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_fields_are_those_of_the_endpoint(name: str) -> None:
    known = KNOWN[ENDPOINTS[name]]
    is_picture = name.startswith("images.")
    assert names_in(OPERATIONS[name]) == (known - UNBOUNDED.keys() if is_picture else known)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_said_to_be_refused_is_refused(name: str) -> None:
    known = KNOWN[ENDPOINTS[name]]
    for field in refused_in(OPERATIONS[name]):
        with pytest.raises(BadRequest) as caught:
            refuse(field, known)
        assert caught.value.param == field


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("n", 10, 11),
        ("partial_images", 3, 4),
        ("output_format", "webp", "svg"),
        ("stream", True, "true"),
        ("size", None, 1),
    ],
)
def test_a_picture_is_described_as_it_is_checked(field: str, good: object, bad: object) -> None:
    shape = OPERATIONS["images.create_image"].json
    assert shape is not None
    assert allows(shape, {"prompt": "a", field: good})
    assert not allows(shape, {"prompt": "a", field: bad})
    wishes_of({field: good})
    with pytest.raises(BadRequest):
        wishes_of({field: bad})


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [("input", "a" * 4_096, "a" * 4_097), ("input", "a", ""), ("speed", 0.25, 4.1)],
)
def test_speech_is_described_as_it_is_checked(field: str, good: object, bad: object) -> None:
    shape = OPERATIONS["speech.create_speech"].json
    asked: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "a"}
    assert shape is not None
    assert allows(shape, {**asked, field: good})
    assert not allows(shape, {**asked, field: bad})
    speech_requests.wishes_of({**asked, field: good})
    with pytest.raises(BadRequest):
        speech_requests.wishes_of({**asked, field: bad})
