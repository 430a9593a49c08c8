from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.shares import shares


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=8).filter(any),
)
def test_parts_sum_to_the_amount_and_are_fair(amount: int, weights: list[int]) -> None:
    parts = shares(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - amount * weight) < sum(weights)
        assert weight or part == 0


@pytest.mark.parametrize("weights", [[], [0], [1, -1, 5]])
def test_nobody_to_share_with_is_an_error(weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        shares(1, weights)
