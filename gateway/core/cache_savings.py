"""What caching has saved: what cached input would have cost more at the rate of other input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from gateway.core.prices import CostLine, Meter, Price
from gateway.core.usage import Usage

_READ_ANEW: Mapping[Meter, Meter] = {
    Meter.CACHED_INPUT: Meter.INPUT,
    Meter.AUDIO_CACHED_INPUT: Meter.AUDIO_INPUT,
    Meter.IMAGE_CACHED_INPUT: Meter.IMAGE_INPUT,
}
"""The meter that the tokens of a cached one are billed by where nothing is cached."""


def cache_savings(price: Price, usage: Usage, tier: str, lines: Iterable[CostLine]) -> Fraction:
    """Nano-dollars that the cached tokens among ``lines``, the cost of ``usage``, cost less.

    Exact, and below zero where cached input is the dearer. What it cost to write the cache is
    not taken off: another request may have done that. A price without a rate for input says
    nothing about what was saved.
    """
    saved = Fraction(0)
    for line in lines:
        anew = _READ_ANEW.get(line.meter)
        rate = None if anew is None else price.rate_or_none(tier, anew)
        if rate is not None:
            dearer = Fraction(rate.at(usage.input_tokens), rate.per)
            saved += line.count * (dearer - Fraction(line.nano, line.per))
    return saved


def whole_nano(saved: Fraction) -> int:
    """Savings in whole nano-dollars: rounded down, and none where they are below zero."""
    return max(saved.numerator // saved.denominator, 0)
