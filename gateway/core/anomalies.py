"""Whether an hour's spending is out of the ordinary: against the same hour of past weeks.

The median of the past weeks is what is usual, and the median of their distances from it how much
that varies (the median absolute deviation): one odd week moves neither. An hour is out of the
ordinary where it is above a percentage of the usual, and above what chance explains, and above a
floor, below which nobody wants to be told. Two weeks must be known at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


Subject = tuple[int, int]
"""(team, client); the client is 0 for the team itself, and both are 0 for the organization."""

ORGANIZATION: Subject = (0, 0)


@dataclass(frozen=True, slots=True)
class Hour:
    """What everybody spent in one hour, and what each usually spends in it, where that is known."""

    spent: Mapping[Subject, int]
    usual: Mapping[Subject, Usual]

    def odd(self, percent: int) -> dict[Subject, int]:
        """Who spent out of the ordinary, and by how much more than usual.

        What its clients explain is told of them alone, not of the team too; and what teams and
        clients explain not of the organization.
        """
        found: dict[Subject, int] = {}
        explained: dict[Subject, int] = {}
        for subject in sorted(self.spent, key=_narrowest_first):
            known = self.usual.get(subject)
            part = explained.get(subject, 0)
            if known is not None and self.spent[subject] - part > known.bound_nano(percent):
                found[subject] = self.spent[subject] - known.median_nano
                part = found[subject]
            for whole in _whole_of(subject):
                explained[whole] = explained.get(whole, 0) + part
        return found

    def is_odd(self, subject: Subject, percent: int) -> bool:
        """Whether one spent out of the ordinary, whoever of its parts explains it."""
        known = self.usual.get(subject)
        return known is not None and self.spent.get(subject, 0) > known.bound_nano(percent)


def _narrowest_first(subject: Subject) -> tuple[bool, bool, Subject]:
    return subject[1] == 0, subject[0] == 0, subject


def _whole_of(subject: Subject) -> Iterator[Subject]:
    """What a client or a team is a part of."""
    if subject[1]:
        yield subject[0], 0
    elif subject[0]:
        yield ORGANIZATION
