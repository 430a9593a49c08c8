from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.organization_ids import KEY, PROJECT, USER, number_of, shown


@given(st.sampled_from((PROJECT, USER, KEY)), st.integers(1, 10**18 - 1))
def test_an_id_is_read_back(prefix: str, number: int) -> None:
    given_id = shown(prefix, number)
    assert given_id is not None
    assert number_of(prefix, given_id) == number


def test_nobody_has_no_id() -> None:
    assert shown(PROJECT, 0) is None
    assert shown(PROJECT, None) is None


@pytest.mark.parametrize(
    "given",
    ["", "7", "proj_", "proj_0", "proj_07", "proj_-1", "proj_1x", "user_1", "proj_" + "9" * 19],
)
def test_what_is_no_id_is_none(given: str) -> None:
    assert number_of(PROJECT, given) is None


def test_digits_of_other_scripts_are_none() -> None:
    assert number_of(PROJECT, "proj_\u0661") is None
