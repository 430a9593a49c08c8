"""From which day a bill's prices differ from ours, and by how much, though amounts are rounded.

A rounded amount leaves a range of prices that it can come from. Days in a row whose ranges overlap
are taken to have one price: the plainest number in what their ranges have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

_DECIMALS_MAX = 9
_PLAIN_PERCENT = 2
"""A percentage of no more decimals than this is what somebody meant."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What a day's quantity is billed at (``theirs``) and would cost by us (``ours``), in
    nano-dollars; ``tolerance`` is what rounding may add to or take from ``theirs``. ``unit`` is
    our price of one, in nano-dollars."""

    day: datetime
    ours: Fraction
    theirs: int
    tolerance: Fraction
    unit: Fraction

    @property
    def agrees(self) -> bool:
        """Whether rounding alone explains the difference."""
        return abs(self.theirs - self.ours) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Step:
    """Prices are ``ratio`` times ours, from ``since`` on."""

    since: datetime
    ratio: Fraction

    @property
    def percent(self) -> str:
        """What is added to our price: ``"8.5 % more"``."""
        change = (self.ratio - 1) * 100
        return f"{decimal_text(abs(change))} % {'more' if change > 0 else 'less'}"


def steps(days: Sequence[Billed]) -> dict[datetime, Step]:
    """The step that each of ``days``, given in order, is in; days that agree are in none."""
    found: dict[datetime, Step] = {}
    run: list[Billed] = []
    low = high = Fraction(0)

    def close() -> None:
        if run:
            step = Step(run[0].day, _plainest(low, high, {day.unit for day in run}))
            found.update({day.day: step for day in run})
            run.clear()

    for day in days:
        if day.agrees or not day.ours:
            close()
            continue
        day_low = (day.theirs - day.tolerance) / day.ours
        day_high = (day.theirs + day.tolerance) / day.ours
        if run and max(low, day_low) <= min(high, day_high):
            low, high = max(low, day_low), min(high, day_high)
        else:
            close()
            low, high = day_low, day_high
        run.append(day)
    close()
    return found


def _plainest(low: Fraction, high: Fraction, units: set[Fraction]) -> Fraction:
    """The ratio between ``low`` and ``high`` that is the plainest percentage or price."""
    percent = _shortest((low - 1) * 100, (high - 1) * 100, _PLAIN_PERCENT)
    if percent is not None:
        return 1 + percent / 100
    if len(units) == 1:
        (unit,) = units
        # Prices are stated in dollars per million: a nano-dollar each is 0.001 of those.
        price = _shortest(low * unit / 1000, high * unit / 1000, _DECIMALS_MAX)
        if unit and price is not None:
            return price * 1000 / unit
    percent = _shortest((low - 1) * 100, (high - 1) * 100, _DECIMALS_MAX)
    return (low + high) / 2 if percent is None else 1 + percent / 100


def _shortest(low: Fraction, high: Fraction, decimals_max: int) -> Fraction | None:
    """The number of fewest decimals from ``low`` to ``high``, nearest to their middle."""
    middle = (low + high) / 2
    for decimals in range(decimals_max + 1):
        number = Fraction(round(middle * 10**decimals), 10**decimals)
        if low <= number <= high:
            return number
    return None


def decimal_text(value: Fraction, decimals: int = 4) -> str:
    """``value`` with at most ``decimals`` decimals, trailing zeros dropped."""
    scaled = round(value * 10**decimals)
    whole, part = divmod(abs(scaled), 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".")
    return f"-{text}" if scaled < 0 else text
