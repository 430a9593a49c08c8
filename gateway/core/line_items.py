"""Line items: what each meter of a record cost, in whole nano-dollars that sum to its cost.

A record's cost is the exact sum of its lines, rounded up once, so its lines need not be whole
nano-dollars. Each item gets what it moves the rounded running sum by. The sums by line item are
then those of the records, to the nano-dollar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

from gateway.core.money import divide_up
from gateway.core.prices import CostLine

HOLD = "hold"
"""The item of what was charged as a whole hold, since nobody knows what the provider billed."""

ESTIMATE = "estimate"
"""The item of what was charged beyond or without lines: an upper bound."""


@dataclass(frozen=True, slots=True)
class LineItem:
    """``quantity`` units of ``name`` (a meter's name, HOLD or ESTIMATE) for ``nano``
    nano-dollars. Audio is counted in milliseconds."""

    name: str
    quantity: int
    nano: int


def line_items(lines: Sequence[CostLine], cost_nano: int, certainty: str) -> list[LineItem]:
    """The items of a record that was charged ``cost_nano`` for ``lines``; they sum to it."""
    items = []
    common = lcm(*(line.per for line in lines))
    exact, rounded = 0, 0
    for line in lines:
        exact += line.count * line.nano * (common // line.per)
        up = divide_up(exact, common)
        items.append(LineItem(line.meter.value, line.count, up - rounded))
        rounded = up
    if rest := cost_nano - rounded:
        items.append(LineItem(HOLD if certainty == "unknown" else ESTIMATE, 0, rest))
    return items
