from __future__ import annotations

from typing import Any, get_args

import pytest
from openai.types import image_create_variation_params, image_edit_params, image_generate_params
from openai.types.audio import (
    speech_create_params,
    transcription_create_params,
    translation_create_params,
)

from gateway.core.media_fields import KNOWN, names_in

SDK: dict[str, Any] = {
    "images/generations": image_generate_params.ImageGenerateParams,
    "images/edits": image_edit_params.ImageEditParams,
    "images/variations": image_create_variation_params.ImageCreateVariationParams,
    "audio/speech": speech_create_params.SpeechCreateParams,
    "audio/transcriptions": transcription_create_params.TranscriptionCreateParams,
    "audio/translations": translation_create_params.TranslationCreateParams,
}


@pytest.mark.parametrize("endpoint", SDK)
def test_every_parameter_of_the_sdk_is_known_and_no_other(endpoint: str) -> None:
    variants = get_args(SDK[endpoint]) or (SDK[endpoint],)
    assert KNOWN[endpoint] == {name for kind in variants for name in kind.__annotations__}


def test_names_of_forms() -> None:
    names = ["model", "include[]", "chunking_strategy[type]", "include[]"]
    assert list(names_in(names)) == ["model", "include", "chunking_strategy"]
