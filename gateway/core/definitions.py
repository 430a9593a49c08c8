"""Upper bounds of the prompt tokens of tool definitions and response schemas.

OpenAI writes functions into the prompt as TypeScript declarations and response schemas as
JSON, in forms it does not publish. The compact JSON of a definition has more tokens than
either, except for what is added here: list separators of enumerations, comment marks of
descriptions with several lines, and definitions that may be written out where referred to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gateway.core.errors import BadRequest

DEFINITION_TOKENS = 12
"""Framing of one definition."""

ENUM_ITEM_TOKENS = 3
"""``"a" | "b"`` has three tokens an item more than its words. Source: Cookbook."""

LINE_TOKENS = 2
"""Each line of a description is a comment of its own."""

EXPANSION_TOKENS_MAX = 10_000_000
"""Bound of what references can add; far above every context window."""


def definition_tokens(definition: dict[str, Any], count: Callable[[str], int], place: str) -> int:
    """An upper bound of the tokens of one tool definition or response format.

    ``place`` names it in errors. Raises BadRequest where it is nested too deeply.
    """
    text = compact_json(definition, place)
    tokens = DEFINITION_TOKENS + count(text) + LINE_TOKENS * text.count("\\n")
    if '"enum"' in text:
        tokens += ENUM_ITEM_TOKENS * _enum_items(definition)
    if '"$ref"' in text:
        tokens += min(_Expansion(definition, count, place).tokens(), EXPANSION_TOKENS_MAX)
    return tokens


def compact_json(value: object, place: str) -> str:
    """``value`` as compact JSON. Raises BadRequest where it is nested too deeply to write."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError, TypeError) as error:
        raise BadRequest(f"{place} is nested too deeply.", param=place) from error


def _enum_items(definition: object) -> int:
    items = 0
    nodes = [definition]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            values = node.get("enum")
            if isinstance(values, list):
                items += len(values)
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    return items


class _Expansion:
    """What a definition grows by when each ``$ref`` is replaced by what it refers to.

    Only the sizes are added up, so references that double at every level cost no time.
    """

    def __init__(self, definition: object, count: Callable[[str], int], place: str) -> None:
        self._sizes: dict[str, int] = {}
        self._references: dict[str, list[str]] = {}
        self._totals: dict[str, int] = {}
        self._root: list[str] = []
        named: dict[str, Any] = {}
        self._collect(definition, self._root, named)
        pending = list(named.items())
        while pending:
            name, schema = pending.pop()
            inner: dict[str, Any] = {}
            self._references[name] = []
            self._collect(schema, self._references[name], inner)
            self._sizes[name] = count(compact_json(schema, place)) + ENUM_ITEM_TOKENS * _enum_items(
                schema
            )
            pending.extend(item for item in inner.items() if item[0] not in self._sizes)

    def tokens(self) -> int:
        return sum(self._total(name) for name in self._root)

    def _collect(self, schema: object, references: list[str], named: dict[str, Any]) -> None:
        """Names referred to in ``schema``, and its named definitions, which are not entered."""
        nodes = [schema]
        while nodes:
            node = nodes.pop()
            if isinstance(node, list):
                nodes.extend(node)
            elif isinstance(node, dict):
                for key, value in node.items():
                    if key in ("$defs", "definitions") and isinstance(value, dict):
                        named.update(value)
                    elif key == "$ref" and isinstance(value, str):
                        references.append(value.rpartition("/")[2])
                    else:
                        nodes.append(value)

    def _total(self, name: str) -> int:
        """The size of ``name`` with all it refers to; what refers to itself is not expanded."""
        path: list[tuple[str, bool]] = [(name, False)]
        open_names: set[str] = set()
        while path:
            current, ready = path.pop()
            if ready:
                open_names.discard(current)
                total = self._sizes[current]
                total += sum(self._totals.get(inner, 0) for inner in self._references[current])
                self._totals[current] = min(total, EXPANSION_TOKENS_MAX)
            elif current in self._sizes and not (current in self._totals or current in open_names):
                open_names.add(current)
                path.append((current, True))
                path.extend((inner, False) for inner in self._references[current])
        return self._totals.get(name, 0)
