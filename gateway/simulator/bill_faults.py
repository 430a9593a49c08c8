"""Errors planted in the simulated provider's bill, for checks of what finds them.

The truth log stays true: only the bill, and the usage reported with it, deviate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fnmatch import fnmatchcase
from fractions import Fraction

HOUR = 3_600


class Rounding(StrEnum):
    """How amounts are written."""

    EXACT = "exact"
    """The nearest float."""
    NOISE = "noise"
    """A float that was summed up minute by minute, with the errors of that."""
    CENTS = "cents"
    """Rounded to whole cents."""


@dataclass(frozen=True, slots=True)
class PriceChange:
    """From ``start`` (seconds since 1970) models that match cost ``factor`` times as much."""

    start: int
    pattern: str
    factor: Fraction


@dataclass(frozen=True, slots=True)
class BillFaults:
    """What is wrong with the bill."""

    cached_factor: Fraction = Fraction(1)
    """What cached input is billed at, as a multiple of its price."""
    omitted_hours: frozenset[int] = frozenset()
    """Starts of hours (seconds since 1970) that are neither billed nor reported."""
    price_changes: tuple[PriceChange, ...] = ()
    rounding: Rounding = Rounding.EXACT

    def omits(self, at: float) -> bool:
        """Whether the bill says nothing of this moment."""
        return int(at) // HOUR * HOUR in self.omitted_hours

    def factor(self, model: str, item: str, at: int) -> Fraction:
        """What to multiply the true amount of a line by."""
        factor = self.cached_factor if item.startswith("cached") else Fraction(1)
        for change in self.price_changes:
            if at >= change.start and fnmatchcase(model, change.pattern):
                factor *= change.factor
        return factor


def bill_faults(
    cached_percent: str | None = None,
    omit_hours: Sequence[str] = (),
    price_changes: Sequence[str] = (),
    rounding: str = Rounding.EXACT,
) -> BillFaults:
    """The faults that the options of the command line ask for. Raises ValueError.

    A percentage is what is added (``8.5``), an hour its start (``2026-05-01T13``, UTC), a price
    change ``DATE:MODEL:PERCENT`` with a shell-style pattern for the model.
    """
    return BillFaults(
        cached_factor=_factor(cached_percent or "0"),
        omitted_hours=frozenset(_seconds(hour) // HOUR * HOUR for hour in omit_hours),
        price_changes=tuple(map(_change, price_changes)),
        rounding=Rounding(rounding),
    )


def _change(text: str) -> PriceChange:
    day, _, rest = text.partition(":")
    pattern, _, percent = rest.rpartition(":")
    if not pattern:
        raise ValueError(f"{text!r} is not a price change: write 2026-05-01:gpt-4o*:20")
    return PriceChange(_seconds(day), pattern, _factor(percent))


def _factor(percent: str) -> Fraction:
    try:
        return 1 + Fraction(Decimal(percent)) / 100
    except InvalidOperation:
        raise ValueError(f"{percent!r} is not a percentage") from None


def _seconds(text: str) -> int:
    """Seconds since 1970 of a day or an hour in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
