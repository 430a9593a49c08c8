"""A response before it is sent, and the ``response`` object at each point of its life.

Source of the shapes: OpenAI API reference, "The response object" and "Responses > Output items".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.simulator.chat_reply import Choice, logprob_of
from gateway.simulator.models import Model
from gateway.simulator.text import Piece
from gateway.simulator.truth import Charge

FAILED = {
    "code": "server_error",
    "message": "The server had an error while processing your request. Sorry about that!",
}
_SOURCE = {"type": "url", "url": "https://example.com/budgets"}


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything about one response but how and when it is sent."""

    id: str
    created: int
    body: Mapping[str, Any]
    model: Model
    items: list[dict[str, Any]]
    """All input items with their ids, also those of earlier responses; oldest first."""
    searches: list[str]
    """The query of each web search; all run before the text begins."""
    choice: Choice
    charge: Charge
    status: str
    """How it will end: completed, incomplete or failed."""
    seed: int

    @property
    def has_logprobs(self) -> bool:
        """Whether the request asks for the log probabilities of the text."""
        return "message.output_text.logprobs" in (self.body.get("include") or ())

    def item_id(self, prefix: str, place: int = 0) -> str:
        """The id of an output item."""
        return f"{prefix}_{self.id[5:]}{place:02x}"


def usage_of(charge: Charge, model: Model) -> dict[str, Any]:
    """The ``usage`` object of a response; cache writes only of models that bill them."""
    details = {"cached_tokens": charge.cached_tokens}
    if model.cache_writes:
        details["cache_write_tokens"] = charge.cache_write_tokens
    return {
        "input_tokens": charge.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": charge.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": charge.reasoning_tokens},
        "total_tokens": charge.prompt_tokens + charge.completion_tokens,
    }


def response_at(draft: Draft, status: str, *, usage: bool = True) -> dict[str, Any]:
    """The ``response`` object in ``status``; output and usage are there once it ended."""
    body = draft.body
    ended = status == draft.status
    tier = body.get("service_tier") or "auto"
    reasoning = body.get("reasoning") or {}
    effort = reasoning.get("effort") or ("medium" if draft.model.reasoning else None)
    return {
        "id": draft.id,
        "object": "response",
        "created_at": draft.created,
        "status": status,
        "background": bool(body.get("background")),
        "completed_at": int(time.time()) if status == "completed" else None,
        "error": FAILED if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": draft.model.snapshot,
        "output": output_of(draft) if ended else [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": effort, "summary": reasoning.get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": draft.charge.service_tier if ended else tier,
        "store": body.get("store") is not False,
        "temperature": _or(body.get("temperature"), 1.0),
        "text": _text_config(body.get("text") or {}),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": _or(body.get("top_p"), 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": usage_of(draft.charge, draft.model) if ended and usage else None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _text_config(text: Mapping[str, Any]) -> dict[str, Any]:
    form = text.get("format") or {"type": "text"}
    if form["type"] == "json_schema":
        form = {"description": None, "strict": True, **form}
    return {"format": form, "verbosity": text.get("verbosity") or "medium"}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] == "function":
        return {"description": None, "parameters": None, "strict": True, **tool}
    return {"search_context_size": "medium", "user_location": None, **tool}


def output_of(draft: Draft) -> list[dict[str, Any]]:
    """The finished output items: reasoning, then searches, then a call or a message."""
    items = []
    if draft.choice.reasoning_tokens:
        items.append(reasoning_item(draft))
    items += [search_item(draft, place, "completed") for place in range(len(draft.searches))]
    end = "completed" if draft.status == "completed" else "incomplete"
    if draft.choice.call:
        items.append(call_item(draft, end, text_of(draft.choice.call.arguments)))
    elif draft.choice.pieces or draft.status == "completed":
        items.append(message_item(draft, end, [text_part(draft)]))
    return items


def reasoning_item(draft: Draft) -> dict[str, Any]:
    """The item that stands for hidden reasoning; its summary is left empty."""
    item = {"id": draft.item_id("rs"), "type": "reasoning", "summary": []}
    if "reasoning.encrypted_content" in (draft.body.get("include") or ()):
        item["encrypted_content"] = f"simulated-{draft.seed:x}"
    return item


def search_item(draft: Draft, place: int, status: str) -> dict[str, Any]:
    """One web search."""
    query = draft.searches[place]
    action: dict[str, Any] = {"type": "search", "query": query, "queries": [query]}
    if "web_search_call.action.sources" in (draft.body.get("include") or ()):
        action["sources"] = [_SOURCE]
    return {
        "id": draft.item_id("ws", place),
        "type": "web_search_call",
        "status": status,
        "action": action,
    }


def call_item(draft: Draft, status: str, arguments: str) -> dict[str, Any]:
    """The function call of ``draft``."""
    call = draft.choice.call
    assert call is not None
    return {
        "id": draft.item_id("fc"),
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call.id,
        "name": call.name,
    }


def message_item(draft: Draft, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """The message of ``draft``."""
    return {
        "id": draft.item_id("msg"),
        "type": "message",
        "status": status,
        "content": content,
        "role": "assistant",
    }


def text_part(draft: Draft) -> dict[str, Any]:
    """The whole text of ``draft`` as the content of its message."""
    return {
        "type": "output_text",
        "annotations": [],
        "logprobs": logprobs_of(draft, draft.choice.pieces),
        "text": text_of(draft.choice.pieces),
    }


def logprobs_of(draft: Draft, pieces: list[Piece]) -> list[dict[str, Any]]:
    """The log probabilities of ``pieces``; none where the request does not ask for them."""
    if not draft.has_logprobs:
        return []
    top = draft.body.get("top_logprobs") or 0
    return [logprob_of(piece, draft.seed, top) for piece in pieces]


def text_of(pieces: list[Piece]) -> str:
    """The text of ``pieces``."""
    return "".join([piece.text for piece in pieces])
