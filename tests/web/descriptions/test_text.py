from __future__ import annotations

from collections.abc import Set
from typing import Any

import pytest

from gateway.core import chat_fields, completion_bounds
from gateway.core.errors import BadRequest
from gateway.settings import Settings
from gateway.web.descriptions import text
from gateway.web.descriptions.operation import Operation
from gateway.web.openai import moderations
from gateway.web.openai.checks import check_fields, check_stream_fields
from tests.web.descriptions.routes import allows, names_in, refused_in

ENDPOINTS = [
    (text.CHAT, chat_fields.KNOWN),
    (text.COMPLETION, completion_bounds.KNOWN),
    (text.EMBEDDING, chat_fields.KNOWN_OF_EMBEDDINGS),
    (text.MODERATION, moderations.KNOWN),
]


@pytest.mark.parametrize(("operation", "known"), ENDPOINTS)
def test_the_fields_are_those_of_the_endpoint(operation: Operation, known: Set[str]) -> None:
    assert names_in(operation) == known


@pytest.mark.parametrize(("operation", "known"), ENDPOINTS)
def test_what_is_said_to_be_refused_is_refused(operation: Operation, known: Set[str]) -> None:
    assert len(refused_in(operation)) > 20
    for name in refused_in(operation):
        with pytest.raises(BadRequest) as caught:
            check_fields({name: 1}, known, Settings())
        assert caught.value.param == name


CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Is it?"}],
}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("n", 128, 129),
        ("max_completion_tokens", 1, 0),
        ("service_tier", "flex", "scale"),
        ("stream", None, "yes"),
        ("model", "a" * 128, "a" * 129),
        ("messages", [{"role": "tool", "tool_call_id": "a", "content": "b"}], []),
        ("tools", [{"type": "function", "function": {"name": "f"}}], [{"type": "web_search"}]),
        ("prediction", {"type": "content", "content": "a"}, {"type": "content"}),
    ],
)
def test_a_chat_is_described_as_it_is_checked(field: str, good: object, bad: object) -> None:
    assert text.CHAT.json is not None
    assert allows(text.CHAT.json, {**CHAT, field: good})
    assert not allows(text.CHAT.json, {**CHAT, field: bad})


@pytest.mark.parametrize("options", [{"include_usage": 1}, [], "a"])
def test_stream_options_are_described_as_they_are_checked(options: object) -> None:
    body = {**CHAT, "stream": True, "stream_options": options}
    assert text.CHAT.json is not None
    assert not allows(text.CHAT.json, body)
    with pytest.raises(BadRequest):
        check_stream_fields(body)
