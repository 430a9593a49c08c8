"""Work that outlives its request: batches, fine-tuning jobs, background responses.

Its hold is kept until the provider says what it cost. What is needed to settle it then, and to
place the hold again in a Redis that has lost it, is written down with the object (``work``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.holds import Hold, RateState

LEASE_SECONDS = 30 * 24 * 3600
"""How long a hold of long-lived work outlives its follower. Far above the longest work (a batch
has 24 hours), so that a follower that is down for a week charges nobody."""


@dataclass(frozen=True, slots=True)
class Work:
    """What settles one piece of long-lived work. Amounts in nano-dollars.

    ``details`` are the endpoint's own: what the follower of its kind needs besides.
    """

    hold: Hold
    price_id: int | None
    tier: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_fields(self) -> dict[str, Any]:
        """The work as JSON fields."""
        hold = self.hold
        return {
            "request_id": hold.request_id,
            "client_id": hold.client_id,
            "model": hold.model,
            "windows": [list(window) for window in hold.budget_windows],
            "granted": hold.granted_output_tokens,
            "amount": hold.amount_nano,
            "at": hold.reserved_at_ms,
            "placed_on": hold.placed_on,
            "context": json.loads(hold.context),
            "price_id": self.price_id,
            "tier": self.tier,
            "details": dict(self.details),
        }


def work_from(fields: Mapping[str, Any]) -> Work:
    """The work that ``as_fields`` wrote. Raises KeyError, TypeError or ValueError."""
    hold = Hold(
        request_id=str(fields["request_id"]),
        client_id=int(fields["client_id"]),
        model=str(fields["model"]),
        budget_windows=tuple((int(b), int(start)) for b, start in fields["windows"]),
        granted_output_tokens=int(fields["granted"]),
        amount_nano=int(fields["amount"]),
        reserved_at_ms=int(fields["at"]),
        left_nano=-1,
        rates=RateState(),
        placed_on=str(fields["placed_on"]),
        context=json.dumps(fields["context"], separators=(",", ":")).encode(),
    )
    return Work(hold, fields["price_id"], str(fields["tier"]), dict(fields["details"]))
