from __future__ import annotations

from typing import Any

import pytest

from gateway.core.catalog import facts_for
from gateway.core.chat_fields import KNOWN, UNBOUNDED, refuse_unbounded
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
    assert not KNOWN & UNBOUNDED.keys()
