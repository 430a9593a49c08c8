"""The input items of a response: checked, given ids, and put into the form of chat messages.

Counting and composing know chat messages, so everything a response is made from is turned into
them. What the provider adds without showing its text (files, compacted conversations, results of
searches) is counted as hidden tokens. Source of the shapes: OpenAI API reference, "Responses".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.models import Model

ROLES = ("assistant", "system", "developer", "user")
HIDDEN_TOKENS_MIN = 200
HIDDEN_TOKENS_SPREAD = 800
"""A file or an image given by its id counts 200 to 999 tokens, by its id."""

_PARTS = ("input_text", "input_image", "output_text", "refusal", "input_file")
_ITEMS = (
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "web_search_call",
    "compaction",
)
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "web_search_call": "ws",
    "compaction": "cmp",
}


def items_of(given: object, model: Model, request_id: str) -> list[dict[str, Any]]:
    """``input`` as items with ids, as the provider shows them. Raises ProviderError (400)."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise invalid_type("input", "a string or an array of input items", given)
    items = []
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise invalid_type(f"input[{index}]", "an object", item)
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind is None:
            raise missing_parameter(f"input[{index}].type")
        if kind == "item_reference":
            raise ProviderError(
                404, f"Item with id '{item.get('id')}' not found.", param=f"input[{index}].id"
            )
        if kind not in _ITEMS:
            listed = ", ".join(f"'{name}'" for name in _ITEMS[:-1])
            raise bad_request(
                f"Invalid value: '{kind}'. Supported values are: {listed}, and '{_ITEMS[-1]}'.",
                f"input[{index}].type",
                "invalid_value",
            )
        identity = item.get("id") or f"{_PREFIXES[kind]}_{request_id[4:]}{index:04x}"
        items.append({"id": identity, "type": kind, **_checked(item, kind, index, model)})
    return items


def _checked(item: Mapping[str, Any], kind: str, index: int, model: Model) -> dict[str, Any]:
    """The fields of one item as they are shown."""
    where = f"input[{index}]"
    if kind == "message":
        return _message(item, where, model)
    if kind == "function_call":
        for name in ("call_id", "name", "arguments"):
            if not isinstance(item.get(name), str):
                raise missing_parameter(f"{where}.{name}")
        return {"status": "completed", **_without_id(item)}
    if kind == "function_call_output":
        if not isinstance(item.get("call_id"), str):
            raise missing_parameter(f"{where}.call_id")
        output = item.get("output")
        if isinstance(output, list):
            output = [
                _part(part, f"{where}.output[{place}]", model) for place, part in enumerate(output)
            ]
        elif not isinstance(output, str):
            raise missing_parameter(f"{where}.output")
        return {"status": "completed", **_without_id(item), "output": output}
    if kind == "compaction":
        _compacted_tokens(item.get("encrypted_content"), where)
    return _without_id(item)


def _message(item: Mapping[str, Any], where: str, model: Model) -> dict[str, Any]:
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        listed = ", ".join(f"'{name}'" for name in ROLES[:-1])
        raise bad_request(
            f"Invalid value: '{role}'. Supported values are: {listed}, and '{ROLES[-1]}'.",
            f"{where}.role",
            "invalid_value",
        )
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    if content is None:
        raise missing_parameter(f"{where}.content")
    if not isinstance(content, list):
        raise invalid_type(f"{where}.content", "a string or an array of contents", content)
    parts = [_part(part, f"{where}.content[{place}]", model) for place, part in enumerate(content)]
    return {"status": item.get("status") or "completed", "role": role, "content": parts}


