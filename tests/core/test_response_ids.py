from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import BadRequest
from gateway.core.objects import Kind
from gateway.core.response_ids import NAMED_MAX, Named, named_objects


def named(body: dict[str, Any]) -> list[Named]:
    return named_objects(body)


def test_a_body_without_ids_names_nothing() -> None:
    assert named({"input": "hello", "previous_response_id": None}) == []


def test_responses_are_named_in_two_places() -> None:
    body = {
        "previous_response_id": "resp_1",
        "prompt_cache_options": {"comparison_response_id": "resp_2"},
    }
    assert named(body) == [
        Named(Kind.RESPONSE, "resp_1", "previous_response_id"),
        Named(Kind.RESPONSE, "resp_2", "prompt_cache_options.comparison_response_id"),
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "msg_1"),
        ({"id": "msg_1"}, "msg_1"),
        ({"type": "item_reference"}, None),
        ({"type": "reasoning", "id": "rs_1", "summary": []}, "rs_1"),
        ({"type": "reasoning", "id": "rs_1", "encrypted_content": ""}, "rs_1"),
        ({"type": "compaction", "id": "cmp_1"}, "cmp_1"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "ws_1"),
    ],
)
def test_items_that_the_provider_looks_up(item: dict[str, Any], expected: object) -> None:
    assert named({"input": ["x", item]}) == [Named(Kind.RESPONSE_ITEM, expected, "input[1].id")]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "id": "msg_1", "role": "assistant", "content": "replayed"},
        {"role": "user", "content": "new"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"},
    ],
)
def test_items_that_carry_their_content(item: dict[str, Any]) -> None:
    assert named({"input": [item]}) == []


def test_files_are_named_wherever_parts_are() -> None:
    body = {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "file_id"},
                    {"type": "input_file", "file_id": "file-1"},
                    {"type": "input_image", "file_id": "file-2", "image_url": "https://x/y.png"},
                ],
            },
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_image", "file_id": "file-3"}],
            },
            {"type": "custom_tool_call_output", "output": {"deep": [{"file_id": ["file-4"]}]}},
        ]
    }
    assert named(body) == [
        Named(Kind.FILE, "file-1", "input[0].content[1].file_id"),
        Named(Kind.FILE, "file-2", "input[0].content[2].file_id"),
        Named(Kind.FILE, "file-3", "input[1].output[0].file_id"),
        Named(Kind.FILE, ["file-4"], "input[2].output.deep[0].file_id"),
    ]


def test_each_is_named_once_and_there_is_an_end_to_it() -> None:
    twice = [{"id": "msg_1"}, {"type": "item_reference", "id": "msg_1"}]
    assert named({"input": twice}) == [Named(Kind.RESPONSE_ITEM, "msg_1", "input[0].id")]
    many = [{"id": f"msg_{number}"} for number in range(NAMED_MAX)]
    assert len(named({"input": many + many})) == NAMED_MAX
    with pytest.raises(BadRequest, match="previous_response_id"):
        named({"input": [*many, {"id": "msg_more"}]})
