from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.validation import check_chat
from tests.simulator.conftest import Simulated, question

ODD_VALUES: list[Any] = [5, -1, 1.5, "x", "", True, [], [1], [None], {}, {"x": 1}, [{}], [[]]]
FIELDS = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stop",
    "stream",
    "stream_options",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "response_format",
    "service_tier",
    "reasoning_effort",
    "prediction",
    "metadata",
    "logprobs",
    "top_logprobs",
    "temperature",
    "seed",
    "user",
    "prompt_cache_key",
]
MESSAGES: list[Any] = [
    {"role": "user", "content": odd, "name": odd, "tool_calls": odd} for odd in ODD_VALUES
]
PARTS: list[Any] = [
    {"role": "user", "content": [{"type": kind, kind: odd}]}
    for kind in ("text", "image_url", "refusal", "input_audio")
    for odd in ODD_VALUES
]
FUNCTIONS: list[Any] = [
    {"name": "f", "description": odd, "parameters": {"properties": odd, "required": odd}}
    for odd in ODD_VALUES
]


PREDICTIONS: list[Any] = [{"type": "content", "content": odd} for odd in ODD_VALUES]


def _status(simulated: Simulated, change: dict[str, Any]) -> int:
    return simulated.raw(question("call the tool", **change)).status


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_are_refused_or_passed_over_but_never_trip(
    simulated: Simulated, field: str
) -> None:
    for odd in ODD_VALUES:
        assert _status(simulated, {field: odd}) in (200, 400, 404), odd


def test_odd_messages_never_trip(simulated: Simulated) -> None:
    for message in MESSAGES + PARTS:
        assert _status(simulated, {"messages": [message]}) in (200, 400), message


def test_odd_options_of_streams_and_predictions_never_trip(simulated: Simulated) -> None:
    for odd in ODD_VALUES:
        change = {"stream": True, "stream_options": odd}
        assert _status(simulated, change) in (200, 400), odd
    for prediction in PREDICTIONS:
        assert _status(simulated, {"prediction": prediction}) in (200, 400), prediction


def test_a_schema_that_refers_to_itself_alone_is_refused(simulated: Simulated) -> None:
    schema = {"name": "x", "schema": {"$ref": "#"}}
    form = {"type": "json_schema", "json_schema": schema}
    assert _status(simulated, {"response_format": form}) == 400


def test_odd_tools_never_trip(simulated: Simulated) -> None:
    for function in FUNCTIONS:
        tools = [{"type": "function", "function": function}]
        assert _status(simulated, {"tools": tools}) in (200, 400), function
        assert _status(simulated, {"functions": [function]}) in (200, 400), function


def test_unknown_fields_are_refused_only_when_strict() -> None:
    body = question(colour="red")
    assert check_chat(body, strict=False).name == "gpt-4o-mini"
    with pytest.raises(ProviderError, match="Unrecognized request argument supplied: colour"):
        check_chat(body, strict=True)
