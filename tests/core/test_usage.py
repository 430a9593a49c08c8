from __future__ import annotations

from typing import Any

import pytest

from gateway.core.usage import COUNT_MAX, InvalidUsage, Usage, usage_from_chat

FULL_REPORT: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 100, "cache_write_tokens": 50},
    "completion_tokens_details": {
        "reasoning_tokens": 200,
        "audio_tokens": 30,
        "accepted_prediction_tokens": 20,
        "rejected_prediction_tokens": 10,
    },
}


def test_every_part_of_a_report_is_read() -> None:
    assert usage_from_chat(FULL_REPORT) == Usage(
        input_tokens=1000,
        cached_input_tokens=400,
        cache_write_tokens=50,
        audio_input_tokens=100,
        output_tokens=500,
        reasoning_tokens=200,
        audio_output_tokens=30,
        accepted_prediction_tokens=20,
        rejected_prediction_tokens=10,
    )


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        "usage",
        {},
        {"prompt_tokens": None, "completion_tokens": 5},
        {"completion_tokens": 5, "total_tokens": 5},
        {"prompt_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": 5, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": 5, "total_tokens": 4},
    ],
)
def test_a_missing_count_is_no_usage_rather_than_zero(report: object) -> None:
    assert usage_from_chat(report) is None


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),
        ({"prompt_tokens": 7, "completion_tokens": 0}, Usage(input_tokens=7)),
        # An embedding has no completion count, and its total says that there is none.
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8)),
        (
            {"prompt_tokens": 8, "completion_tokens": None, "total_tokens": 11},
            Usage(input_tokens=8, output_tokens=3),
        ),
        (
            {
                "prompt_tokens": 8,
                "completion_tokens": 1,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None, "audio_tokens": 0},
            },
            Usage(input_tokens=8, output_tokens=1),
        ),
    ],
)
def test_zero_is_zero_and_null_details_are_none(report: object, usage: Usage) -> None:
    assert usage_from_chat(report) == usage


@pytest.mark.parametrize("bad", [True, False, 1.0, 1.5, "1", -1, COUNT_MAX + 1, [], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_what_is_not_a_count_is_invalid(name: str, bad: object) -> None:
    with pytest.raises(InvalidUsage, match=name):
        usage_from_chat({**FULL_REPORT, name: bad})


@pytest.mark.parametrize("bad", [True, 0.0, "0", -1, COUNT_MAX + 1])
@pytest.mark.parametrize(
    ("details", "name"),
    [
        ("prompt_tokens_details", "cached_tokens"),
        ("prompt_tokens_details", "cache_write_tokens"),
        ("prompt_tokens_details", "audio_tokens"),
        ("prompt_tokens_details", "image_tokens"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("completion_tokens_details", "audio_tokens"),
        ("completion_tokens_details", "rejected_prediction_tokens"),
    ],
)
def test_a_detail_that_is_not_a_count_is_invalid(details: str, name: str, bad: object) -> None:
    with pytest.raises(InvalidUsage, match=name):
        usage_from_chat({**FULL_REPORT, details: {name: bad}})


@pytest.mark.parametrize("details", [[], "none", 0, False])
def test_details_that_are_not_an_object_are_invalid(details: object) -> None:
    with pytest.raises(InvalidUsage):
        usage_from_chat({**FULL_REPORT, "prompt_tokens_details": details})


@pytest.mark.parametrize(
    ("into", "out"),
    [
        ({"cached_tokens": 101}, {}),
        ({"cache_write_tokens": 101}, {}),
        ({"cached_tokens": 60, "cache_write_tokens": 41}, {}),
        ({"audio_tokens": 101}, {}),
        ({"audio_tokens": 60, "image_tokens": 41}, {}),
        ({}, {"reasoning_tokens": 51}),
        ({}, {"audio_tokens": 51}),
        ({}, {"audio_tokens": 30, "image_tokens": 21}),
        ({}, {"rejected_prediction_tokens": 51}),
    ],
)
def test_parts_above_their_total_are_invalid(into: object, out: object) -> None:
    with pytest.raises(InvalidUsage):
        usage_from_chat(
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": into,
                "completion_tokens_details": out,
            }
        )


def test_cached_audio_is_in_both_counts_and_not_refused() -> None:
    usage = usage_from_chat(
        {
            "prompt_tokens": 200,
            "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 150, "audio_tokens": 100},
        }
    )
    assert usage is not None
    assert usage.input_overlap == 50


def test_no_overlap_is_assumed_where_the_parts_fit() -> None:
    assert (
        Usage(input_tokens=250, cached_input_tokens=150, audio_input_tokens=100).input_overlap == 0
    )


@pytest.mark.parametrize("name", Usage.__slots__)
def test_no_count_is_below_zero(name: str) -> None:
    with pytest.raises(InvalidUsage, match=name):
        Usage(**{name: -1})


def test_web_searches_are_added_without_losing_the_tokens() -> None:
    usage = Usage(input_tokens=3, output_tokens=2).with_web_search_calls(4)
    assert usage == Usage(input_tokens=3, output_tokens=2, web_search_calls=4)
