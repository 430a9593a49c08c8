"""Prompt tokens, from the provider's published rules.

Sources: OpenAI Cookbook, "How to count tokens with tiktoken" (messages, tools); OpenAI docs,
"Images and vision", section "Calculating costs". Where the rules are silent (tool calls in the
history, response schemas, nested parameters) the choice made is stated at its function.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.image_size import size_of_image
from gateway.simulator.models import Model

TOKENS_PER_MESSAGE = 3
TOKENS_PER_NAME = 1
TOKENS_PRIMING_REPLY = 3

TOOL_START = {"cl100k_base": 10, "o200k_base": 7}
PROPERTIES_START = 3
PROPERTY_START = 3
ENUM_START = -3
ENUM_ITEM = 3
TOOLS_END = 12

PATCH_PIXELS = 32
PATCHES_MAX = 1_536

_TILES = (
    ("gpt-4o-mini", 2_833, 5_667),
    ("gpt-4o", 85, 170),
    ("gpt-4.1", 85, 170),
    ("gpt-4-turbo", 85, 170),
    ("gpt-5", 70, 140),
    ("o1", 75, 150),
    ("o3", 75, 150),
)
"""Model prefix, base tokens, tokens per tile of 512 pixels; first match counts."""

_PATCH_MULTIPLIERS = (
    ("gpt-4.1-mini", 1.62),
    ("gpt-4.1-nano", 2.46),
    ("gpt-5-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("gpt-5.4-mini", 1.62),
    ("gpt-5.4-nano", 2.46),
    ("gpt-5.2", 1.2),
    ("gpt-5.3", 1.2),
    ("gpt-5.4", 1.2),
    ("gpt-5.5", 1.2),
    ("gpt-5.6", 1.2),
    ("o4-mini", 1.72),
)
"""Models that count patches instead of tiles, with their factor; first match counts."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A counted prompt. ``ids`` are the text's token ids in order, for the prompt cache."""

    tokens: int
    image_tokens: int
    ids: list[int]


class _Counter:
    """Adds up one prompt."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        self.model = model
        self.encoding = model.encoding
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.extra = 0
        self.images = 0

    def text(self, text: str) -> None:
        self.ids += self.tokenizer.encode(text, self.encoding)

    def messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        for message in messages:
            self.extra += TOKENS_PER_MESSAGE
            self.text(message["role"])
            self._content(message.get("content"))
            if isinstance(message.get("name"), str):
                self.text(message["name"])
                self.extra += TOKENS_PER_NAME
            # Unpublished: a call in the history counts as its name and its arguments.
            for call in message.get("tool_calls") or ():
                self.text(call["function"]["name"])
                self.text(call["function"]["arguments"])
        self.extra += TOKENS_PRIMING_REPLY

    def _content(self, content: Any) -> None:
        if isinstance(content, str):
            self.text(content)
            return
        for part in content or ():
            if part["type"] == "image_url":
                self.images += _image_tokens(self.model.name, part["image_url"])
            else:
                self.text(part.get("text") or part.get("refusal") or "")

    def tools(self, tools: Iterable[Mapping[str, Any]]) -> None:
        for tool in tools:
            function = tool["function"]
            self.extra += TOOL_START.get(self.encoding, 7)
            description = (function.get("description") or "").removesuffix(".")
            self.text(f"{function['name']}:{description}")
            self._properties(function.get("parameters") or {})
        self.extra += TOOLS_END

    def _properties(self, schema: Mapping[str, Any]) -> None:
        """Unpublished: properties of nested objects and of array items count like the outer."""
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return
        self.extra += PROPERTIES_START
        for name, rule in properties.items():
            self.extra += PROPERTY_START
            if not isinstance(rule, Mapping):
                continue
            if isinstance(rule.get("enum"), list) and rule["enum"]:
                self.extra += ENUM_START
                for item in rule["enum"]:
                    self.extra += ENUM_ITEM
                    self.text(str(item))
            description = str(rule.get("description") or "").removesuffix(".")
            self.text(f"{name}:{rule.get('type', 'any')}:{description}")
            self._properties(rule)
            if isinstance(rule.get("items"), Mapping):
                self._properties(rule["items"])


def count_prompt(
    model: Model, tokenizer: Tokenizer, body: Mapping[str, Any], tools: list[dict[str, Any]]
) -> Prompt:
    """Count a validated chat request.

    Unpublished: a response schema counts as its compact JSON.
    """
    counter = _Counter(model, tokenizer)
    if tools:
        counter.tools(tools)
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"].get("schema") or {}
        counter.text(orjson.dumps(schema).decode())
    counter.messages(body["messages"])
    total = len(counter.ids) + counter.extra + counter.images
    return Prompt(total, counter.images, counter.ids)


def _image_tokens(model: str, image: Mapping[str, Any]) -> int:
    width, height = size_of_image(image["url"])
    for prefix, multiplier in _PATCH_MULTIPLIERS:
        if model.startswith(prefix):
            return math.ceil(_patches(width, height) * multiplier)
    base, tile = next(((b, t) for prefix, b, t in _TILES if model.startswith(prefix)), (85, 170))
    if image.get("detail") == "low":
        return base
    return base + tile * _tiles(width, height)


def _tiles(width: float, height: float) -> int:
    """Fit in a square of 2048, bring the short side down to 768, count squares of 512."""
    scale = min(1.0, 2_048 / max(width, height))
    width, height = width * scale, height * scale
    scale = min(1.0, 768 / min(width, height))
    return math.ceil(round(width * scale) / 512) * math.ceil(round(height * scale) / 512)


def _patches(width: int, height: int) -> int:
    """Fit in a square of 2048, count squares of 32 pixels; above 1536 of them, shrink until
    whole patches fit."""
    side = PATCH_PIXELS
    fit = min(1.0, 2_048 / max(width, height))
    width, height = round(width * fit), round(height * fit)
    patches = math.ceil(width / side) * math.ceil(height / side)
    if patches <= PATCHES_MAX:
        return patches
    scale = math.sqrt(side * side * PATCHES_MAX / (width * height))
    across, down = width * scale / side, height * scale / side
    scale *= min(math.floor(across) / across, math.floor(down) / down)
    across, down = width * scale / side, height * scale / side
    return min(PATCHES_MAX, math.ceil(across - 1e-9) * math.ceil(down - 1e-9))
