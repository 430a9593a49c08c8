"""The bound of a response's input against the provider's own count, for the whole corpus.

The corpus is of chats; each is sent as the response of the same meaning, besides some of its own.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.core.catalog import facts_for
from gateway.core.response_tokens import count_response_input
from tests.processes import Running

CORPUS = json.loads((Path(__file__).parent / "corpus" / "prompts.json").read_text())

UNSUPPORTED = {"a quarter of a second of silence", "custom tool with a grammar"}
"""Cases that the simulated provider refuses with a 400: it takes no audio and no grammars."""

TOOLS = [
    {
        "type": "function",
        "name": "book_room",
        "description": "Books a room.\nOnly for meetings.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "enum": ["Seoul", "Busan", "Jeju"]},
                "hours": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["room"],
        },
    },
    {"type": "function", "name": "list_rooms", "parameters": {"type": "object", "properties": {}}},
]
OWN: list[dict[str, Any]] = [
    {"name": "a string", "body": {"input": "What do budgets limit?"}},
    {
        "name": "instructions",
        "body": {"instructions": "Answer in one word.", "input": "예산은 무엇을 제한하나요?"},
    },
    {"name": "two tools", "body": {"input": "Book Seoul", "tools": TOOLS}},
    {
        "name": "calls and results",
        "body": {
            "tools": TOOLS,
            "input": [
                {"role": "user", "content": "Book Seoul and list the rooms"},
                *(
                    {"type": "function_call", "call_id": call, "name": name, "arguments": text}
                    for call, name, text in (
                        ("call_1", "book_room", '{"room":"Seoul","hours":[9,10]}'),
                        ("call_2", "list_rooms", "{}"),
                    )
                ),
                {"type": "function_call_output", "call_id": "call_1", "output": "예약되었습니다"},
                {"type": "function_call_output", "call_id": "call_2", "output": '["Seoul"]'},
            ],
        },
    },
    {
        "name": "schema",
        "body": {
            "input": "Give a room",
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "room",
                    "strict": True,
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "floor": {"type": "integer"}},
                        "required": ["name", "floor"],
                        "additionalProperties": False,
                    },
                }
            },
        },
    },
]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with Running([sys.executable, "-m", "gateway.simulator", "--port", "0", "--quiet"]) as process:
        line = process.wait_for_line(r"listening on (\S+)")
        yield line.group(1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


def provider_tokens(base_url: str, body: dict[str, Any]) -> int:
    """The input tokens that the provider bills for ``body``."""
    request = urllib.request.Request(
        f"{base_url}/responses/input_tokens",
        json.dumps(body).encode(),
        {"Authorization": "Bearer sk-test", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["input_tokens"])


def as_response(chat: dict[str, Any]) -> dict[str, Any]:
    """The request for a response that means what ``chat`` does."""
    body: dict[str, Any] = {"model": chat["model"], "input": []}
    for message in chat["messages"]:
        body["input"] += _items(message)
    tools = [
        {"type": "function", **tool["function"]}
        for tool in chat.get("tools") or [{"function": one} for one in chat.get("functions") or []]
    ]
    if tools:
        body["tools"] = tools
    choice = chat.get("tool_choice")
    if choice is not None:
        forced = isinstance(choice, dict)
        body["tool_choice"] = {"type": "function", **choice["function"]} if forced else choice
    form = chat.get("response_format")
    if form is not None:
        flat = {"type": "json_schema", **form["json_schema"]} if "json_schema" in form else form
        body["text"] = {"format": flat}
    return body


def _items(message: dict[str, Any]) -> list[dict[str, Any]]:
    role, content = message["role"], message.get("content")
    if role in ("tool", "function"):
        call = message.get("tool_call_id") or f"call_{message.get('name')}"
        return [{"type": "function_call_output", "call_id": call, "output": content}]
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or []]
    if old := message.get("function_call"):
        calls.append((f"call_{old['name']}", old))
    found = []
    if content is not None:
        parts = content if isinstance(content, str) else [_part(p, role) for p in content]
        found.append({"role": role, "content": parts})
    for call, function in calls:
        found.append({"type": "function_call", "call_id": call, **function})
    return found


def _part(part: dict[str, Any], role: str) -> dict[str, Any]:
    if part["type"] == "image_url":
        image = part["image_url"]
        detail = {"detail": image["detail"]} if "detail" in image else {}
        return {"type": "input_image", "image_url": image["url"], **detail}
    if part["type"] == "text":
        return {**part, "type": "output_text" if role == "assistant" else "input_text"}
    return part


CASES = [
    {**case, "body": as_response(case["body"])}
    for case in CORPUS
    if case["name"] not in UNSUPPORTED
]
CASES += [{**case, "model": "gpt-4o", "body": {"model": "gpt-4o", **case["body"]}} for case in OWN]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bound_is_an_upper_bound_of_the_providers_count(
    case: dict[str, Any], provider: str, tokenizer: Tokenizer
) -> None:
    facts = facts_for(case["model"])
    bound = count_response_input(case["body"], facts, tokenizer.counter(facts))
    if bound.hidden:
        pytest.skip(f"bounded by the context window: {', '.join(bound.hidden)}")
    try:
        true = provider_tokens(provider, case["body"])
    except urllib.error.HTTPError as error:
        if error.code != 404:
            pytest.fail(f"{error.code}: {error.read().decode()}")
        pytest.skip(f"the simulated provider has no {case['model']}")
    assert bound.tokens >= true
    if case.get("text_only"):
        assert bound.tokens <= max(true * 1.10, true + 12)
