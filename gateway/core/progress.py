"""How far a piece of long-lived work has come, as the provider says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.core.long_work import Work
from gateway.core.objects import Found, OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import Price
from gateway.core.usage import Certainty


class Gone(LookupError):
    """The provider does not have what was asked for: it was deleted, or has expired."""


class Asking(Protocol):
    """Reads from the provider. Raises the SDK's errors."""

    def json(self, path: str) -> Mapping[str, Any]:
        """The object at ``path`` below the base URL. Raises Gone."""
        ...

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of the content at ``path``. Raises Gone."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What is new about one piece of work."""

    data: Mapping[str, Any] | None = None
    """The object as the provider describes it now, where that is kept for lists."""
    found: Sequence[Found] = ()
    """What the work has made: output files, fine-tuned models. They belong to its owner."""
    outcome: Outcome | None = None
    """What it cost; None while it goes on."""


PriceOf = Callable[[int | None], Price | None]
"""The price row of an id."""

Follow = Callable[[Asking, OwnedObject, Work, PriceOf], Progress]
"""Asks the provider how one piece of work is going."""


def held(work: Work, reason: str) -> Outcome:
    """The whole hold, where the provider has billed and what it billed cannot be told."""
    return Outcome(
        status=200,
        certainty=Certainty.ESTIMATED,
        cost_nano=work.hold.amount_nano,
        service_tier=work.tier,
        reason=reason,
    )
