"""Turns a refusal into an error that says what was asked, what the limit is and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gateway.core.bounds import Bound
from gateway.core.budgets import FOREVER_MS
from gateway.core.errors import OverBudget, RateLimited
from gateway.core.holds import BudgetRefused, RateRefused, RateState
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.policy import Client

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's SDKs not to try again by themselves."""


def over_budget(refused: BudgetRefused, bound: Bound) -> OverBudget:
    """The 429 of a budget that cannot afford a request."""
    budget, window = refused.budget, refused.window
    left = max(budget.limit_nano - refused.spent_nano - refused.held_nano, 0)
    needed = bound.least_nano
    resets_at = None
    if window.end_ms >= FOREVER_MS:
        reset = "It does not reset"
    else:
        moment = datetime.fromtimestamp(window.end_ms / 1000, tz=UTC)
        resets_at = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        local = moment.astimezone(ZoneInfo(budget.time_zone)).strftime("%Y-%m-%d %H:%M")
        reset = f"It resets at {local} {budget.time_zone}"
    advice = "ask a platform engineer to raise it"
    if bound.floor_output_tokens and refused.affordable_output_tokens > 0:
        advice = f"ask for at most {refused.affordable_output_tokens} output tokens, or {advice}"
    on = budget.scope.value if budget.tag is None else f"{budget.scope.value}, tag {budget.tag}"
    span = "in total" if budget.window == "total" else f"per {budget.window.value}"
    return OverBudget(
        f"Budget {budget.name!r} ({on}, {display_usd(budget.limit_nano)} {span})"
        f" has {display_usd(left)} left: {display_usd(refused.spent_nano)} spent and"
        f" {display_usd(refused.held_nano)} held by requests in flight. This request can cost"
        f" {display_usd(needed)}. {reset}; {advice}.",
        headers=NO_RETRY,
        budget_id=budget.id,
        details={
            "budget": {
                "name": budget.name,
                "scope": budget.scope.value,
                "tag": budget.tag,
                "window": budget.window.value,
                "limit_usd": usd_from_nano(budget.limit_nano),
                "spent_usd": usd_from_nano(refused.spent_nano),
                "held_usd": usd_from_nano(refused.held_nano),
                "estimate_usd": usd_from_nano(needed),
                "affordable_output_tokens": refused.affordable_output_tokens,
                "resets_at": resets_at,
            }
        },
    )


def rate_limited(refused: RateRefused, client: Client, bound: Bound) -> RateLimited:
    """The 429 of a rate limit."""
    wait_s = max(-(-refused.wait_ms // 1000), 1)
    if refused.limit == "concurrent":
        return RateLimited(
            f"Client {client.name!r} has {client.concurrent_requests} requests in flight, its"
            " limit. Wait for one to finish.",
            headers={"retry-after": "1"},
        )
    if refused.limit == "requests":
        return RateLimited(
            f"Client {client.name!r} has reached its limit of {client.requests_per_minute}"
            f" requests per minute. Try again in {wait_s} s.",
            headers={"retry-after": str(wait_s), "retry-after-ms": str(refused.wait_ms)},
        )
    if refused.wait_ms < 0:
        return RateLimited(
            f"This request has about {bound.input_tokens} prompt tokens, more than the"
            f" {client.tokens_per_minute} tokens per minute that client {client.name!r} may use."
            " Shorten the prompt.",
            headers=NO_RETRY,
        )
    return RateLimited(
        f"Client {client.name!r} has reached its limit of {client.tokens_per_minute} tokens per"
        f" minute ({refused.left} left, about {bound.input_tokens} needed for the prompt alone)."
        f" Try again in {wait_s} s.",
        headers={"retry-after": str(wait_s), "retry-after-ms": str(refused.wait_ms)},
    )


def rate_headers(client: Client, rates: RateState) -> dict[str, str]:
    """OpenAI's ``x-ratelimit-*`` headers, for the client's own limits."""
    headers = {}
    if client.requests_per_minute:
        headers["x-ratelimit-limit-requests"] = str(client.requests_per_minute)
        headers["x-ratelimit-remaining-requests"] = str(max(rates.requests_left, 0))
        headers["x-ratelimit-reset-requests"] = _duration(rates.requests_reset_ms)
    if client.tokens_per_minute:
        headers["x-ratelimit-limit-tokens"] = str(client.tokens_per_minute)
        headers["x-ratelimit-remaining-tokens"] = str(max(rates.tokens_left, 0))
        headers["x-ratelimit-reset-tokens"] = _duration(rates.tokens_reset_ms)
    return headers


def _duration(milliseconds: int) -> str:
    """As OpenAI writes it: ``120ms``, ``6s``, ``1m0s``."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = -(-milliseconds // 1000)
    return f"{seconds}s" if seconds < 60 else f"{seconds // 60}m{seconds % 60}s"
