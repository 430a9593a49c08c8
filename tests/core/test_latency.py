from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.latency import bucket_of, quantile_ms, upper_ms


@given(st.integers(0, 10**9))
def test_a_bucket_is_an_upper_bound_and_right_to_a_fifth(milliseconds: int) -> None:
    top = upper_ms(bucket_of(milliseconds))
    assert top >= milliseconds
    assert top <= max(1, milliseconds * 1.19 + 1)


@given(st.lists(st.integers(1, 100_000), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_bounds_the_true_one(durations: list[int], quantile: float) -> None:
    buckets: dict[int, int] = {}
    for duration in durations:
        buckets[bucket_of(duration)] = buckets.get(bucket_of(duration), 0) + 1
    ordered = sorted(durations)
    true = ordered[max(0, -(-len(ordered) * round(quantile * 100) // 100) - 1)]
    found = quantile_ms(buckets, quantile)
    assert found is not None
    assert true <= found <= true * 1.19 + 1


def test_nothing_has_no_quantile() -> None:
    assert quantile_ms({}, 0.5) is None


@pytest.mark.parametrize("milliseconds", [0, 1])
def test_a_millisecond_is_the_least(milliseconds: int) -> None:
    assert bucket_of(milliseconds) == 0
    assert upper_ms(0) == 1
