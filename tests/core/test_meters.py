from __future__ import annotations

import pytest

from gateway.core.meters import Reading, read_answer
from gateway.core.usage import Usage


def test_usage_and_tier_are_read() -> None:
    answer = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "service_tier": "flex"}
    assert read_answer(answer) == Reading(Usage(input_tokens=3, output_tokens=2), "flex")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "usage",
        {},
        {"usage": None, "service_tier": None},
        {"usage": {"prompt_tokens": -1}, "service_tier": 7},
        {"usage": {"prompt_tokens": "3"}},
        {"usage": [1]},
    ],
)
def test_what_cannot_be_believed_is_missing(answer: object) -> None:
    assert read_answer(answer) == Reading(None, None)
