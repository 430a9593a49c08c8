"""How far a background response has come, and what it cost once it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core import outcomes
from gateway.core.long_work import Work
from gateway.core.objects import OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.progress import Asking, PriceOf, Progress
from gateway.core.response_meter import items_of, read_response
from gateway.core.usage import Certainty

_ENDED = ("completed", "failed", "incomplete", "cancelled")
"""The statuses that a response stays in. Source: OpenAI API reference, "The response object"."""


def follow_response(asking: Asking, one: OwnedObject, work: Work, price_of: PriceOf) -> Progress:
    """Ask the provider about one background response. Raises the SDK's errors.

    A response that ended without usage, as cancelled ones do, costs its whole hold, marked
    unknown: the provider bills what had been generated, does not say how much that was, and
    looks the same whether it had begun or was still queued.
    """
    answer = asking.json(f"/responses/{one.id}")
    if answer.get("status") not in _ENDED:
        return Progress()
    return Progress(found=items_of(answer, stored=True), outcome=_outcome(answer, work, price_of))


def _outcome(answer: Mapping[str, Any], work: Work, price_of: PriceOf) -> Outcome:
    reading = read_response(answer)
    price = price_of(work.price_id)
    tier = reading.service_tier or work.tier
    facts: dict[str, Any] = {"status": 200, "duration_ms": _duration_ms(answer)}
    if reading.usage is not None and price is not None:
        found = outcomes.exact(price, reading.usage, tier, 0, **facts)
        if found is not None:
            return found
    reported = reading.usage is not None
    return Outcome(
        certainty=Certainty.ESTIMATED if reported else Certainty.UNKNOWN,
        cost_nano=work.hold.amount_nano,
        usage=reading.usage,
        service_tier=tier,
        reason="not_priced" if reported else f"usage_not_reported_{answer['status']}",
        **facts,
    )


def _duration_ms(answer: Mapping[str, Any]) -> int | None:
    began, ended = answer.get("created_at"), answer.get("completed_at")
    if isinstance(began, int | float) and isinstance(ended, int | float) and ended >= began:
        return int((ended - began) * 1000)
    return None
