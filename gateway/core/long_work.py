"""Work that outlives its request: batches, fine-tuning jobs, background responses.

Its hold is kept until the provider says what it cost. What is needed to settle it then, and to
place the hold again in a Redis that has lost it, is written down with the object (``work``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.endings import hold_fields, hold_from
from gateway.core.holds import Hold

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
        return {
            **hold_fields(self.hold),
            "price_id": self.price_id,
            "tier": self.tier,
            "details": dict(self.details),
        }


def work_from(fields: Mapping[str, Any]) -> Work:
    """The work that ``as_fields`` wrote. Raises KeyError, TypeError or ValueError."""
    return Work(hold_from(fields), fields["price_id"], str(fields["tier"]), dict(fields["details"]))
