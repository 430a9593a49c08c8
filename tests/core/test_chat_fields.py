from __future__ import annotations

from typing import Any

import pytest
from openai.types import EmbeddingCreateParams
from openai.types.chat import completion_create_params

from gateway.core.catalog import facts_for
from gateway.core.chat_fields import (
    KNOWN,
    KNOWN_OF_EMBEDDINGS,
    UNBOUNDED,
    refuse_unbounded,
    refuse_unbounded_fields,
    refuse_unknown,
)
from gateway.core.errors import BadRequest
from gateway.core.tokens import count_chat_prompt

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("name", sorted(UNBOUNDED))
def test_what_has_no_bound_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadRequest, match=f"cannot bound the cost of {name}") as raised:
        refuse_unbounded({"messages": MESSAGES, name: ["x"]})
    assert raised.value.param == name
    refuse_unbounded({"messages": MESSAGES, name: None})


@pytest.mark.parametrize(
    "tool", [{"type": "web_search"}, {"type": "code_interpreter"}, {"type": None}, {}, "x", None]
)
def test_tools_that_the_provider_runs_are_refused(tool: Any) -> None:
    with pytest.raises(BadRequest, match="tools"):
        refuse_unbounded({"tools": [{"type": "function", "function": {"name": "f"}}, tool]})


def test_tools_that_the_client_runs_are_not() -> None:
    refuse_unbounded({"tools": [{"type": "function"}, {"type": "custom"}]})
    refuse_unbounded({"tools": None})


def test_unknown_fields_are_counted_as_prompt() -> None:
    facts = facts_for("gpt-4o")
    plain = count_chat_prompt({"messages": MESSAGES}, facts, len)
    known = count_chat_prompt({"messages": MESSAGES, "temperature": 0.7}, facts, len)
    unknown = count_chat_prompt({"messages": MESSAGES, "guidance": "x" * 500}, facts, len)
    assert known.tokens == plain.tokens
    assert unknown.tokens >= plain.tokens + 500


def test_no_field_is_both_known_and_refused() -> None:
    assert not (KNOWN | KNOWN_OF_EMBEDDINGS) & UNBOUNDED.keys()


@pytest.mark.parametrize(
    "name", ["n_predict", "n_cmpl", "enable_search", "extra_body", "chat_template_kwargs"]
)
def test_what_overrides_a_bound_is_refused_everywhere(name: str) -> None:
    with pytest.raises(BadRequest, match=f"cannot bound the cost of {name}"):
        refuse_unbounded({"messages": MESSAGES, name: 10**6})


def test_an_endpoint_bounds_its_own_fields() -> None:
    body = {"max_output_tokens": 5}
    refuse_unbounded_fields(body, {"max_output_tokens"})
    with pytest.raises(BadRequest, match="max_output_tokens"):
        refuse_unbounded_fields(body)


def test_a_field_that_is_not_known_is_refused_by_name() -> None:
    body = {"messages": MESSAGES, "temperature": 1, "guidance": 2}
    with pytest.raises(BadRequest, match=r"'guidance'.*FAREGATE_UNKNOWN_FIELDS=pass") as raised:
        refuse_unknown(body, KNOWN)
    assert raised.value.param == "guidance"
    refuse_unknown({**body, "guidance": None}, KNOWN)
    with pytest.raises(BadRequest, match="'messages'"):
        refuse_unknown({"input": "x", "messages": MESSAGES}, KNOWN_OF_EMBEDDINGS)


def test_the_fields_of_the_openai_package_are_known() -> None:
    chat = completion_create_params.CompletionCreateParamsBase.__annotations__
    assert chat.keys() | {"stream"} == KNOWN
    assert EmbeddingCreateParams.__annotations__.keys() == KNOWN_OF_EMBEDDINGS
