from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from gateway.adapters.tokenizer import Tokenizer
from gateway.core.catalog import ModelFacts, facts_for
from gateway.core.errors import BadRequest
from gateway.core.response_fields import KNOWN
from gateway.core.response_tokens import ITEM_TYPES, count_response_input, kind_of
from gateway.core.tokens import REPLY_TOKENS, SLACK_TOKENS, PromptBound, count_chat_prompt

TOKENIZER = Tokenizer()
FRAME = REPLY_TOKENS + SLACK_TOKENS


def counter(model: str = "gpt-4o") -> Callable[[str], int]:
    encoding = facts_for(model).encoding
    return lambda text: TOKENIZER.count(text, encoding)


def bound(model: str = "gpt-4o", **body: Any) -> PromptBound:
    return count_response_input(body, facts_for(model), counter(model))


def items(*given: Any, model: str = "gpt-4o") -> PromptBound:
    return bound(model, input=list(given))


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def picture(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return "data:image/png;base64," + base64.b64encode(head).decode()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"input": "Hello there"}, 3 + 1 + 2),
        ({"input": [user("Hello there")]}, 3 + 1 + 2),
        ({"input": [user([{"type": "input_text", "text": "Hello there"}])]}, 3 + 1 + 2),
        ({"input": "Hello there", "instructions": "Be brief"}, 6 + 3 + 1 + 2),
        ({}, 0),
        # Ids, states and types are not written into the prompt.
        ({"input": [{"type": "message", "id": "msg_1", "status": "completed", **user("Hi")}]}, 5),
    ],
)
def test_texts_are_framed_as_chat_messages(body: dict[str, Any], tokens: int) -> None:
    assert bound(**body) == PromptBound(tokens + FRAME)


def test_the_same_conversation_is_bounded_as_chat_is() -> None:
    turns = [("system", "You are brief."), ("user", "안녕하세요"), ("assistant", "Hello.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    chat = count_chat_prompt({"messages": messages}, facts_for("gpt-4o"), counter())
    assert items(*messages).tokens == chat.tokens


def test_tools_and_a_schema_are_counted() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "name": "weather", "parameters": schema}
    plain = bound(input="x").tokens
    one = bound(input="x", tools=[tool]).tokens - plain
    assert one >= counter()(json.dumps(tool, separators=(",", ":")))
    two = bound(input="x", tools=[tool, {**tool, "name": "other"}]).tokens - plain
    assert two > 2 * one
    forced = bound(input="x", tools=[tool], tool_choice={"type": "function", "name": "weather"})
    assert forced.tokens > plain + one
    form = {"type": "json_schema", "name": "a", "schema": schema, "strict": True}
    text = bound(input="x", text={"format": form}).tokens - plain
    assert text >= counter()(json.dumps(form, separators=(",", ":")))
    assert bound(input="x", text={"format": {"type": "text"}}).tokens == plain
    assert bound(input="x", text={"verbosity": "low"}).tokens == plain


def test_calls_and_their_results_are_counted() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    found = items(user("x"), call, result)
    assert found.tokens > items(user("x")).tokens + 2 * counter()("weather") + counter()("sunny")
    assert found.hidden == ()
    custom = [
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
    ]
    assert items(*custom).tokens > 2 * counter()("sql") + counter()("SELECT 1")


def test_results_of_parallel_calls_are_counted_as_they_are_escaped() -> None:
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        for n in (1, 2)
    ]
    text = "서울은 맑음"
    result = {"type": "function_call_output", "call_id": "c1", "output": text}
    escaped = counter()(json.dumps(text)) - counter()(text)
    assert escaped > 0
    one, both = items(calls[0], result), items(*calls, result)
    assert both.tokens - one.tokens >= escaped


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "an item by its id"),
        ({"id": "msg_1"}, "an item by its id"),
        ({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA"}, "reasoning"),
        ({"type": "compaction", "encrypted_content": "gAAAA"}, "compacted"),
        ({"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}}, "search"),
        (user([{"type": "input_file", "file_id": "file-1"}]), "a file"),
        (user([{"type": "input_file", "file_data": "JVBERi0"}]), "a file"),
        (user([{"type": "input_audio", "input_audio": {}}]), "input_audio"),
        (
            {"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f"}]},
            "a file",
        ),
    ],
)
def test_what_cannot_be_counted_is_hidden(item: dict[str, Any], what: str) -> None:
    (hidden,) = items(item).hidden
    assert hidden.startswith("input[0]")
    assert what in hidden


