"""Makes a response: counts its prompt, decides on searches and calls, and composes its text.

Everything is done as a chat answer is, on the chat messages that the items amount to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.simulator.chat import Chat, last_user_text, seed_of, tier_of
from gateway.simulator.chat_reply import Choice
from gateway.simulator.counting import Prompt
from gateway.simulator.errors import bad_request
from gateway.simulator.faults import Directives, Fault
from gateway.simulator.models import Model
from gateway.simulator.responses_input import check_calls, messages_of
from gateway.simulator.responses_shape import Draft
from gateway.simulator.responses_validation import WEB_SEARCH_TOOLS
from gateway.simulator.server import Request
from gateway.simulator.text import Piece, cut_at_tokens
from gateway.simulator.truth import Charge

SEARCH_PHRASE = "search the web"
SEARCHES_SPREAD = 3
"""A response that searches does so 1 to 3 times by itself."""
SEARCH_TOKENS = 1_000
"""What the results of one search add to the prompt, unseen by the client."""
EARLIER_ITEM_BYTES = 1_024
"""Guess of an earlier item's size, to count long conversations on a thread."""


def draft_of(
    chat: Chat,
    request: Request,
    model: Model,
    items: list[dict[str, Any]],
) -> Draft:
    """The response to a validated request, given all ``items`` that it goes on from.

    Raises ProviderError (400) for calls without outputs, and where the context is full.
    """
    body, wish = request.json(), request.directives
    check_calls(items)
    chat_body, prompt = counted(chat, body, model, items, len(request.body))
    seed = seed_of(chat_body, model)
    searches = _searches(body, chat_body, wish, seed)
    prompt = replace(prompt, tokens=prompt.tokens + SEARCH_TOKENS * len(searches))
    room = model.context - prompt.tokens
    if room <= 0:
        raise context_exceeded()
    limit = min(body.get("max_output_tokens") or model.output_max, room)
    choice = chat.choice(chat_body, model, wish, seed, 0, limit)
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    if wish.fault is Fault.FAILED:
        choice, status = _half_of(choice), "failed"
    cached, written = chat.cached(body, model, prompt)
    charge = Charge(
        endpoint="responses",
        model=model.snapshot,
        requested_model=body["model"],
        service_tier=tier_of(body, wish),
        prompt_tokens=prompt.tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        image_tokens=prompt.image_tokens,
        completion_tokens=choice.reasoning_tokens + choice.visible_tokens,
        reasoning_tokens=choice.reasoning_tokens,
        units={"web_search_calls": len(searches)} if searches else {},
        streamed=bool(body.get("stream")),
        finished=status != "failed",
    )
    return Draft(
        id=f"resp_{request.id[4:]}",
        created=int(time.time()),
        body=body,
        model=model,
        items=items,
        searches=searches,
        choice=choice,
        charge=charge,
        status=status,
        seed=seed,
    )


def counted(
    chat: Chat, body: Mapping[str, Any], model: Model, items: list[dict[str, Any]], size: int
) -> tuple[dict[str, Any], Prompt]:
    """The chat request that ``items`` amount to, and its prompt with hidden tokens.

    ``size`` is the length of the request in bytes. Raises ProviderError (400) where the prompt
    does not fit in the context and ``truncation`` does not allow to drop its beginning.
    """
    size += EARLIER_ITEM_BYTES * len(items)
    while True:
        messages, hidden = messages_of(body.get("instructions"), items)
        chat_body = _chat_body(body, messages)
        prompt = chat.count(chat_body, model, size)
        prompt = replace(prompt, tokens=prompt.tokens + hidden)
        if prompt.tokens < model.context:
            return chat_body, prompt
        if body.get("truncation") != "auto" or len(items) < 2:
            raise context_exceeded()
        items = items[max(1, len(items) // 8) :]


def context_exceeded() -> Exception:
    """The prompt does not fit."""
    return bad_request(
        "Your input exceeds the context window of this model. "
        "Please adjust your input and try again.",
        "input",
        "context_length_exceeded",
    )


def _chat_body(body: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The chat request of the same meaning."""
    functions = [tool for tool in body.get("tools") or () if tool["type"] == "function"]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        kind = choice["type"]
        if kind == "function":
            choice = {"type": "function", "function": {"name": choice["name"]}}
        elif kind == "allowed_tools":
            names = {tool.get("name") for tool in choice.get("tools") or ()}
            functions = [tool for tool in functions if tool["name"] in names]
            choice = choice.get("mode", "auto")
        else:
            choice = "none"
    chat_body: dict[str, Any] = {
        "model": body.get("model"),
        "messages": messages,
        "tools": [{"type": "function", "function": tool} for tool in functions],
        "tool_choice": choice,
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
    }
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    if form["type"] == "json_schema":
        chat_body["response_format"] = {"type": "json_schema", "json_schema": form}
    else:
        chat_body["response_format"] = form
        if form["type"] == "json_object" and "json" not in str(messages).lower():
            raise bad_request(
                "Response input messages must contain the word 'json' in some form to use "
                "'text.format' of type 'json_object'.",
                "input",
            )
    return chat_body


def _searches(
    body: Mapping[str, Any], chat_body: Mapping[str, Any], wish: Directives, seed: int
) -> list[str]:
    """The queries of the searches: where the request forces one, or the user asks for it."""
    tools = body.get("tools") or ()
    choice = body.get("tool_choice")
    if choice == "none" or not any(tool["type"] in WEB_SEARCH_TOOLS for tool in tools):
        return []
    messages = chat_body["messages"]
    text = last_user_text(messages)
    forced = isinstance(choice, dict) and choice["type"] in WEB_SEARCH_TOOLS
    alone = choice == "required" and not chat_body["tools"]
    asked = messages[-1]["role"] == "user" and SEARCH_PHRASE in text.lower()
    if not (forced or alone or asked):
        return []
    count = wish.tool_calls
    if count is None:
        count = 1 + (seed >> 4) % SEARCHES_SPREAD
    count = min(count, body.get("max_tool_calls") or count)
    return [f"{text[:80]} ({number})" for number in range(1, count + 1)]


def _half_of(choice: Choice) -> Choice:
    """``choice`` as far as it came when it failed half-way through what is visible."""
    half = choice.visible_tokens // 2
    if choice.call:
        arguments = _first(choice.call.arguments, half)
        return replace(choice, call=replace(choice.call, arguments=arguments))
    return replace(choice, pieces=_first(choice.pieces, half))


def _first(pieces: list[Piece], tokens: int) -> list[Piece]:
    return cut_at_tokens(pieces, tokens)[0]
