from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.models import find_model
from gateway.simulator.responses_input import compacted, hidden_tokens_of, items_of, messages_of
from tests.simulator.conftest import PIXEL

SEEING = find_model("gpt-4o")
BLIND = find_model("gpt-4")


def test_a_text_is_a_message_of_the_user() -> None:
    (item,) = items_of("Hello", SEEING, "req_12")
    assert item == {
        "id": "msg_120000",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello"}],
    }


def test_items_become_chat_messages_and_hidden_tokens() -> None:
    given: Any = [
        {"role": "developer", "content": "Rules."},
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": PIXEL},
                {"type": "input_file", "file_id": "file-1"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Done."},
        {"role": "assistant", "content": "Well."},
        {"type": "compaction", "encrypted_content": compacted(70)},
    ]
    messages, hidden = messages_of("Be brief.", items_of(given, SEEING, "req_1"))
    assert [message["role"] for message in messages] == [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "assistant",
        "assistant",
    ]
    assert messages[2]["content"] == [
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}}
    ]
    assert hidden == hidden_tokens_of("file-1") + 70


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("text", "input[0]"),
        ({}, "input[0].type"),
        ({"type": "computer_call"}, "input[0].type"),
        ({"type": "item_reference", "id": "x"}, "input[0].id"),
        ({"role": "tool", "content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 1}, "input[0].content"),
        ({"role": "user", "content": [{"type": "text"}]}, "input[0].content[0].type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        (
            {"role": "user", "content": [{"type": "input_file", "file_data": "data:,x"}]},
            "input[0].content[0].file_id",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": PIXEL}]},
            "input[0].content[0]",
        ),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0].arguments"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
        ({"type": "compaction", "encrypted_content": "eA=="}, "input[0].encrypted_content"),
        (
            {"type": "compaction", "encrypted_content": compacted(-5)},
            "input[0].encrypted_content",
        ),
    ],
)
def test_bad_items_are_refused(item: Any, param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        items_of([item], BLIND, "req_1")
    assert refused.value.param == param
