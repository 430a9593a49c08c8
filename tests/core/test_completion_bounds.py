from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.bounds import Bound, BoundRules
from gateway.core.catalog import ModelFacts
from gateway.core.completion_bounds import bound_completion, count_prompts, rewritten_completion
from gateway.core.errors import BadRequest
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate

RULES = BoundRules(256, "default", "max_completion_tokens")
CLIENT = Client(1, "client", 1, "team")
FACTS = ModelFacts("m", context_window=4_096, output_tokens_max=4_096)
RATES = {Meter.INPUT: Rate(1_500_000_000), Meter.OUTPUT: Rate(2_000_000_000)}
PRICE = Price(1, "m", (), "test", datetime(2026, 1, 1, tzinfo=UTC), {"default": RATES})

words: Callable[[str], int] = lambda text: len(text.split())  # noqa: E731


def counts(facts: ModelFacts = FACTS, **body: Any) -> list[int]:
    return count_prompts(body, facts, words)


def bound(prompts: list[int], client: Client = CLIENT, **body: Any) -> Bound:
    return bound_completion(body, PRICE, prompts, client, RULES)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("one two three", [3]),
        (["one two", "three"], [2, 1]),
        ([5, 6, 7, 8], [4]),
        ([[5, 6], [7]], [2, 1]),
        # Nothing stands for the start of a document.
        (None, [1]),
        ("", [1]),
        ([], [1]),
        (["", "one two"], [1, 2]),
    ],
)
def test_prompts_in_all_four_forms(prompt: object, expected: list[int]) -> None:
    assert counts(prompt=prompt) == expected


def test_what_is_sent_beside_each_prompt() -> None:
    assert counts(prompt=["a", "b c"], suffix="the end of it") == [5, 6]
    assert counts(prompt="a", of_tomorrow="some more words") == [4]
    assert counts(prompt="a", logit_bias={"50256": -100}, user="me and you") == [1]
    assert counts(replace(FACTS, tokenizer_known=False), prompt=["a", "b"]) == [5, 5]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt[1]"),
        ({"prompt": [5, "a"]}, "prompt"),
        ({"prompt": [[5], []]}, "prompt[1]"),
        ({"prompt": [[-5]]}, "prompt[0]"),
        ({"prompt": "x", "suffix": ["y"]}, "suffix"),
    ],
)
def test_prompts_of_another_form(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        counts(**body)
    assert refused.value.param == param
    assert "input" not in refused.value.message


# 1,500 nano-dollars an input token, 2,000 an output token


@pytest.mark.parametrize(
    ("prompts", "body", "worst"),
    [
        ([10], {}, 15_000 + 16 * 2_000),
        ([10], {"max_tokens": 100}, 15_000 + 100 * 2_000),
        ([10], {"max_tokens": 0, "echo": True}, 15_000 + 10 * 2_000),
        ([10], {"max_tokens": 100, "n": 3}, 15_000 + 300 * 2_000),
        # The candidates that are not returned are billed as well.
        ([10], {"max_tokens": 100, "n": 2, "best_of": 5}, 15_000 + 500 * 2_000),
        ([10, 20], {"max_tokens": 100, "n": 3}, 45_000 + 600 * 2_000),
        ([10, 20], {"max_tokens": 100, "n": 3, "echo": True}, 45_000 + (600 + 90) * 2_000),
    ],
)
def test_the_worst_case(prompts: list[int], body: dict[str, Any], worst: int) -> None:
    found = bound(prompts, **body)
    assert found.worst_nano == worst
    assert found.input_tokens == sum(prompts)


def test_the_floor() -> None:
    assert bound([10]).floor_output_tokens == 16
    assert bound([10], max_tokens=1_000).floor_output_tokens == 1_000
    clamped = replace(CLIENT, clamp_output=True)
    assert bound([10], clamped, max_tokens=1_000).floor_output_tokens == 256
    assert bound([10], replace(CLIENT, output_floor_tokens=8)).floor_output_tokens == 8


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 0}, "n"),
        ({"best_of": 129}, "best_of"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"service_tier": "scale"}, "service_tier"),
    ],
)
def test_what_cannot_be_bounded_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bound([10], **body)
    assert refused.value.param == param


def test_the_granted_maximum_is_written_and_usage_asked_for() -> None:
    body = {"prompt": "x", "stream": True, "stream_options": {"other": 1}}
    assert rewritten_completion(body, bound([1]), 12) == {
        "prompt": "x",
        "max_tokens": 12,
        "stream": True,
        "stream_options": {"other": 1, "include_usage": True},
    }
    assert rewritten_completion({"prompt": "x"}, bound([1]), 16) == {
        "prompt": "x",
        "max_tokens": 16,
    }
