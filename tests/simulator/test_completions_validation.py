from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.simulator.completions_validation import check_completions
from gateway.simulator.errors import ProviderError
from tests.simulator.test_completions import MODEL, PROMPT


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": -1},
        {"max_tokens": 4_096},
        {"best_of": 21},
        {"n": 3, "best_of": 2},
        {"best_of": 2, "stream": True},
        {"logprobs": 6},
        {"n": 0},
        {"temperature": 2.5},
        {"prompt": 5},
        {"prompt": []},
        {"prompt": ["x", 5]},
        {"prompt": [[1], []]},
        {"prompt": [-1]},
        {"prompt": [200_000]},
        {"prompt": "x " * 4_090},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"suffix": 5},
        {"suffix": "x", "echo": True},
        {"suffix": "x", "model": "davinci-002"},
        {"stream_options": {"include_usage": True}},
    ],
)
def test_bad_requests_are_refused(client: OpenAI, change: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        client.completions.create(**({"model": MODEL, "prompt": PROMPT} | change))


def test_other_models_are_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="v1/chat/completions"):
        client.completions.create(model="gpt-4o", prompt=PROMPT)
    with pytest.raises(openai.NotFoundError, match="not supported"):
        client.completions.create(model="text-embedding-3-small", prompt=PROMPT)
    with pytest.raises(openai.NotFoundError, match="v1/completions"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])


def test_unknown_fields_are_refused_where_the_provider_would() -> None:
    body = {"model": MODEL, "prompt": PROMPT, "wish": 1}
    assert check_completions(body, strict=False).name == MODEL
    with pytest.raises(ProviderError, match="Unrecognized"):
        check_completions(body, strict=True)
