"""Whether an hour's spending is out of the ordinary: against the same hour of past weeks.

The median of the past weeks is what is usual, and the median of their distances from it how much
that varies (the median absolute deviation): one odd week moves neither. An hour is out of the
ordinary where it is above a percentage of the usual, and above what chance explains, and above a
floor, below which nobody wants to be told. Two weeks must be known at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.money import NANO_PER_USD

WEEKS = 8
"""How many past weeks are compared with."""

WEEKS_MIN = 2

FLOOR_NANO = NANO_PER_USD
"""An hour below one dollar is never out of the ordinary."""

DEVIATIONS_PER_MILLE = 4448
"""Three standard deviations in median absolute deviations, times 1,000: 3 x 1.4826, the factor
that makes the two alike for a normal distribution."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What an hour usually costs, in nano-dollars."""

    median_nano: int
    deviation_nano: int
    weeks: int

    def bound_nano(self, percent: int) -> int:
        """What an hour must be above to be out of the ordinary at ``percent`` of the usual."""
        return max(
            FLOOR_NANO,
            self.median_nano * percent // 100,
            self.median_nano + self.deviation_nano * DEVIATIONS_PER_MILLE // 1000,
        )


def usual(past: Sequence[int]) -> Usual | None:
    """What the same hour cost in past weeks says; None where too few weeks are known."""
    if len(past) < WEEKS_MIN:
        return None
    middle = median(past)
    return Usual(middle, median([abs(nano - middle) for nano in past]), len(past))


def median(values: Sequence[int]) -> int:
    """The middle one of ``values``, which are not empty; of an even number the mean of both."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) // 2


def is_above(spent_nano: int, known: Usual | None, percent: int, parts: Iterable[int] = ()) -> bool:
    """Whether ``spent_nano`` in an hour is out of the ordinary.

    ``parts`` are what parts of the same whole, themselves out of the ordinary, cost more than
    usual: what they explain is told of them alone.
    """
    return known is not None and spent_nano - sum(parts) > known.bound_nano(percent)
