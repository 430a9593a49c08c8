"""What a meter tells of an answer, whichever endpoint gave it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.objects import Found
from gateway.core.usage import InvalidUsage, Usage, usage_from_chat


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says about itself. ``usage`` is None where it reports none to believe."""

    usage: Usage | None
    service_tier: str | None
    certain: bool = True
    """Whether ``usage`` is what was billed; else it is an upper bound of that."""


def read_answer(payload: object) -> Reading:
    """The reading of a whole, parsed answer."""
    if not isinstance(payload, dict):
        return Reading(None, None)
    try:
        usage = usage_from_chat(payload.get("usage"))
    except InvalidUsage:
        usage = None
    tier = payload.get("service_tier")
    return Reading(usage, tier if isinstance(tier, str) else None)


class StreamMeter(Protocol):
    """Follows one streamed answer, event by event."""

    usage: Usage | None
    service_tier: str | None
    done: bool
    """Whether the provider has said that nothing follows."""
    complete: bool
    """Whether ``usage`` is of the whole answer."""
    failed: bool
    """Whether the provider has said that it failed."""
    kept_bytes: int
    """Bytes of the answer that have come."""
    found: list[Found]
    """Objects that the answer has named and that have no owner yet; whoever notes them takes
    them out."""

    def take(self, event: bytes) -> bytes:
        """What to pass on of ``event``: itself, a part of it, or nothing."""
        ...

    def output_tokens_counted(self, count: Callable[[str], int]) -> int | None:
        """An upper bound of the output generated so far; None where it cannot be counted."""
        ...


class BytesMeter(Protocol):
    """Follows one answer in bytes that do not say what they cost."""

    def hear(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def reading(self, size: int, whole: bool) -> Reading:
        """The usage, by how many bytes came and whether the provider ended them in order."""
        ...
