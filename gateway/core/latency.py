"""How long requests take, in buckets whose quantiles are right to a fifth.

Bucket ``b`` holds durations of more than 2^((b-1)/4) and at most 2^(b/4) milliseconds, so that a
few dozen sums hold everything from a millisecond to hours, and sums of sums lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_STEPS = 4
"""Buckets for each doubling."""


def bucket_of(milliseconds: int) -> int:
    """The bucket of a duration; a duration of at most a millisecond is in bucket 0."""
    return 0 if milliseconds <= 1 else math.ceil(math.log2(milliseconds) * _STEPS)


def upper_ms(bucket: int) -> int:
    """The longest duration in a bucket, in whole milliseconds."""
    return round(2 ** (bucket / _STEPS))


def quantile_ms(buckets: Mapping[int, int], quantile: float) -> int | None:
    """An upper bound of the duration that ``quantile`` of the requests stayed within.

    ``buckets`` has the number of requests by bucket. None where there were none.
    """
    total = sum(buckets.values())
    if not total:
        return None
    wanted, seen = math.ceil(total * quantile), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return upper_ms(bucket)
    raise AssertionError("the buckets hold fewer than their sum")
