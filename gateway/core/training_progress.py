"""How a fine-tuning job is going, and what it cost once it has ended.

A job is billed by its ``trained_tokens``, also where it was cancelled half-way ("The total
number of billable tokens processed by this fine-tuning job", OpenAI API reference). One that
failed before it trained says none and is not billed. One that was cancelled and says none may
have trained, so its hold is charged and marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core import outcomes
from gateway.core.long_work import Work
from gateway.core.named_objects import checkpoint_models, results_of_job
from gateway.core.objects import Found, OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import Price
from gateway.core.progress import Asking, Gone, PriceOf, Progress, held
from gateway.core.usage import Certainty, InvalidUsage, usage_from_fine_tuning

ENDED = frozenset(("succeeded", "failed", "cancelled"))
PAGES_MAX = 20
PAGE_SIZE = 100


def follow_job(asking: Asking, one: OwnedObject, work: Work, price_of: PriceOf) -> Progress:
    """The progress of one job; its outcome once it has ended."""
    job = asking.json(f"/fine_tuning/jobs/{one.id}")
    if job.get("id") != one.id:
        return Progress()
    found = list(results_of_job(job))
    if job.get("status") not in ENDED:
        return Progress(job, found)
    found += _checkpoints(asking, one.id)
    return Progress(job, found, _outcome(job, work, price_of(work.price_id)))


def _checkpoints(asking: Asking, job_id: str) -> list[Found]:
    """The models of all checkpoints of a job; none where the provider knows no checkpoints."""
    found: list[Found] = []
    path = f"/fine_tuning/jobs/{job_id}/checkpoints?limit={PAGE_SIZE}"
    after = ""
    for _ in range(PAGES_MAX):
        try:
            page = asking.json(path + after)
        except Gone:
            break
        found += checkpoint_models(page)
        last = page.get("last_id")
        if not page.get("has_more") or not isinstance(last, str):
            break
        after = f"&after={last}"
    return found


def _outcome(job: Mapping[str, Any], work: Work, price: Price | None) -> Outcome:
    facts: dict[str, Any] = {"status": 200}
    try:
        usage = usage_from_fine_tuning(job)
    except InvalidUsage:
        return held(work, "usage_not_reported")
    if usage is not None:
        found = None if price is None else outcomes.exact(price, usage, work.tier, 0, **facts)
        return found or held(work, "not_priced")
    if job.get("status") == "failed":
        return Outcome(200, Certainty.EXACT, 0, service_tier=work.tier, reason="job_failed")
    return held(work, "usage_not_reported")
