"""Upper bounds of the input tokens that the provider will bill for a response.

Items are framed as the chat messages they stand for, and everything else is bounded as in
``core.tokens``. What cannot be counted is named in ``PromptBound.hidden``: earlier responses,
files, what is encrypted, and what the provider looks up by an item's id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.core.catalog import ModelFacts
from gateway.core.definitions import compact_json, definition_tokens
from gateway.core.errors import BadRequest
from gateway.core.images import size_of
from gateway.core.response_fields import KNOWN
from gateway.core.tokens import (
    CALL_TOKENS,
    CHOICE_TOKENS,
    MESSAGE_TOKENS,
    PARALLEL_TOOLS_TOKENS,
    PART_TOKENS,
    REPLY_TOKENS,
    SCHEMA_TOKENS,
    SLACK_TOKENS,
    TOOLS_TOKENS,
    UNKNOWN_MESSAGE_TOKENS,
    UNKNOWN_TEMPLATE_TOKENS,
    Count,
    PromptBound,
)

_CALLS = frozenset(("function_call", "custom_tool_call"))
_OUTPUTS = frozenset(("function_call_output", "custom_tool_call_output"))
_HIDDEN = {
    "item_reference": "an item by its id",
    "reasoning": "earlier reasoning",
    "compaction": "a compacted conversation",
    "web_search_call": "the results of an earlier search",
}
"""Items whose text the provider has and the request does not."""

ITEM_TYPES = ("message", *sorted(_CALLS | _OUTPUTS), *_HIDDEN, "configuration_update")

_NO_TEXT = frozenset(("type", "id", "status", "role", "encrypted_content"))
"""Fields of an item that are not written into the prompt."""


def count_response_input(body: Mapping[str, Any], facts: ModelFacts, count: Count) -> PromptBound:
    """The bound of all that a response is made from, and what of it is hidden.

    Raises BadRequest, naming the place, where the body is not of the shape that the provider
    documents, or has items that are not known here.
    """
    tally = _Tally(facts, count)
    tally.add_input(body)
    tally.add_tools(body)
    tally.add_format(body.get("text"))
    if body.get("previous_response_id") is not None:
        tally.hidden.append("previous_response_id: an earlier conversation")
    for name in body.keys() - KNOWN:
        tally.tokens += count(compact_json(body[name], name))
    if not facts.tokenizer_known:
        tally.tokens += max(facts.template_tokens, UNKNOWN_TEMPLATE_TOKENS)
        tally.tokens += UNKNOWN_MESSAGE_TOKENS * (tally.items + 1)
    return PromptBound(
        tokens=tally.tokens + REPLY_TOKENS + SLACK_TOKENS,
        image_tokens=tally.image_tokens,
        hidden=tuple(tally.hidden),
    )


def kind_of(item: Mapping[str, Any]) -> str:
    """The type of an input item: messages and references need not name theirs."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference"
    return str(kind)


