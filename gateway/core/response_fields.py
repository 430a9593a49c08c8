"""The parameters of a response: which are known, which cannot be bounded, which name objects.

As with chat completions, fields that are not known go on to the provider, and their text is
counted as prompt. Input items and tools are different: they can make the provider do work of
any kind, so those that are not known here are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.catalog import ModelFacts
from gateway.core.chat_fields import TOOL_TYPES
from gateway.core.errors import BadRequest, NotFound

KNOWN = frozenset(
    (
        "access_programs",
        "background",
        "background_options",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "personality",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    )
)
"""OpenAI API reference, "Create a model response" and "Get input token counts"."""

REFUSED = frozenset(("context_management", "conversation", "prompt"))
"""Fields of the same pages that are refused, each with its reason."""

UNBOUNDED = {
    "n": "it multiplies the output without saying so",
    "context_management": "each compaction is a further answer whose size is not limited",
    "multi_agent": "each agent is a further answer whose size is not limited",
}

_SEARCH_PREVIEWS = ("web_search_preview", "web_search_preview_2025_03_11")

WEB_SEARCH_TOOLS = ("web_search", "web_search_2025_08_26", *_SEARCH_PREVIEWS)
"""Names of the one tool of the provider whose cost has a bound: a fee and a prompt per call."""

WEB_SEARCH_CALLS_DEFAULT = 5
"""Calls held for, and allowed, where the client sets no ``max_tool_calls``."""

TOOL_CALLS_MAX = 1_000

_SOONEST = (None, "soonest")


def check_response_fields(body: Mapping[str, Any]) -> None:
    """Raise for what cannot be bounded, or what nobody owns here.

    BadRequest for parameters and tools whose cost has no bound, and for flags of another type;
    NotFound for a stored prompt or a conversation, which no client has.
    """
    for name, why in UNBOUNDED.items():
        if body.get(name) is not None:
            raise BadRequest(
                f"Faregate cannot bound the cost of {name}: {why}. Leave it out.", param=name
            )
    for name in ("background", "store", "stream"):
        if not isinstance(body.get(name), bool | None):
            raise BadRequest(f"{name} must be true or false.", param=name)
    _refuse_unowned(body)
    options = body.get("background_options")
    window = options.get("completion_window") if isinstance(options, dict) else options
    if window not in _SOONEST:
        raise BadRequest(
            "background_options.completion_window must be 'soonest': what the other windows cost"
            " is not in the price list.",
            param="background_options.completion_window",
        )
    _check_tools(body.get("tools"))


def _refuse_unowned(body: Mapping[str, Any]) -> None:
    if body.get("prompt") is not None:
        raise NotFound(
            "No such prompt: prompts stored with the provider belong to no client here. Send their"
            " text in instructions and input.",
            param="prompt",
        )
    if body.get("conversation") is not None:
        raise NotFound(
            "No such conversation: Faregate does not serve the Conversations API. Continue from"
            " a response with previous_response_id.",
            param="conversation",
        )


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list.", param="tools")
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in TOOL_TYPES and kind not in WEB_SEARCH_TOOLS:
            raise BadRequest(
                f"tools[{index}].type must be one of {', '.join(TOOL_TYPES)}, web_search: what"
                f" other tools that the provider runs ({str(kind)[:40]!r}) do and cost cannot be"
                " bounded here.",
                param=f"tools[{index}].type",
            )


def searches_web(body: Mapping[str, Any]) -> bool:
    """Whether the provider may search the web to answer ``body``."""
    # OpenAI's search models search on every request, whether or not it offers the tool.
    return _offers(body, WEB_SEARCH_TOOLS) or "-search-" in str(body.get("model"))


def refuse_dearer_searches(body: Mapping[str, Any], facts: ModelFacts) -> None:
    """Raise BadRequest for a search whose fee is another than that of the price list.

    Searches by the preview of the tool cost more with models that do not reason. Source:
    OpenAI, "Pricing", built-in tools.
    """
    if not facts.reasoning and _offers(body, _SEARCH_PREVIEWS):
        raise BadRequest(
            f"What {_SEARCH_PREVIEWS[0]} costs with {facts.name} is not in the price list. Use the"
            " tool web_search.",
            param="tools",
        )


def _offers(body: Mapping[str, Any], types: Sequence[str]) -> bool:
    tools = body.get("tools")
    return any(
        isinstance(tool, dict) and tool.get("type") in types
        for tool in (tools if isinstance(tools, list) else [])
    )
