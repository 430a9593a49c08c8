"""Worst-case cost of a response, and the rewriting that makes the worst case true.

A response that may search the web is several passes of the model: each call of the tool has a
fee, and puts results into the prompt of the next pass. ``max_tool_calls`` limits the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.core.bounds import (
    OUTPUT_TOKENS_MAX,
    Bound,
    BoundRules,
    checked,
    context_window_of,
    output_nano,
    output_tokens_max,
    prompt_nano,
    tier_to_write_for,
    tiers_of,
    unpriced,
    wanted_output,
)
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest
from gateway.core.money import divide_up
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Unpriced
from gateway.core.request_fields import integer_of
from gateway.core.response_fields import (
    TOOL_CALLS_MAX,
    WEB_SEARCH_CALLS_DEFAULT,
    refuse_dearer_searches,
    searches_web,
)
from gateway.core.tokens import PromptBound

_LIMIT_FIELD = "max_output_tokens"

_FORMS = (Meter.OUTPUT, Meter.IMAGE_OUTPUT)
"""What an answer may be made of: models that draw do so unasked."""


def bound_response(
    body: Mapping[str, Any],
    price: Price,
    facts: ModelFacts,
    prompt: PromptBound,
    client: Client,
    rules: BoundRules,
) -> Bound:
    """The bound of a response. Raises BadRequest or ModelUnpriced where none exists."""
    refuse_dearer_searches(body, facts)
    calls = integer_of(body, "max_tool_calls", 1, TOOL_CALLS_MAX)
    calls = (calls or WEB_SEARCH_CALLS_DEFAULT) if searches_web(body) else 0
    asked = integer_of(body, _LIMIT_FIELD, 1, OUTPUT_TOKENS_MAX)
    wanted, floor = wanted_output(asked, price, facts, prompt.tokens, client, rules, _LIMIT_FIELD)
    return _bound(
        body,
        price,
        facts,
        prompt,
        rules,
        calls=calls,
        wanted=wanted,
        floor=floor,
        limit_field=_LIMIT_FIELD,
    )


def bound_compaction(
    body: Mapping[str, Any],
    price: Price,
    facts: ModelFacts,
    prompt: PromptBound,
    rules: BoundRules,
) -> Bound:
    """The bound of compacting a conversation, which has no maximum that could be written.

    Its output is bounded by the most that the model can answer. Raises BadRequest or
    ModelUnpriced where there is no bound.
    """
    most = output_tokens_max(price, facts)
    if most is None:
        raise BadRequest(
            f"The most that {price.model} can answer is not known, so the cost of a compaction by"
            " it cannot be bounded.",
            param="model",
        )
    return _bound(
        body, price, facts, prompt, rules, calls=0, wanted=most, floor=most, limit_field=None
    )


def _bound(
    body: Mapping[str, Any],
    price: Price,
    facts: ModelFacts,
    prompt: PromptBound,
    rules: BoundRules,
    *,
    calls: int,
    wanted: int,
    floor: int,
    limit_field: str | None,
) -> Bound:
    tiers = tiers_of(body, price, rules)
    tokens = prompt.tokens
    if prompt.hidden or calls:
        hidden = prompt.hidden or ("web search results",)
        tokens = max(tokens, context_window_of(price, facts, hidden, body.get("model"), "input"))
    # Each call is followed by another pass over the prompt.
    tokens *= calls + 1
    prompt = replace(prompt, image_tokens=prompt.image_tokens * (calls + 1))
    try:
        fixed = prompt_nano(price, tiers, tokens, prompt)
        output = max(output_nano(price, tier, tokens, _FORMS) for tier in tiers)
        if calls:
            rates = [price.rate(tier, Meter.WEB_SEARCH_CALLS) for tier in tiers]
            fixed += max(divide_up(r.highest_up_to(tokens) * calls, r.per) for r in rates)
    except Unpriced as error:
        raise unpriced(price, str(error)) from error
    return checked(
        Bound(
            input_tokens=tokens,
            fixed_nano=fixed,
            output_token_nano=output,
            wanted_output_tokens=wanted,
            floor_output_tokens=floor,
            limit_field=limit_field,
            tier=tiers[0],
            tier_to_write=tier_to_write_for(body, price, tiers[0], rules),
            tool_calls=calls,
        )
    )


def rewritten_response(body: Mapping[str, Any], bound: Bound, granted: int) -> dict[str, Any]:
    """The request to forward: the granted maximum, the calls and the tier held for."""
    forwarded = dict(body)
    if bound.limit_field is not None:
        forwarded[bound.limit_field] = granted
    if bound.tool_calls:
        forwarded["max_tool_calls"] = bound.tool_calls
    if bound.tier_to_write is not None:
        forwarded["service_tier"] = bound.tier_to_write
    return forwarded