class _Tally:
    """The sum of one input while it is counted."""

    __slots__ = ("count", "facts", "hidden", "image_tokens", "items", "parallel", "tokens")

    def __init__(self, facts: ModelFacts, count: Count) -> None:
        self.facts = facts
        self.count = count
        self.tokens = 0
        self.image_tokens = 0
        self.items = 0
        self.hidden: list[str] = []
        self.parallel = False
        """Whether several calls, which the provider may write into one message, are there."""

    def add_input(self, body: Mapping[str, Any]) -> None:
        instructions, given = body.get("instructions"), body.get("input")
        if instructions is not None:
            if not isinstance(instructions, str):
                raise BadRequest("instructions must be a string.", param="instructions")
            self.tokens += MESSAGE_TOKENS + 1 + self.count(instructions)
        if isinstance(given, str):
            self.tokens += MESSAGE_TOKENS + 1 + self.count(given)
            return
        if given is None:
            return
        if not isinstance(given, list):
            raise BadRequest("input must be a string or a list of items.", param="input")
        kinds = [kind_of(item) for item in given if isinstance(item, dict)]
        self.parallel = sum(kind in _CALLS for kind in kinds) > 1
        self.items = len(given)
        for index, item in enumerate(given):
            self._add_item(item, f"input[{index}]")

    def _add_item(self, item: object, place: str) -> None:
        if not isinstance(item, dict):
            raise BadRequest(f"{place} must be an object.", param=place)
        kind = kind_of(item)
        self.tokens += MESSAGE_TOKENS
        if kind == "message":
            self._add_message(item, place)
        elif kind in _CALLS:
            self._add_call(item, place)
        elif kind in _OUTPUTS:
            self.tokens += CALL_TOKENS
            self._add_content(item.get("output"), f"{place}.output")
            self._add_rest(item, ("output",), place)
        elif kind in _HIDDEN:
            self.hidden.append(f"{place}: {_HIDDEN[kind]}")
            self._add_rest(item, (), place)
        elif kind == "configuration_update":
            self.add_format(item.get("text"))
            self._add_rest(item, ("text",), place)
        else:
            raise BadRequest(
                f"{place}.type must be one of {', '.join(ITEM_TYPES)}: what other items"
                f" ({kind[:40]!r}) do and cost cannot be bounded here.",
                param=f"{place}.type",
            )

    def _add_message(self, item: dict[str, Any], place: str) -> None:
        role = item.get("role")
        if not isinstance(role, str):
            raise BadRequest(f"{place}.role must be a string.", param=f"{place}.role")
        self.tokens += self.count(role)
        self._add_content(item.get("content"), f"{place}.content")
        self._add_rest(item, ("content",), place)

    def _add_call(self, item: dict[str, Any], place: str) -> None:
        """A call's name counts twice: its result is headed by it too."""
        self.tokens += CALL_TOKENS
        for name in ("name", "arguments", "input"):
            text = item.get(name)
            if isinstance(text, str):
                self.tokens += self._text(text) * (2 if name == "name" else 1)
        self._add_rest(item, ("name", "arguments", "input"), place)

    def _add_rest(self, item: dict[str, Any], counted: tuple[str, ...], place: str) -> None:
        """The fields beside those in ``counted``, in case the provider writes them too."""
        for name, value in item.items():
            if name in counted or name in _NO_TEXT or not value:
                continue
            text = value if isinstance(value, str) else compact_json(value, f"{place}.{name}")
            self.tokens += self.count(text) + 1

    def _add_content(self, content: object, place: str) -> None:
        if isinstance(content, str):
            self.tokens += self._text(content)
            return
        if not isinstance(content, list):
            raise BadRequest(f"{place} must be a string or a list of parts.", param=place)
        for number, part in enumerate(content):
            where = f"{place}[{number}]"
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise BadRequest(f"{where} must be an object with a type.", param=where)
            self.tokens += PART_TOKENS if number else 0
            self._add_part(part, where)

    def _add_part(self, part: dict[str, Any], place: str) -> None:
        kind = part["type"]
        if kind in ("input_text", "output_text", "refusal"):
            name = "refusal" if kind == "refusal" else "text"
            text = part.get(name)
            if not isinstance(text, str):
                raise BadRequest(f"{place}.{name} must be a string.", param=f"{place}.{name}")
            self.tokens += self._text(text)
        elif kind == "input_image":
            self._add_image(part, place)
        elif kind == "input_file":
            self.hidden.append(f"{place}: a file")
        else:
            self.tokens += self.count(compact_json(part, place))
            self.hidden.append(f"{place}: a part of type {kind[:40]!r}")

    def _add_image(self, part: dict[str, Any], place: str) -> None:
        """An image that cannot be seen is counted as one of any size."""
        url, detail = part.get("image_url"), part.get("detail")
        if not isinstance(url, str) and not isinstance(part.get("file_id"), str):
            raise BadRequest(f"{place}.image_url must be a string.", param=f"{place}.image_url")
        rule = self.facts.image_rule
        if rule is None:
            self.hidden.append(f"{place}: an image, for a model without a known image price rule")
            return
        size = size_of(url) if isinstance(url, str) and part.get("file_id") is None else None
        tokens = rule.tokens(size, detail if isinstance(detail, str) else "auto")
        self.image_tokens += tokens
        self.tokens += tokens + PART_TOKENS

    def _text(self, text: str) -> int:
        """The tokens of a text, which OpenAI escapes in calls made in parallel (core.tokens)."""
        if not self.parallel:
            return self.count(text)
        return max(self.count(text), self.count(json.dumps(text)))

    def add_tools(self, body: Mapping[str, Any]) -> None:
        """Tools, and what forces one of them."""
        tools = body.get("tools")
        declared = tools if isinstance(tools, list) else []
        for index, tool in enumerate(declared):
            self.tokens += definition_tokens(tool, self.count, f"tools[{index}]")
        if declared:
            self.tokens += TOOLS_TOKENS
        if len(declared) > 1 and body.get("parallel_tool_calls") is not False:
            self.tokens += PARALLEL_TOOLS_TOKENS
        choice = body.get("tool_choice")
        if choice is not None and choice != "auto":
            self.tokens += self.count(compact_json(choice, "tool_choice")) + CHOICE_TOKENS

    def add_format(self, text: object) -> None:
        """The schema that an answer must follow is part of the prompt."""
        if text is None:
            return
        if not isinstance(text, dict):
            raise BadRequest("text must be an object.", param="text")
        form = text.get("format")
        if form is None:
            return
        if not isinstance(form, dict):
            raise BadRequest("text.format must be an object.", param="text.format")
        if form.get("type") == "json_object":
            self.tokens += CHOICE_TOKENS
        elif form.get("type") != "text":
            self.tokens += SCHEMA_TOKENS
            self.tokens += definition_tokens(form, self.count, "text.format")
