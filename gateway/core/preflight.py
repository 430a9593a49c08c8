"""The answer of a preflight: what a request can cost, whether it would be admitted, and why.

Amounts are decimal US dollars, exact to the nano-dollar, in strings, as everywhere in the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

from gateway.core.bounds import Bound
from gateway.core.budgets import FOREVER_MS, Budget
from gateway.core.errors import ApiError
from gateway.core.holds import BudgetLook, Look
from gateway.core.money import usd_from_nano
from gateway.core.policy import Client

OBJECT = "faregate.preflight"

_MINUTE_US = 60_000_000


def answer(
    endpoint: str, model: str, client: Client, bound: Bound, look: Look, refusal: ApiError | None
) -> dict[str, Any]:
    """The JSON of a preflight. ``refusal`` is the error that the request would get now."""
    granted = 0 if look.hold is None else look.hold.granted_output_tokens
    return {
        "object": OBJECT,
        "endpoint": endpoint,
        "model": model,
        "service_tier": bound.tier,
        "admitted": look.hold is not None,
        "refusal": None
        if refusal is None
        else {"status": refusal.status, **refusal.envelope()["error"]},
        "output_tokens": {
            "wanted": bound.wanted_output_tokens,
            "least": bound.floor_output_tokens,
            "granted": granted,
            "choices": bound.choices,
        },
        "cost": _cost(bound, look),
        "decided_by": None if look.decides is None else look.decides.name,
        "budgets": [_budget(one, look.decides) for one in look.budgets],
        "rate_limits": _rate_limits(client, bound, look),
    }


def _cost(bound: Bound, look: Look) -> dict[str, Any]:
    """Costs by what they are at most with the tokens granted, or wanted where none are."""
    tokens = bound.wanted_output_tokens if look.hold is None else look.hold.granted_output_tokens
    at_most = bound.nano_for(tokens)
    return {
        "at_most_usd": usd_from_nano(at_most),
        "at_most_if_all_is_granted_usd": usd_from_nano(bound.worst_nano),
        "lines": [
            {
                "line": "input_and_fees",
                "input_tokens": bound.input_tokens,
                "web_search_calls": bound.web_search_calls,
                "tool_calls": bound.tool_calls,
                "at_most_usd": usd_from_nano(bound.fixed_nano),
            },
            {
                "line": "output",
                "output_tokens": tokens * bound.choices,
                "usd_per_token": usd_from_nano(bound.output_token_nano),
                "at_most_usd": usd_from_nano(at_most - bound.fixed_nano),
            },
        ],
        "expected": _expected(bound, look, at_most),
    }


def _expected(bound: Bound, look: Look, at_most: int) -> dict[str, Any] | None:
    """What requests of this client to this model have needed so far; None where there were none,
    or where output costs nothing.

    The input is at its bound all the same: what will be cached nobody knows.
    """
    mean, deviation = look.mean_output_tokens, look.deviation_output_tokens
    if mean is None or deviation is None or not bound.output_token_nano:
        return None
    usual = ceil(mean)
    cost = bound.fixed_nano + bound.output_token_nano * usual
    return {
        "output_tokens": usual,
        "cost_usd": usd_from_nano(min(cost, at_most)),
        # As reserve.lua reckons it for budgets that hold the expected cost.
        "output_tokens_almost_always_below": ceil(mean + 4 * deviation),
    }


def _budget(look: BudgetLook, decides: Budget | None) -> dict[str, Any]:
    budget = look.budget
    left = budget.limit_nano - look.spent_nano - look.held_nano
    holds = look.would_hold_nano
    return {
        "name": budget.name,
        "scope": budget.scope.value,
        "tag": budget.tag,
        "model_pattern": budget.model_pattern,
        "window": budget.window.value,
        "enforcement": budget.enforcement.value,
        "limit_usd": usd_from_nano(budget.limit_nano),
        "spent_usd": usd_from_nano(look.spent_nano),
        "held_usd": usd_from_nano(look.held_nano),
        "left_usd": usd_from_nano(left),
        "would_hold_usd": None if holds < 0 else usd_from_nano(holds),
        "left_after_usd": None if holds < 0 else usd_from_nano(left - holds),
        "resets_at": _resets_at(look.window.end_ms),
        "decides": decides is not None and decides.id == budget.id,
    }


def _resets_at(end_ms: int) -> str | None:
    if end_ms >= FOREVER_MS:
        return None
    return datetime.fromtimestamp(end_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rate_limits(client: Client, bound: Bound, look: Look) -> Mapping[str, Any]:
    """How each limit of the client stands before the request; None where there is none."""
    tokens = _rate(client.tokens_per_minute, look.tokens_busy_us)
    if tokens is not None:
        tokens["input_tokens"] = bound.input_tokens
    concurrent = None
    if client.concurrent_requests:
        concurrent = {"limit": client.concurrent_requests, "in_flight": look.in_flight}
    return {
        "requests_per_minute": _rate(client.requests_per_minute, look.requests_busy_us),
        "tokens_per_minute": tokens,
        "concurrent_requests": concurrent,
    }


def _rate(limit: int, busy_us: int) -> dict[str, Any] | None:
    """What is left of a limit per minute: a minute's worth, less the time that is taken."""
    if not limit:
        return None
    left = max(_MINUTE_US - busy_us, 0) * limit // _MINUTE_US
    return {"limit": limit, "left": left, "resets_in_ms": -(-busy_us // 1000)}
