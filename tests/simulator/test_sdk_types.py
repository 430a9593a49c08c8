"""The SDK takes any shape without complaint, so its types are held against the answers here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Completion, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import CompactedResponse, Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.simulator.conftest import PIXEL, Simulated, question
from tests.simulator.test_responses import SEARCH, WEATHER

# The one whose usage has every field of the SDK's type.
MODEL = "gpt-5.6-sol"

RESPONSES: list[dict[str, Any]] = [
    {"input": "Hello"},
    {"input": "search the web", "tools": [SEARCH], "service_tier": "flex"},
    {"input": "Hello", "tools": [WEATHER], "tool_choice": "required"},
    {"input": "Hello", "background": True, "metadata": {"sim_background_ms": "0"}},
    {"input": "Hello", "max_output_tokens": 16, "include": ["reasoning.encrypted_content"]},
    {"input": "Hello", "metadata": {"sim_fault": "failed"}},
]


@pytest.mark.parametrize("body", RESPONSES)
def test_responses_and_their_events(simulated: Simulated, body: dict[str, Any]) -> None:
    body = {"model": MODEL, **body}
    Response.model_validate_json(simulated.raw(body, "responses").body)
    events = TypeAdapter[Any](ResponseStreamEvent)
    sent = simulated.raw(body | {"stream": True}, "responses").body.split(b"\n\n")[:-1]
    assert len(sent) > 3
    for event in sent:
        data = json.loads(event.partition(b"\ndata: ")[2])
        assert events.validate_python(data).type == data["type"]


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        ("chat/completions", question(store=True), ChatCompletion),
        ("completions", {"model": "davinci-002", "prompt": "x", "logprobs": 1}, Completion),
        ("moderations", {"input": "x"}, ModerationCreateResponse),
        (
            "moderations",
            {"input": [{"type": "image_url", "image_url": {"url": PIXEL}}]},
            ModerationCreateResponse,
        ),
        (
            "responses/compact",
            {"model": MODEL, "input": [{"role": "developer", "content": "x"}]},
            CompactedResponse,
        ),
    ],
)
def test_whole_answers(
    simulated: Simulated, path: str, body: dict[str, Any], shape: type[Any]
) -> None:
    shape.model_validate_json(simulated.raw(body, path).body)
