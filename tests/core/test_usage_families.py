from __future__ import annotations

from typing import get_args, get_type_hints

import openai.types.admin.organization as sdk
import pytest

from gateway.core.usage_families import FAMILIES, SOURCES, Family

_PAGING = {"start_time", "end_time", "bucket_width", "limit", "page", "group_by"}
_PARAMS = {
    "completions": sdk.usage_completions_params.UsageCompletionsParams,
    "embeddings": sdk.usage_embeddings_params.UsageEmbeddingsParams,
    "moderations": sdk.usage_moderations_params.UsageModerationsParams,
    "images": sdk.usage_images_params.UsageImagesParams,
    "audio_speeches": sdk.usage_audio_speeches_params.UsageAudioSpeechesParams,
    "audio_transcriptions": sdk.usage_audio_transcriptions_params.UsageAudioTranscriptionsParams,
    "vector_stores": sdk.usage_vector_stores_params.UsageVectorStoresParams,
    "code_interpreter_sessions": (
        sdk.usage_code_interpreter_sessions_params.UsageCodeInterpreterSessionsParams
    ),
    "file_search_calls": sdk.usage_file_search_calls_params.UsageFileSearchCallsParams,
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_filters_are_those_of_the_sdk(family: Family) -> None:
    known = set(_PARAMS[family.name].__annotations__) - _PAGING
    # Which store was searched is not known here: none is served.
    assert set(family.filters) == known - {"vector_store_ids"}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_groups_are_those_of_the_sdk(family: Family) -> None:
    hints = get_type_hints(_PARAMS[family.name])
    names = set(get_args(get_args(hints["group_by"])[0]))
    assert set(family.group_by) == names - {"vector_store_id"}


def test_every_endpoint_belongs_to_one_family() -> None:
    endpoints = [endpoint for family in FAMILIES.values() for endpoint in family.endpoints]
    assert len(endpoints) == len(set(endpoints))
    assert set(SOURCES) < set(endpoints)
