"""Worst-case cost of a legacy completion, and the rewriting that makes the worst case true.

A request may have many prompts, and each has as many answers made as ``n`` or ``best_of`` says.
Source: OpenAI API reference, "Create completion".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.bounds import (
    CHOICES_MAX,
    OUTPUT_TOKENS_MAX,
    UNKNOWN_INPUT_TOKENS,
    Bound,
    BoundRules,
    checked,
    output_nano,
    prompt_nano,
    tier_to_write_for,
    tiers_of,
    unpriced,
)
from gateway.core.catalog import ModelFacts
from gateway.core.definitions import compact_json
from gateway.core.errors import BadRequest
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Unpriced
from gateway.core.request_fields import integer_of
from gateway.core.tokens import Count, PromptBound, count_embedding_input

OUTPUT_TOKENS_DEFAULT = 16
"""What ``max_tokens`` is where it is not set. Source: OpenAI API reference."""

EMPTY_PROMPT_TOKENS = 1
"""No prompt stands for ``<|endoftext|>``, the start of a document."""

_LIMIT_FIELD = "max_tokens"

KNOWN = frozenset(
    (
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    )
)
"""OpenAI API reference, "Create completion"."""


def count_prompts(body: Mapping[str, Any], facts: ModelFacts, count: Count) -> list[int]:
    """The most tokens of each prompt, its suffix included. Raises BadRequest.

    Unlike a chat, a prompt is sent as it is, with nothing around it. Fields that are not known
    here are counted as text of each, in case the provider puts it there.
    """
    prompt = body.get("prompt")
    suffix = body.get("suffix")
    if not isinstance(suffix, str | None):
        raise BadRequest("suffix must be a string.", param="suffix")
    beside = count(suffix) if suffix else 0
    beside += sum(count(compact_json(body[name], name)) for name in body.keys() - KNOWN)
    if not facts.tokenizer_known:
        beside += UNKNOWN_INPUT_TOKENS
    if prompt is None or prompt == []:
        return [EMPTY_PROMPT_TOKENS + beside]
    try:
        counts = count_embedding_input(prompt, count)
    except BadRequest as error:
        raise BadRequest(
            error.message.replace("input", "prompt", 1),
            param=(error.param or "prompt").replace("input", "prompt", 1),
        ) from None
    return [max(tokens, EMPTY_PROMPT_TOKENS) + beside for tokens in counts]


def bound_completion(
    body: Mapping[str, Any],
    price: Price,
    prompts: Sequence[int],
    client: Client,
    rules: BoundRules,
) -> Bound:
    """The bound of a completion whose prompts have at most ``prompts`` tokens each.

    Raises BadRequest or ModelUnpriced where none exists.
    """
    answers = max(
        integer_of(body, "n", 1, CHOICES_MAX) or 1, integer_of(body, "best_of", 1, CHOICES_MAX) or 1
    )
    asked = integer_of(body, _LIMIT_FIELD, 0, OUTPUT_TOKENS_MAX)
    wanted = OUTPUT_TOKENS_DEFAULT if asked is None else asked
    floor = wanted
    if asked is None or client.clamp_output:
        floor = min(client.output_floor_tokens or rules.output_floor_tokens, wanted)
    tiers = tiers_of(body, price, rules)
    tokens = sum(prompts)
    try:
        fixed = prompt_nano(price, tiers, tokens, PromptBound(tokens))
        output = max(output_nano(price, tier, tokens, (Meter.OUTPUT,)) for tier in tiers)
    except Unpriced as error:
        raise unpriced(price, str(error)) from error
    if body.get("echo"):
        # Whether a prompt that is given back counts as output is not published.
        fixed += tokens * answers * output
    return checked(
        Bound(
            input_tokens=tokens,
            fixed_nano=fixed,
            output_token_nano=output,
            choices=answers * len(prompts),
            wanted_output_tokens=wanted,
            floor_output_tokens=floor,
            limit_field=_LIMIT_FIELD,
            tier=tiers[0],
            tier_to_write=tier_to_write_for(body, price, tiers[0], rules),
        )
    )


def rewritten_completion(body: Mapping[str, Any], bound: Bound, granted: int) -> dict[str, Any]:
    """The request to forward: the granted maximum, the tier held for, and stream usage asked."""
    forwarded = {**body, _LIMIT_FIELD: granted}
    if bound.tier_to_write is not None:
        forwarded["service_tier"] = bound.tier_to_write
    if forwarded.get("stream"):
        forwarded["stream_options"] = {
            **(forwarded.get("stream_options") or {}),
            "include_usage": True,
        }
    return forwarded
