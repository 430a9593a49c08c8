"""Responses: made, counted and compacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core import chat_fields
from gateway.core.bounds import OUTPUT_TOKENS_MAX
from gateway.core.chat_fields import TOOL_TYPES
from gateway.core.errors import NotFound
from gateway.core.response_fields import (
    KNOWN,
    REFUSED,
    TOOL_CALLS_MAX,
    UNBOUNDED,
    WEB_SEARCH_TOOLS,
)
from gateway.core.response_tokens import ITEM_TYPES
from gateway.web.descriptions.operation import EVENT, EVENTS, JSON, PRICED, Operation
from gateway.web.descriptions.shapes import (
    Shape,
    either,
    fields,
    flag,
    integer,
    list_of,
    metadata,
    record,
    text,
)
from gateway.web.descriptions.text import MODEL, NAMES, SAMPLING, TOOL_CHOICE, const

_REFUSED: Mapping[str, str] = {
    **{name: why for name, why in chat_fields.UNBOUNDED.items() if name not in KNOWN},
    **UNBOUNDED,
    "prompt": "prompts stored with the provider belong to no client",
    "conversation": "conversations belong to no client",
}

_PART = either(
    record({"type": const("input_text"), "text": text()}),
    record({"type": const("output_text"), "text": text()}),
    record({"type": const("refusal"), "refusal": text()}),
    record({"type": const("input_image"), "image_url": text(1)}),
    record({"type": const("input_file"), "file_id": text(1)}),
)
_CONTENT = either(text(), list_of(_PART))
_ROLE = {"type": "string", "enum": ["user", "assistant", "system", "developer"]}


def _other(kind: str) -> Shape:
    return record({"type": const(kind)})


_SPECIAL: Mapping[str, Shape] = {
    "message": record({"role": _ROLE, "content": _CONTENT}, {"type": const("message")}),
    "function_call": record(
        {"type": const("function_call"), "call_id": text(), "name": text(1), "arguments": text()}
    ),
    "function_call_output": record(
        {"type": const("function_call_output"), "call_id": text(), "output": _CONTENT}
    ),
    "custom_tool_call_output": record(
        {"type": const("custom_tool_call_output"), "output": _CONTENT}
    ),
    "item_reference": record({"type": const("item_reference"), "id": text(1)}),
}
_ITEM = either(*(_SPECIAL.get(kind) or _other(kind) for kind in ITEM_TYPES))
_TOOL = either(
    record(
        {"type": const(TOOL_TYPES[0]), "name": text(pattern="^[a-zA-Z0-9_-]{1,64}$")},
        {"parameters": {"type": ["object", "null"]}},
    ),
    *(record({"type": const(kind)}) for kind in (*TOOL_TYPES[1:], *WEB_SEARCH_TOOLS)),
)

_OPTIONAL: Mapping[str, Shape] = {
    **SAMPLING,
    **NAMES,
    "reasoning": record({}),
    "tool_choice": TOOL_CHOICE,
    "input": either(text(), list_of(_ITEM)),
    "instructions": text(),
    "background": flag(),
    "background_options": record({}, {"completion_window": {"enum": ["soonest", None]}}),
    "store": flag(),
    "max_output_tokens": integer(1, OUTPUT_TOKENS_MAX),
    "max_tool_calls": integer(1, TOOL_CALLS_MAX),
    "previous_response_id": text(1),
    "tools": list_of(_TOOL),
    "text": record({}, {"format": {"type": ["object", "null"]}}),
    "metadata": metadata(),
    "parallel_tool_calls": flag(),
    "top_logprobs": integer(0, 20),
}
_FIELDS = KNOWN | REFUSED


def _body(required: Mapping[str, Shape], *, without: tuple[str, ...] = ()) -> Shape:
    """The body of a request; ``without`` are flags that may not be true here."""
    absent: dict[str, Any] = {name: {"enum": [False, None]} for name in without}
    optional = {
        name: shape for name, shape in {**_OPTIONAL, **absent}.items() if name not in required
    }
    return fields(_FIELDS, required, optional, refused=_REFUSED)


_RESPONSE = record({"id": text(1), "object": const("response")})

OPERATIONS: Mapping[str, Operation] = {
    "responses.create_response": Operation(
        "Make a response: whole, streamed or in the background",
        {JSON: _RESPONSE, EVENTS: EVENT},
        json=_body({"model": MODEL}),
        errors=(*PRICED, NotFound),
        costs=True,
        holds=True,
    ),
    "responses.count_input_tokens": Operation(
        "Count the tokens of an input; free",
        {JSON: record({"input_tokens": integer(0)})},
        json=_body({}),
        errors=(*PRICED, NotFound),
        costs=True,
    ),
    "responses.compact_response": Operation(
        "Make a conversation shorter",
        {JSON: record({"id": text(1), "object": text(1)})},
        json=_body({"model": MODEL}, without=("stream", "background")),
        errors=(*PRICED, NotFound),
        costs=True,
    ),
}
