from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.blobs import Blob
from gateway.simulator.models import find_model
from gateway.simulator.training_data import BadTrainingFile, epochs_for, read_training_data

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You keep budgets."},
    {"role": "user", "content": "How much is left?", "name": "ann"},
    {"role": "assistant", "content": "Twelve dollars.", "weight": 1},
]
MODEL = "gpt-4o-mini-2024-07-18"


def jsonl(*examples: Any) -> bytes:
    return b"".join(json.dumps(example).encode() + b"\n" for example in examples)


def _tokens(tokenizer: Tokenizer, messages: list[dict[str, Any]]) -> int:
    """Counted here in another way than there: by the Cookbook's loop."""
    total = 3
    for message in messages:
        total += 3
        for key, value in message.items():
            if key != "weight":
                total += tokenizer.count(value, "o200k_base")
            total += key == "name"
    return total


def test_examples_are_counted_as_prompts(tokenizer: Tokenizer) -> None:
    content = Blob(jsonl(*[{"messages": MESSAGES}] * 10) + b"\n")
    data = read_training_data(content, "supervised", find_model(MODEL), tokenizer)
    assert data.examples == 10
    assert data.tokens == 10 * _tokens(tokenizer, MESSAGES)


def test_preferences_are_two_conversations_each(tokenizer: Tokenizer) -> None:
    prompt, good = MESSAGES[:2], MESSAGES[2:]
    bad = [{"role": "assistant", "content": "No idea at all, sorry."}]
    example = {
        "input": {"messages": prompt},
        "preferred_output": good,
        "non_preferred_output": bad,
    }
    data = read_training_data(Blob(jsonl(*[example] * 10)), "dpo", find_model(MODEL), tokenizer)
    both = _tokens(tokenizer, [*prompt, *good]) + _tokens(tokenizer, [*prompt, *bad])
    assert data.tokens == 10 * both


def test_tools_count_and_long_examples_are_cut(tokenizer: Tokenizer) -> None:
    function = {"name": "look", "description": "Look it up", "parameters": {"type": "object"}}
    calls = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    messages = [MESSAGES[1], {"role": "assistant", "content": None, "tool_calls": calls}]
    tools = [{"type": "function", "function": function}]
    model = find_model(MODEL)
    plain = read_training_data(
        Blob(jsonl(*[{"messages": messages}] * 10)), "supervised", model, tokenizer
    )
    for key, value in (("tools", tools), ("functions", [function])):
        content = Blob(jsonl(*[{"messages": messages, key: value}] * 10))
        assert read_training_data(content, "supervised", model, tokenizer).tokens > plain.tokens
    long = [{"role": "assistant", "content": "budget " * 20_000}]
    content = Blob(jsonl(*[{"messages": long}] * 10))
    old = read_training_data(content, "supervised", find_model("gpt-3.5-turbo"), tokenizer)
    assert old.tokens == 10 * 16_385
    assert read_training_data(content, "supervised", model, tokenizer).tokens > 10 * 20_000


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        ("supervised", b"{oops"),
        ("supervised", b"[]"),
        ("supervised", jsonl({"prompt": "x", "completion": "y"})),
        ("supervised", jsonl({"messages": []})),
        ("supervised", jsonl({"messages": MESSAGES[:2]})),
        ("supervised", jsonl({"messages": [{"role": "robot", "content": "x"}]})),
        ("supervised", jsonl({"messages": [{"role": "assistant", "content": None}]})),
        ("supervised", jsonl({"messages": MESSAGES, "tools": [{"type": "function"}]})),
        ("supervised", jsonl({"messages": [{"role": "assistant", "content": [{"x": 1}]}]})),
        ("dpo", jsonl({"messages": MESSAGES})),
        ("dpo", jsonl({"input": {"messages": MESSAGES}, "preferred_output": MESSAGES})),
    ],
)
def test_bad_examples_are_named(tokenizer: Tokenizer, method: str, bad: bytes) -> None:
    fine = {
        "messages": MESSAGES,
        "input": {"messages": MESSAGES[:2]},
        "preferred_output": MESSAGES[2:],
        "non_preferred_output": MESSAGES[2:],
    }
    content = Blob(jsonl(fine) + bad)
    with pytest.raises(BadTrainingFile, match="Example 2: ") as refused:
        read_training_data(content, method, find_model(MODEL), tokenizer)
    assert refused.value.code == "invalid_training_file"


def test_too_few_examples(tokenizer: Tokenizer) -> None:
    with pytest.raises(BadTrainingFile, match=r"has 9 example\(s\), but must have") as refused:
        read_training_data(
            Blob(jsonl(*[{"messages": MESSAGES}] * 9)), "supervised", find_model(MODEL), tokenizer
        )
    assert refused.value.code == "invalid_n_examples"


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [(1, 25), (10, 10), (33, 3), (34, 3), (100, 3), (8_333, 3), (8_334, 2), (50_000, 1)],
)
def test_epochs_follow_the_cookbook(examples: int, epochs: int) -> None:
    assert epochs_for(examples) == epochs
