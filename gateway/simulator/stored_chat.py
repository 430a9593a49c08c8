"""Chat completions kept with ``store``: list, get, update, delete, and their messages.

Source: OpenAI API reference, "Chat Completions"; the fields kept beside the completion are those
of its example for "List chat completions". Nothing here is billed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.simulator.errors import ProviderError, missing_parameter
from gateway.simulator.listing import checked_metadata, is_ascending, page_of
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request

KEPT_MAX = 20_000
"""The oldest are forgotten after that many, so that long runs do not fill the memory."""

_METADATA_FILTER = re.compile(r"metadata\[(.+)\]")
_KEPT_FIELDS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")


@dataclass(slots=True)
class _Kept:
    completion: dict[str, Any]
    messages: list[dict[str, Any]]
    requested_model: str


class StoredChats:
    """The stored completions of one simulator, and their endpoints."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def keep(self, request: Request, completion: dict[str, Any]) -> None:
        """Keep the ``completion`` that answers ``request``."""
        body = request.json()
        shown = {
            **completion,
            "request_id": request.id,
            "tool_choice": body.get("tool_choice"),
            "tools": body.get("tools"),
            "response_format": body.get("response_format"),
            "input_user": body.get("user"),
            "metadata": body.get("metadata") or {},
            **{name: body.get(name) for name in _KEPT_FIELDS},
        }
        identity = completion["id"]
        messages = [
            _stored_message(f"{identity}-{index}", message)
            for index, message in enumerate(body["messages"])
        ]
        self._kept[identity] = _Kept(shown, messages, body["model"])
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def routes(self) -> list[Route]:
        """The endpoints."""
        one = "/v1/chat/completions/{completion}"
        return [
            ("GET", "/v1/chat/completions", self._list),
            ("GET", one, lambda request: _json(self._found(request).completion)),
            ("POST", one, self._update),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/messages", self._messages),
        ]

    def _list(self, request: Request) -> Answer:
        arguments = request.arguments()
        wanted = {
            match[1]: value
            for name, value in arguments.items()
            if (match := _METADATA_FILTER.fullmatch(name))
        }
        model = arguments.get("model")
        entries = [
            kept.completion
            for kept in self._kept.values()
            if model in (None, kept.requested_model, kept.completion["model"])
            and wanted.items() <= kept.completion["metadata"].items()
        ]
        return _page(entries, request)

    def _update(self, request: Request) -> Answer:
        kept = self._found(request)
        body = request.json()
        if "metadata" not in body:
            raise missing_parameter("metadata")
        kept.completion["metadata"] = checked_metadata(body) or {}
        return _json(kept.completion)

    def _delete(self, request: Request) -> Answer:
        self._found(request)
        identity = request.params["completion"]
        del self._kept[identity]
        return _json({"object": "chat.completion.deleted", "id": identity, "deleted": True})

    def _messages(self, request: Request) -> Answer:
        return _page(self._found(request).messages, request)

    def _found(self, request: Request) -> _Kept:
        identity = request.params["completion"]
        kept = self._kept.get(identity)
        if kept is None:
            raise ProviderError(404, f"Chat completion with id '{identity}' not found.")
        return kept


def _stored_message(identity: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the request; parts of a content that is no plain text are kept apart."""
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    return {
        "name": None,
        **message,
        "id": identity,
        "content": content if parts is None else None,
        "content_parts": parts,
    }


def _page(entries: list[dict[str, Any]], request: Request) -> Answer:
    ascending = is_ascending(request, default=True)
    return page_of(entries, request, limit_default=20, limit_max=100, ascending=ascending)


def _json(value: dict[str, Any]) -> Answer:
    return Answer(orjson.dumps(value))
