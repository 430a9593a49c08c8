"""The objects that a request for a response names: each must be the client's own.

An id in a body reaches the provider's account like one in a path, so it is looked up the same
way. Items that carry their whole content are not looked up, whatever id they bear: clients
replay them, also those of answers that nobody stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.objects import Kind
from gateway.core.response_tokens import kind_of


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a body names, and the field that names it."""

    kind: Kind
    id: object
    param: str


def named_objects(body: Mapping[str, Any]) -> Iterator[Named]:
    """Every object that ``body`` names, in any place that the provider reads."""
    if (previous := body.get("previous_response_id")) is not None:
        yield Named(Kind.RESPONSE, previous, "previous_response_id")
    options = body.get("prompt_cache_options")
    if isinstance(options, dict) and options.get("comparison_response_id") is not None:
        name = "prompt_cache_options.comparison_response_id"
        yield Named(Kind.RESPONSE, options["comparison_response_id"], name)
    given = body.get("input")
    for index, item in enumerate(given if isinstance(given, list) else []):
        if isinstance(item, dict):
            yield from _in_item(item, f"input[{index}]")


def _in_item(item: Mapping[str, Any], place: str) -> Iterator[Named]:
    kind = kind_of(item)
    looked_up = kind == "item_reference" or (
        # Without its content the provider takes what it has stored under the id.
        kind == "web_search_call" or (kind == "reasoning" and not item.get("encrypted_content"))
    )
    if looked_up and (kind == "item_reference" or item.get("id") is not None):
        yield Named(Kind.RESPONSE_ITEM, item.get("id"), f"{place}.id")
    yield from _files(item, place)


def _files(value: object, place: str) -> Iterator[Named]:
    """Every ``file_id`` below ``value``, whatever part it is of."""
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from _files(part, f"{place}[{number}]")
    elif isinstance(value, dict):
        for name, part in value.items():
            if name == "file_id" and part is not None:
                yield Named(Kind.FILE, part, f"{place}.file_id")
            elif isinstance(part, dict | list):
                yield from _files(part, f"{place}.{name}")
