from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.adapters.tokenizer import Tokenizer
from tests.simulator.conftest import Simulated

MODEL = "text-embedding-3-small"


def test_tokens_of_all_inputs_are_counted_and_charged(
    simulated: Simulated, client: OpenAI, tokenizer: Tokenizer
) -> None:
    texts = ["budgets hold", "예산은 지켜집니다"]
    response = client.embeddings.with_raw_response.create(model=MODEL, input=texts)
    answer = response.parse()
    expected = sum(tokenizer.count(text, "cl100k_base") for text in texts)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected
    assert [entry.index for entry in answer.data] == [0, 1]
    charge = simulated.charge(response.headers["x-request-id"])
    assert (charge.endpoint, charge.prompt_tokens, charge.completion_tokens) == (
        "embeddings",
        expected,
        0,
    )


def test_tokens_and_text_give_the_same_vector(client: OpenAI, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("budgets hold", "cl100k_base")
    given: list[Any] = ["budgets hold", ids, [ids]]
    vectors = [
        client.embeddings.create(model=MODEL, input=entry).data[0].embedding for entry in given
    ]
    assert vectors[0] == vectors[1] == vectors[2]
    assert len(vectors[0]) == 1_536
    assert math.isclose(math.hypot(*vectors[0]), 1, rel_tol=1e-5)


def test_floats_equal_base64_and_short_vectors_begin_the_long(client: OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input="x").data[0].embedding
    plain = client.embeddings.create(model=MODEL, input="x", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(packed)
    short = client.embeddings.create(model=MODEL, input="x", dimensions=8).data[0].embedding
    scale = math.hypot(*packed[:8])
    assert short == pytest.approx([value / scale for value in packed[:8]], rel=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"input": ""},
        {"input": []},
        {"input": ["x", ""]},
        {"input": ["x"] * 2_049},
        {"input": [1, "x"]},
        {"input": "x " * 9_000},
        {"input": "x", "dimensions": 1_537},
        {"input": "x", "dimensions": 0},
        {"input": "x", "model": "text-embedding-ada-002", "dimensions": 8},
        {"input": "x", "encoding_format": "hex"},
        {"input": "x", "encoding_format": ""},
    ],
)
def test_bad_inputs_are_refused(client: OpenAI, change: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(**({"model": MODEL} | change))


def test_a_chat_model_does_not_embed(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model="gpt-4o", input="x")
