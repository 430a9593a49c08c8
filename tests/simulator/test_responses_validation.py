from __future__ import annotations

from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI

from gateway.simulator.errors import ProviderError
from gateway.simulator.responses_validation import check_responses
from tests.simulator.conftest import Simulated
from tests.simulator.test_responses import MODEL, WEATHER


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "missing_required_parameter"),
        ({"input": 7}, "input", "invalid_type"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": 16_385}, "max_output_tokens", "invalid_value"),
        ({"max_tool_calls": 0}, "max_tool_calls", "integer_below_min_value"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"store": "yes"}, "store", "invalid_type"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
        ({"include": ["x"]}, "include[0]", "invalid_value"),
        ({"stream_options": {}}, "stream_options", None),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort", "unsupported_parameter"),
        ({"model": "gpt-5", "reasoning": {"effort": "x"}}, "reasoning.effort", "invalid_value"),
        ({"model": "gpt-5", "temperature": 0}, "temperature", "unsupported_parameter"),
        ({"model": "davinci-002"}, "model", "unsupported_model"),
        ({"service_tier": "flex"}, "service_tier", None),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"tools": [{"type": "file_search"}]}, "tools", None),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [WEATHER | {"name": "a b"}]}, "tools[0].name", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tools": [WEATHER], "tool_choice": {"type": "web_search"}}, "tool_choice", None),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"text": {"format": {"type": "json_schema", "schema": {}}}},
            "text.format.name",
            "missing_required_parameter",
        ),
    ],
)
def test_bad_requests_are_refused_free(
    simulated: Simulated, client: OpenAI, change: Any, param: str, code: str | None
) -> None:
    mark = uuid4().hex
    body: Any = {"model": MODEL, "input": "Hello"} | change
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**body, extra_headers={"x-client-request-id": mark})
    assert (refused.value.param, refused.value.code) == (param, code)
    assert not simulated.charges_of_client(mark)


def test_unknown_models_and_conversations_are_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-99", input="Hello")
    with pytest.raises(openai.NotFoundError, match="Conversation"):
        client.responses.create(model=MODEL, input="Hello", conversation="conv_1")
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/responses", body={"input": "Hello"}, cast_to=object)
    assert refused.value.code == "missing_required_parameter"


def test_unknown_fields_are_refused_where_the_provider_would() -> None:
    body = {"model": MODEL, "input": "x", "wish": 1}
    assert check_responses(body, strict=False).name == MODEL
    with pytest.raises(ProviderError) as refused:
        check_responses(body, strict=True)
    assert refused.value.code == "unknown_parameter"
