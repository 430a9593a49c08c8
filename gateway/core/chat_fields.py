"""The parameters of requests: which are known, and which cannot be bounded.

Fields that are not known go on to OpenAI, so that its new features work on the day they come;
their text is counted as prompt, in case the provider puts it there. Other servers of the same
API take parameters of their own, some of which override the output maximum that makes a bound
true; there they are refused unless the deployment says otherwise (FAREGATE_UNKNOWN_FIELDS).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
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

KNOWN_OF_EMBEDDINGS = frozenset(("dimensions", "encoding_format", "input", "model", "user"))
"""OpenAI API reference, "Create embeddings"."""

_OWN_MAXIMUM = "some servers obey it instead of the output maximum that the cost is held for"
_MORE_ANSWERS = "it multiplies the output without showing it; use n"
_THINKING = "some providers bill thinking beyond the output maximum"
_OTHER_MODEL = "it lets another model answer than the one that was priced"
_INPUT = "what it adds to the input is not known beforehand"
_ANY_PROMPT = "a template can write any prompt"

UNBOUNDED = {
    "n_predict": _OWN_MAXIMUM,
    "num_predict": _OWN_MAXIMUM,
    "max_new_tokens": _OWN_MAXIMUM,
    "max_output_tokens": _OWN_MAXIMUM,
    "max_response_output_tokens": _OWN_MAXIMUM,
    "max_gen_len": _OWN_MAXIMUM,
    "max_length": _OWN_MAXIMUM,
    "max_tokens_to_sample": _OWN_MAXIMUM,
    "min_tokens": "it asks for output beyond the maximum that the cost is held for",
    "min_new_tokens": "it asks for output beyond the maximum that the cost is held for",
    "min_length": "it asks for output beyond the maximum that the cost is held for",
    "extra_body": "what is inside can override everything that the cost is held for",
    "options": "what is inside can override everything that the cost is held for",
    "sampling_params": "what is inside can override everything that the cost is held for",
    "generation_config": "what is inside can override everything that the cost is held for",
    "vllm_xargs": "what is inside can override everything that the cost is held for",
    "best_of": _MORE_ANSWERS,
    "n_cmpl": _MORE_ANSWERS,
    "num_completions": _MORE_ANSWERS,
    "num_return_sequences": _MORE_ANSWERS,
    "use_beam_search": _MORE_ANSWERS,
    "num_beams": _MORE_ANSWERS,
    "enable_thinking": _THINKING,
    "thinking_budget": _THINKING,
    "models": _OTHER_MODEL,
    "fallbacks": _OTHER_MODEL,
    "route": _OTHER_MODEL,
    "preset": _OTHER_MODEL,
    "provider": "it lets a provider answer whose prices are others",
    "enable_search": "searches and their results are billed and not known beforehand",
    "search_options": "searches and their results are billed and not known beforehand",
    "data_sources": _INPUT,
    "prompt_embeds": _INPUT,
    "mm_processor_kwargs": "it changes how many tokens an image is",
    "chat_template_kwargs": _ANY_PROMPT,
    "plugins": "their fees and their input are not known beforehand",
    "search_parameters": "searches and their results are billed and not known beforehand",
    "documents": "retrieved documents are input that is not known beforehand",
    "chat_template": _ANY_PROMPT,
}
"""Parameters of other OpenAI-compatible providers whose cost has no bound, and why.

Sources: llama.cpp ``tools/server/README.md`` (``n_predict``, ``n_cmpl``); vLLM
``ChatCompletionRequest`` and ``SamplingParams``; Ollama, SGLang, DashScope ("OpenAI
compatible": ``enable_search``, ``thinking_budget``), OpenRouter and Azure API references.
"""

TOOL_TYPES = ("function", "custom")


def refuse_unknown(body: Mapping[str, Any], known: Set[str]) -> None:
    """Raise BadRequest for a field that is not in ``known``, naming it and the setting."""
    for name in body.keys() - known:
        # Those that are refused anyway have better reasons.
        if body[name] is not None and name not in UNBOUNDED:
            raise BadRequest(
                f"Faregate does not know the field {name[:64]!r}, and this deployment's provider"
                " might take it for something that costs more than was counted. Leave it out; a"
                " platform engineer can let such fields pass (FAREGATE_UNKNOWN_FIELDS=pass).",
                param=name[:64],
            )


def refuse_unbounded_fields(body: Mapping[str, Any], known: Set[str] = frozenset()) -> None:
    """Raise BadRequest for a parameter that can cost more than was counted.

    ``known`` are the endpoint's own, which it bounds itself.
    """
    for name, why in UNBOUNDED.items():
        if name not in known and body.get(name) is not None:
            raise BadRequest(
                f"Faregate cannot bound the cost of {name}: {why}. Leave it out.", param=name
            )


def refuse_unbounded(body: Mapping[str, Any]) -> None:
    """Raise BadRequest for a parameter or a tool that can cost more than was counted."""
    refuse_unbounded_fields(body)
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in TOOL_TYPES:
            raise BadRequest(
                f"tools[{index}].type must be one of {', '.join(TOOL_TYPES)}: tools that the"
                " provider runs have fees that cannot be bounded here.",
                param=f"tools[{index}].type",
            )
