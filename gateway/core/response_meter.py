"""Reads usage out of responses, whole or streamed, and what they make the client the owner of.

A streamed response ends in one of three events, each with the whole response and its usage.
No byte of the stream is changed: usage is always there, nothing has to be asked for or hidden.
Source: OpenAI API reference, "Responses" and "Streaming events".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.chat_meter import KEPT_BYTES_MAX, OUTPUT_AHEAD_TOKENS
from gateway.core.meters import Reading
from gateway.core.objects import Found, Kind
from gateway.core.sse import event_data
from gateway.core.usage import InvalidUsage, Usage, usage_from_responses

ENDS = frozenset(("response.completed", "response.incomplete", "response.failed"))
"""The events that end a stream, and carry the usage."""

_BEGINS = frozenset(("response.created", "response.queued", "response.in_progress"))
_ITEMS = frozenset(("response.output_item.added", "response.output_item.done"))

# A quote inside a JSON string is escaped, so these are whole names or values, never a part of
# generated text. Deltas, which most events are, have none of them.
_TELLING = re.compile(
    rb'"response\.(?:created|queued|in_progress|completed|incomplete|failed|output_item\.\w+)"'
    rb'|"error"'
)

_FREE_ACTIONS = ("open_page", "find_in_page")
"""Actions of a search call that have no fee. Source: OpenAI, "Web search": "Search actions
incur a tool call cost"."""

_PIECE_TOKENS = 8
"""Rendering of an item's end, of a call, and of what heads them."""

_FRAME = frozenset(("type", "id", "item_id", "call_id", "status", "role", "obfuscation"))
"""Fields of items and events that the model did not generate."""


def read_response(payload: object) -> Reading:
    """The reading of a whole, parsed response, or of a compaction."""
    if not isinstance(payload, dict):
        return Reading(None, None)
    try:
        usage = usage_from_responses(payload.get("usage"))
    except InvalidUsage:
        usage = None
    if usage is not None and (calls := _search_calls(payload.get("output"))):
        usage = usage.with_web_search_calls(calls)
    tier = payload.get("service_tier")
    # Until it is known which tier serves a response, it says "auto".
    return Reading(usage, tier if isinstance(tier, str) and tier != "auto" else None)


def _search_calls(output: object) -> int:
    """Web searches that have a fee. One that does not say what it did is taken to have one."""
    calls = 0
    for item in output if isinstance(output, list) else []:
        if isinstance(item, dict) and item.get("type") == "web_search_call":
            action = item.get("action")
            kind = action.get("type") if isinstance(action, dict) else None
            calls += kind not in _FREE_ACTIONS
    return calls


def stored_response(answer: Mapping[str, Any]) -> list[Found]:
    """A response that the provider keeps, and its output items; the response comes first."""
    name, created = answer.get("id"), answer.get("created_at")
    if not isinstance(name, str):
        return []
    at = int(created) if isinstance(created, int | float) else 0
    response = Found(Kind.RESPONSE, name, at, str(answer.get("model") or ""))
    return [response, *items_of(answer, stored=True)]


def unstored_response(answer: Mapping[str, Any]) -> list[Found]:
    """What the provider may know of a response that it does not keep: its searches."""
    return items_of(answer, stored=False)


def items_of(answer: Mapping[str, Any], *, stored: bool) -> list[Found]:
    """The output items of a response that later requests may refer to by their ids."""
    output = answer.get("output")
    found = []
    for item in output if isinstance(output, list) else []:
        found += _item(item, stored=stored)
    return found


def _item(item: object, *, stored: bool) -> list[Found]:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return []
    # Clients replay the searches of responses that were not stored, too.
    if not stored and item.get("type") != "web_search_call":
        return []
    return [Found(Kind.RESPONSE_ITEM, item["id"])]