def test_an_earlier_response_is_hidden() -> None:
    (hidden,) = bound(previous_response_id="resp_1").hidden
    assert hidden.startswith("previous_response_id")


# Images: 85 tokens, and 170 for each of the tiles


@pytest.mark.parametrize(
    ("image", "tokens"),
    [
        ({"image_url": picture(1024, 1024)}, 85 + 4 * 170),
        ({"image_url": picture(1024, 1024), "detail": "low"}, 85),
        # What cannot be seen is as large as can be.
        ({"image_url": "https://example.com/x.png"}, 85 + 8 * 170),
        ({"file_id": "file-1"}, 85 + 8 * 170),
        ({"file_id": "file-1", "image_url": picture(32, 32)}, 85 + 8 * 170),
    ],
)
def test_images_are_counted_by_the_rules(image: dict[str, Any], tokens: int) -> None:
    found = items(user([{"type": "input_image", **image}]))
    assert found.image_tokens == tokens
    assert found.hidden == ()
    assert found.tokens >= tokens


def test_images_for_a_model_without_a_rule_are_hidden() -> None:
    found = items(user([{"type": "input_image", "file_id": "f"}]), model="gpt-3.5-turbo")
    assert found.image_tokens == 0
    assert "without a known image price rule" in found.hidden[0]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": 5, "content": "x"}]}, "input[0].role"),
        ({"input": [user(None)]}, "input[0].content"),
        ({"input": [user([{"text": "x"}])]}, "input[0].content[0]"),
        ({"input": [user([{"type": "input_text"}])]}, "input[0].content[0].text"),
        ({"input": [user([{"type": "input_image"}])]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].output"),
        ({"input": [{"type": "additional_tools", "tools": []}]}, "input[0].type"),
        ({"input": [{"type": "mcp_approval_response"}]}, "input[0].type"),
        ({"input": [{"type": "compaction_trigger"}]}, "input[0].type"),
        ({"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "input[0].type"),
        ({"input": [{"type": ["message"]}]}, "input[0].type"),
        ({"input": "x", "instructions": ["y"]}, "instructions"),
        ({"input": "x", "text": "y"}, "text"),
        ({"input": "x", "text": {"format": "y"}}, "text.format"),
    ],
)
def test_another_shape_is_refused_by_its_place(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bound(**body)
    assert refused.value.param == param


def test_unknown_fields_are_counted_as_text() -> None:
    more = bound(input="x", of_tomorrow="a b c d").tokens - bound(input="x").tokens
    assert more >= 4
    elsewhere = {"model", "input", "instructions", "previous_response_id", "text", "tool_choice"}
    known = dict.fromkeys(KNOWN - elsewhere - {"tools"}, "a b")
    assert bound(input="x", **known).tokens == bound(input="x").tokens


def test_a_format_that_changes_on_the_way_is_counted() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"title": "long " * 50}}
    update = {"type": "configuration_update", "text": {"format": schema}}
    assert items(user("x"), update).tokens > items(user("x")).tokens + 50


def test_an_unknown_tokenizer_has_a_margin_for_its_template() -> None:
    facts = ModelFacts("llama", tokenizer_known=False)
    body = {"input": [user("a"), user("b")]}
    known = count_response_input(body, ModelFacts("m"), len)
    assert count_response_input(body, facts, len).tokens == known.tokens + 64 + 3 * 8


def test_kinds_of_items() -> None:
    assert [kind_of(i) for i in ({"role": "user"}, {"id": "x"}, {"type": "message"}, {})] == [
        "message",
        "item_reference",
        "message",
        "item_reference",
    ]
    assert len(set(ITEM_TYPES)) == len(ITEM_TYPES) == 10
