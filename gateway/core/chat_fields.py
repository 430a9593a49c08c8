"""The parameters of a chat completion: which are known, and which cannot be bounded.

Fields that are not known go on to the provider, so that its new features work on the day they
come. Their text is counted as prompt, in case the provider puts it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import BadRequest

KNOWN = frozenset(
    (
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    )
)
"""OpenAI API reference, "Create chat completion"."""

UNBOUNDED = {
    "best_of": "it multiplies the output without showing it; use n",
    "models": "it lets another model answer than the one that was priced",
    "fallbacks": "it lets another model answer than the one that was priced",
    "route": "it lets another model answer than the one that was priced",
    "plugins": "their fees and their input are not known beforehand",
    "search_parameters": "searches and their results are billed and not known beforehand",
    "documents": "retrieved documents are input that is not known beforehand",
    "chat_template": "a template can write any prompt",
}
"""Parameters of other OpenAI-compatible providers whose cost has no bound, and why."""

TOOL_TYPES = ("function", "custom")


def refuse_unbounded(body: Mapping[str, Any]) -> None:
    """Raise BadRequest for a parameter or a tool that can cost more than was counted."""
    for name, why in UNBOUNDED.items():
        if body.get(name) is not None:
            raise BadRequest(
                f"Faregate cannot bound the cost of {name}: {why}. Leave it out.", param=name
            )
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in TOOL_TYPES:
            raise BadRequest(
                f"tools[{index}].type must be one of {', '.join(TOOL_TYPES)}: tools that the"
                " provider runs have fees that cannot be bounded here.",
                param=f"tools[{index}].type",
            )
