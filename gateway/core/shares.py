"""Divides an amount among several, in whole nano-dollars that sum to it."""

from __future__ import annotations

from collections.abc import Sequence


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """``amount`` in parts as ``weights`` (none below zero, not all zero) are to each other.

    No part is off by a whole nano-dollar. Raises ValueError without a weight above zero.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("an amount is divided by weights above zero")
    parts = []
    weight = given = 0
    for part in weights:
        weight += part
        until = amount * weight // whole
        parts.append(until - given)
        given = until
    return parts
