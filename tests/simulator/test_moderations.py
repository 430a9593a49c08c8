from __future__ import annotations

from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI

from tests.simulator.conftest import PIXEL, Simulated


def test_a_text_is_judged_free_and_steadily(simulated: Simulated, client: OpenAI) -> None:
    mark = uuid4().hex
    first, again = (
        client.moderations.create(input="A kind text.", extra_headers={"x-client-request-id": mark})
        for _ in range(2)
    )
    assert first.id.startswith("modr-")
    assert first.model == "omni-moderation-latest"
    (result,) = first.results
    assert not result.flagged
    assert result.category_applied_input_types.hate == ["text"]
    assert again.results == first.results
    assert not simulated.charges_of_client(mark)


def test_each_text_has_its_result(client: OpenAI) -> None:
    kind, unkind = client.moderations.create(input=["Peace.", "I will murder it."]).results
    assert (kind.flagged, unkind.flagged) == (False, True)
    assert unkind.categories.violence
    assert unkind.category_scores.violence > 0.5
    assert not unkind.categories.sexual


def test_text_and_image_are_judged_as_one(client: OpenAI) -> None:
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    (result,) = client.moderations.create(input=parts).results
    assert result.category_applied_input_types.violence == ["text", "image"]
    assert result.category_applied_input_types.hate == ["text"]
    with pytest.raises(openai.BadRequestError):
        client.moderations.create(input=[*parts, parts[1]])


def test_the_text_model_knows_fewer_categories(client: OpenAI) -> None:
    answer = client.moderations.create(input="x", model="text-moderation-latest")
    assert answer.model == "text-moderation-007"
    assert answer.results[0].categories.illicit is None
    image: Any = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    with pytest.raises(openai.BadRequestError):
        client.moderations.create(input=image, model="text-moderation-latest")


@pytest.mark.parametrize(
    "change",
    [
        {"input": []},
        {"input": 5},
        {"input": None},
        {"input": [{"type": "audio"}]},
        {"input": "x", "model": "gpt-4o"},
    ],
)
def test_bad_requests_are_refused(client: OpenAI, change: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        client.moderations.create(**change)
