"""The objects that a request for a response names: each must be the client's own.

An id in a body reaches the provider's account like one in a path, so it is looked up the same
way. Items that carry their whole content are not looked up, whatever id they bear: clients
replay them, also those of answers that nobody stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import BadRequest
from gateway.core.objects import Kind
from gateway.core.response_tokens import kind_of


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a body names, and the field that names it."""

    kind: Kind
    id: object
    param: str


NAMED_MAX = 1_000
"""Objects that one request may name: each is looked up."""


def named_objects(body: Mapping[str, Any]) -> list[Named]:
    """Every object that ``body`` names, once, in any place that the provider reads.

    Raises BadRequest where they are too many.
    """
    found: dict[tuple[Kind, str], Named] = {}
    for named in _all_named(body):
        found.setdefault((named.kind, str(named.id)), named)
        if len(found) > NAMED_MAX:
            raise BadRequest(
                f"A request may name at most {NAMED_MAX:,} earlier items and files. Continue from"
                " a response with previous_response_id.",
                param="input",
            )
    return list(found.values())


def _all_named(body: Mapping[str, Any]) -> Iterator[Named]:
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
        kind == "web_search_call"
        or (kind in ("reasoning", "compaction") and not item.get("encrypted_content"))
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