@dataclass
class ResponseStreamMeter:
    """Follows one streamed response.

    ``stored`` is whether the provider keeps it, so that its ids are objects with an owner.
    """

    stored: bool
    usage: Usage | None = None
    service_tier: str | None = None
    done: bool = False
    complete: bool = False
    """Whether the last event has come; the usage it has is of the whole answer."""
    failed: bool = False
    kept: list[bytes] = field(default_factory=list)
    kept_bytes: int = 0
    found: list[Found] = field(default_factory=list)
    events: int = 0
    named: set[str] = field(default_factory=set)
    """Ids that have been found: most come in several events."""

    def take(self, event: bytes) -> bytes:
        """``event`` as it came, always."""
        self.events += b"data:" in event
        if self.kept_bytes <= KEPT_BYTES_MAX:
            self.kept.append(event)
        self.kept_bytes += len(event)
        if _TELLING.search(event):
            self._inspect(event)
        return event

    def _inspect(self, event: bytes) -> None:
        told = _parsed(event) or {}
        kind = str(told.get("type"))
        response = told.get("response")
        if kind in ENDS and isinstance(response, dict):
            reading = read_response(response)
            self.usage, self.service_tier = reading.usage, reading.service_tier
            self.done = self.complete = True
        if (kind in ENDS or kind in _BEGINS) and isinstance(response, dict):
            self._find(stored_response(response) if self.stored else unstored_response(response))
        elif kind in _ITEMS:
            self._find(_item(told.get("item"), stored=self.stored))
        elif kind == "error" or told.get("error") is not None:
            self.failed = True

    def _find(self, found: list[Found]) -> None:
        self.found += [one for one in found if one.id not in self.named]
        self.named.update(one.id for one in found)

    def error_event(self, error: Mapping[str, Any]) -> bytes:
        """The event that ends a stream which the provider broke off.

        It has the shape of the provider's own error event, and the envelope besides, at whose
        sight OpenAI's SDKs raise.
        """
        told = {
            "type": "error",
            "code": error["code"],
            "message": error["message"],
            "param": error["param"],
            "sequence_number": self.events,
            "error": dict(error),
        }
        return b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n"

    def output_tokens_counted(self, count: Callable[[str], int]) -> int | None:
        """An upper bound of the output generated so far; None where it cannot be counted."""
        if self.kept_bytes > KEPT_BYTES_MAX:
            return None
        deltas: dict[tuple[str, ...], list[str]] = {}
        items: dict[str, list[str]] = {}
        for event in self.kept:
            told = _parsed(event)
            if told is None:
                return None
            # By its text: a provider may write anything there, also what is no key of a dict.
            kind, place = str(told.get("type")), repr(told.get("output_index"))
            if kind.endswith(".delta") and isinstance(told.get("delta"), str):
                within = repr((told.get("content_index"), told.get("summary_index")))
                part = (place, kind, within)
                deltas.setdefault(part, []).append(told["delta"])
            elif kind in _ITEMS:
                items[place] = list(_texts(told.get("item")))
        return _counted(deltas, items, count) + OUTPUT_AHEAD_TOKENS


def _counted(
    deltas: Mapping[tuple[str, ...], list[str]],
    items: Mapping[str, list[str]],
    count: Callable[[str], int],
) -> int:
    """The tokens of each item: of its deltas or of its last state, whichever has more."""
    by_place: dict[str, int] = dict.fromkeys(items, 0)
    for part, pieces in deltas.items():
        by_place[part[0]] = by_place.get(part[0], 0) + count("".join(pieces)) + _PIECE_TOKENS
    total = 0
    for place, tokens in by_place.items():
        texts = items.get(place, [])
        # Before its deltas an item shows a call's name and nothing else that was generated.
        total += max(tokens, sum(count(text) for text in texts)) + count(" ".join(texts[:1]))
        total += _PIECE_TOKENS
    return total


def _texts(value: object) -> Iterator[str]:
    """Every generated text of an item."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            if name not in _FRAME:
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _parsed(event: bytes) -> dict[str, Any] | None:
    """The data of an event; None where it is no JSON, empty where it is no object."""
    try:
        told = json.loads(event_data(event) or b"null")
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else {}