def _part(part: object, where: str, model: Model) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise invalid_type(where, "an object", part)
    kind = part.get("type")
    if kind not in _PARTS:
        listed = ", ".join(f"'{name}'" for name in _PARTS[:-1])
        raise bad_request(
            f"Invalid value: '{kind}'. Supported values are: {listed}, and '{_PARTS[-1]}'.",
            f"{where}.type",
            "invalid_value",
        )
    if kind in ("input_text", "output_text"):
        if not isinstance(part.get("text"), str):
            raise missing_parameter(f"{where}.text")
        return {"annotations": [], "logprobs": [], **part} if kind == "output_text" else part
    if kind == "refusal":
        if not isinstance(part.get("refusal"), str):
            raise missing_parameter(f"{where}.refusal")
        return part
    if kind == "input_image":
        if not model.vision:
            raise bad_request(
                f"Invalid content type. {kind} is only supported by certain models.", where
            )
        if not isinstance(part.get("image_url") or part.get("file_id"), str):
            raise missing_parameter(f"{where}.image_url")
        return {"detail": "auto", **part}
    if not isinstance(part.get("file_id"), str):
        # Its text is not extracted here, so only the provider's own files are taken.
        raise missing_parameter(f"{where}.file_id")
    return part


def _without_id(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("id", "type")}


def check_calls(items: Iterable[Mapping[str, Any]]) -> None:
    """Refuse (400) outputs without their call, and calls without their output."""
    open_calls: dict[str, None] = {}
    seen: set[str] = set()
    for item in items:
        if item["type"] == "function_call":
            open_calls[item["call_id"]] = None
            seen.add(item["call_id"])
        elif item["type"] == "function_call_output":
            call = item["call_id"]
            if call not in seen:
                raise bad_request(
                    f"No tool call found for function call output with call_id {call}.", "input"
                )
            open_calls.pop(call, None)
    if open_calls:
        raise bad_request(f"No tool output found for function call {min(open_calls)}.", "input")


def messages_of(
    instructions: str | None, items: Iterable[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], int]:
    """The chat messages that ``items`` amount to, and the hidden tokens beside them.

    Unpublished: reasoning and searches of earlier turns count nothing.
    """
    messages: list[dict[str, Any]] = []
    hidden = 0
    if instructions:
        messages.append({"role": "system", "content": instructions})
    for item in items:
        kind = item["type"]
        if kind == "message":
            content, more = _chat_content(item["content"])
            messages.append({"role": item["role"], "content": content})
            hidden += more
        elif kind == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            content, more = item["output"], 0
            if isinstance(content, list):
                content, more = _chat_content(content)
            messages.append({"role": "tool", "content": content})
            hidden += more
        elif kind == "compaction":
            messages.append({"role": "assistant", "content": ""})
            hidden += _compacted_tokens(item["encrypted_content"], "input")
    return messages or [{"role": "user", "content": ""}], hidden


def _chat_content(parts: list[dict[str, Any]]) -> tuple[str | list[dict[str, Any]], int]:
    """The content of a chat message, and its hidden tokens; a text alone is a plain string."""
    if len(parts) == 1 and "text" in parts[0]:
        return parts[0]["text"], 0
    content: list[dict[str, Any]] = []
    hidden = 0
    for part in parts:
        if part["type"] == "refusal":
            content.append({"type": "refusal", "refusal": part["refusal"]})
        elif part["type"] == "input_image" and part.get("image_url"):
            image = {"url": part["image_url"], "detail": part["detail"]}
            content.append({"type": "image_url", "image_url": image})
        elif part.get("file_id"):
            hidden += hidden_tokens_of(part["file_id"])
        else:
            content.append({"type": "text", "text": part["text"]})
    return content, hidden


def hidden_tokens_of(file_id: str) -> int:
    """The tokens that a file counts, which nobody but the provider can know beforehand."""
    digest = blake2b(file_id.encode(), digest_size=4).digest()
    return HIDDEN_TOKENS_MIN + int.from_bytes(digest, "big") % HIDDEN_TOKENS_SPREAD


def compacted(tokens: int) -> str:
    """The opaque content of a compaction that stands for ``tokens`` tokens."""
    return base64.b64encode(orjson.dumps({"simulated_tokens": tokens})).decode()


def _compacted_tokens(content: object, where: str) -> int:
    try:
        tokens = orjson.loads(base64.b64decode(str(content), validate=True))["simulated_tokens"]
        assert isinstance(tokens, int)
        assert tokens >= 0
        return tokens
    except (AssertionError, binascii.Error, KeyError, TypeError, ValueError):
        raise bad_request(
            "The encrypted content could not be verified.",
            f"{where}.encrypted_content",
            "invalid_encrypted_content",
        ) from None
