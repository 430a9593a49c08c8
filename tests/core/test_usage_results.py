from __future__ import annotations

from typing import Any

import openai.types.admin.organization.usage_completions_response as sdk
import pytest

from gateway.adapters.usage_buckets import COUNTS
from gateway.core.line_items import ESTIMATE, HOLD
from gateway.core.prices import Meter
from gateway.core.usage_families import (
    CODE_INTERPRETER_SESSIONS,
    COMPLETIONS,
    FAMILIES,
    FILE_SEARCH_CALLS,
    Family,
)
from gateway.core.usage_results import (
    is_counted,
    line_item_name,
    line_item_of,
    quantity_of,
    usage_fields,
)

_RESULTS = {
    "completions": sdk.DataResultOrganizationUsageCompletionsResult,
    "embeddings": sdk.DataResultOrganizationUsageEmbeddingsResult,
    "moderations": sdk.DataResultOrganizationUsageModerationsResult,
    "images": sdk.DataResultOrganizationUsageImagesResult,
    "audio_speeches": sdk.DataResultOrganizationUsageAudioSpeechesResult,
    "audio_transcriptions": sdk.DataResultOrganizationUsageAudioTranscriptionsResult,
    "code_interpreter_sessions": sdk.DataResultOrganizationUsageCodeInterpreterSessionsResult,
    "file_search_calls": sdk.DataResultOrganizationUsageFileSearchesResult,
}


def sums(**given: int) -> dict[str, int]:
    return {**dict.fromkeys(COUNTS, 0), "fees": 0, **given}


@pytest.mark.parametrize("name", _RESULTS)
def test_results_have_the_fields_of_the_sdk(name: str) -> None:
    family: Family = FAMILIES[name]
    model: Any = _RESULTS[name]
    fields = {*usage_fields(family, sums()), *family.group_by, "object"}
    # Which store was searched is not known here: none is served.
    assert fields == set(model.model_fields) - {"vector_store_id"}
    made = model.model_validate(
        {"object": f"organization.usage.{family.result}.result", **usage_fields(family, sums())}
    )
    assert made.object == f"organization.usage.{family.result}.result"


def test_text_alone_is_told_apart() -> None:
    fields = usage_fields(
        COMPLETIONS,
        sums(input_tokens=100, cached_input_tokens=30, cache_write_tokens=20, output_tokens=9),
    )
    assert (fields["input_tokens"], fields["input_uncached_tokens"]) == (100, 50)
    assert (fields["input_text_tokens"], fields["input_cached_text_tokens"]) == (50, 30)
    assert (fields["input_cached_audio_tokens"], fields["input_audio_tokens"]) == (0, 0)
    assert (fields["output_text_tokens"], fields["input_cache_write_tokens"]) == (9, 20)


def test_sound_that_is_not_cached_is_told_apart() -> None:
    fields = usage_fields(
        COMPLETIONS,
        sums(input_tokens=100, audio_input_tokens=40, output_tokens=9, audio_output_tokens=4),
    )
    assert (fields["input_text_tokens"], fields["input_audio_tokens"]) == (60, 40)
    assert (fields["input_cached_text_tokens"], fields["input_cached_audio_tokens"]) == (0, 0)
    assert (fields["output_text_tokens"], fields["output_audio_tokens"]) == (5, 4)


def test_what_nobody_said_is_null() -> None:
    """Cached sound or cached text: the provider does not say, so neither do we."""
    fields = usage_fields(
        COMPLETIONS, sums(input_tokens=100, audio_input_tokens=40, cached_input_tokens=50)
    )
    assert fields["input_uncached_tokens"] == 50
    unknown = ("input_text_tokens", "input_cached_text_tokens", "input_cached_audio_tokens")
    assert [fields[name] for name in unknown] == [None] * 3


def test_failures_are_no_usage() -> None:
    fields = usage_fields(COMPLETIONS, sums(requests=7, failures=2))
    assert fields["num_model_requests"] == 5


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (1, 1), (1000, 1), (1001, 2)])
def test_seconds_are_whole_and_never_too_few(milliseconds: int, seconds: int) -> None:
    family = FAMILIES["audio_transcriptions"]
    assert usage_fields(family, sums(audio_milliseconds=milliseconds))["seconds"] == seconds


def test_fees_have_their_names() -> None:
    assert usage_fields(CODE_INTERPRETER_SESSIONS, sums(fees=3)) == {"num_sessions": 3}
    assert usage_fields(FILE_SEARCH_CALLS, sums(fees=3)) == {"num_requests": 3}


@pytest.mark.parametrize(
    ("model", "item", "name"),
    [
        ("gpt-4o", "input", "gpt-4o, input"),
        ("", "hold", "hold"),
        ("a, b", "output", "a, b, output"),
    ],
)
def test_a_line_item_is_read_back(model: str, item: str, name: str) -> None:
    assert line_item_name(model, item) == name
    assert line_item_of(name) == (model, item)


@pytest.mark.parametrize(
    ("item", "quantity", "shown"),
    [
        ("input", 7, (7, None, "tokens")),
        ("trained_tokens", 7, (7, None, "tokens")),
        ("audio_seconds", 61_005, (61, 5, "duration_seconds")),
        ("images", 2, (2, None, "images")),
        ("characters", 9, (9, None, "characters")),
        ("web_search_calls", 3, (3, None, None)),
    ],
)
def test_quantities_have_units(item: str, quantity: int, shown: tuple[int, Any, Any]) -> None:
    assert quantity_of(item, quantity) == shown


def test_amounts_alone_have_no_quantity() -> None:
    assert all(is_counted(meter.value) for meter in Meter)
    assert not any(is_counted(item) for item in (HOLD, ESTIMATE, "rounding"))
