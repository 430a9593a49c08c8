from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.bounds import Bound
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest, ModelUnpriced
from gateway.core.prices import Meter, Price, Rate
from gateway.core.tokens import SLACK_TOKENS, count_chat_prompt
from gateway.core.training import (
    Method,
    TrainingSet,
    bound_training,
    count_training,
    epochs_for,
    method_of,
    with_epochs,
)

FACTS = ModelFacts("m")
SUPERVISED = Method("supervised", None, False)
DPO = Method("dpo", None, False)


def price(*rates: tuple[Meter, Rate]) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(1, "fine-tuning/m", (), "test", start, {"default": dict(rates)})


def count(*rows: object, method: Method = SUPERVISED) -> TrainingSet:
    content = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return count_training(content, method, FACTS, len, 10_000, 20)


def messages(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


def chat(**body: Any) -> int:
    return count_chat_prompt(body, FACTS, len).tokens


# Epochs


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [
        (1, 25),
        (4, 25),
        (10, 10),
        (12, 8),
        (33, 3),
        (34, 3),
        (1_000, 3),
        (8_333, 3),
        (8_334, 2),
        (12_501, 1),
        (1_000_000, 1),
    ],
)
def test_epochs_follow_the_published_rule(examples: int, epochs: int) -> None:
    assert epochs_for(examples) == epochs


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({}, SUPERVISED),
        ({"hyperparameters": {"n_epochs": 4}}, Method("supervised", 4, True)),
        ({"hyperparameters": {"n_epochs": "auto"}}, Method("supervised", None, True)),
        ({"method": {"type": "supervised"}, "hyperparameters": {}}, SUPERVISED),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2}}}},
            Method("dpo", 2, False),
        ),
        ({"method": {"type": "dpo", "dpo": None}}, DPO),
        ({"integrations": []}, SUPERVISED),
    ],
)
def test_the_method_is_read(body: dict[str, Any], method: Method) -> None:
    assert method_of(body) == method


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"integrations": [{"type": "wandb"}]}, "integrations"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "new"}}, "method.type"),
        ({"method": "dpo"}, "method.type"),
        ({"method": {"type": "dpo", "dpo": []}}, "method.dpo"),
        ({"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 1}}, "hyperparameters"),
        ({"hyperparameters": []}, "hyperparameters"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 2.0}}, "hyperparameters.n_epochs"),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": "2"}}}},
            "method.dpo.hyperparameters.n_epochs",
        ),
    ],
)
def test_a_method_that_cannot_be_bounded_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        method_of(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (
            {"seed": 1},
            {
                "seed": 1,
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 7}},
                },
            },
        ),
        (
            {"hyperparameters": {"n_epochs": "auto", "batch_size": 2}},
            {"hyperparameters": {"n_epochs": 7, "batch_size": 2}},
        ),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}, "x": 1}},
            {
                "method": {
                    "type": "dpo",
                    "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": 7}},
                    "x": 1,
                }
            },
        ),
        (
            {"method": {"type": "supervised", "supervised": None}, "hyperparameters": None},
            {
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 7}},
                }
            },
        ),
    ],
)
def test_the_epochs_held_for_are_written(body: dict[str, Any], written: dict[str, Any]) -> None:
    before = json.dumps(body)
    found = with_epochs(body, method_of(body), 7)
    assert found == written
    assert method_of(found).epochs == 7
    assert json.dumps(body) == before


# Tokens


def test_examples_are_counted_as_the_chats_they_are() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    first, second = messages("hello", "hi"), messages("weather?", "sunny")
    found = count({"messages": first}, {"messages": second, "tools": tools})
    assert found == TrainingSet(2, chat(messages=first) + chat(messages=second, tools=tools))


def test_a_preference_trains_on_both_its_answers() -> None:
    asked, good, bad = messages("hello"), messages("", "good")[1:], messages("", "bad bad")[1:]
    row = {
        "input": {"messages": asked},
        "preferred_output": good,
        "non_preferred_output": bad,
    }
    tokens = chat(messages=[*asked, *good]) + chat(messages=[*asked, *bad])
    assert count(row, method=DPO) == TrainingSet(1, tokens)


def test_the_older_format_is_counted_too() -> None:
    row = {"prompt": "abc", "completion": "de"}
    assert count(row, row) == TrainingSet(2, 2 * (5 + SLACK_TOKENS))


@pytest.mark.parametrize(
    ("row", "method", "told"),
    [
        ({"messages": "x"}, SUPERVISED, "messages must be a non-empty list"),
        ({"prompt": "x"}, SUPERVISED, "messages must be a non-empty list"),
        ([], SUPERVISED, "It must be a JSON object"),
        ({"messages": messages("a")}, DPO, "input must be an object"),
        ({"input": {"messages": messages("a")}}, DPO, "preferred_output must be a list"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            SUPERVISED,
            "cannot be counted beforehand",
        ),
    ],
)
def test_an_example_that_cannot_be_counted_is_refused_with_its_line(
    row: object, method: Method, told: str
) -> None:
    good = {
        "messages": messages("a", "b"),
        "input": {"messages": messages("a")},
        "preferred_output": messages("", "b")[1:],
        "non_preferred_output": messages("", "c")[1:],
    }
    with pytest.raises(BadRequest, match="Line 2 of the training file") as refused:
        count(good, row, method=method)
    assert told in refused.value.message
    assert refused.value.param == "training_file"


def test_a_file_without_examples_is_refused() -> None:
    with pytest.raises(BadRequest, match="no examples"):
        count()


# Money


def test_a_job_is_bounded_by_its_tokens_times_its_epochs() -> None:
    row = price((Meter.TRAINED_TOKENS, Rate(3_000_001, per=1_000_000)))
    assert bound_training(row, TrainingSet(10, 101), 3) == Bound(0, 910)


def test_a_job_that_cannot_be_held_or_priced_is_refused() -> None:
    row = price((Meter.TRAINED_TOKENS, Rate(10**9, per=1)))
    with pytest.raises(BadRequest, match=r"\$9\.0 million"):
        bound_training(row, TrainingSet(10, 10**6), 25)
    with pytest.raises(ModelUnpriced, match="no trained_tokens price"):
        bound_training(price((Meter.INPUT, Rate(1))), TrainingSet(10, 10), 1)
