from __future__ import annotations

from statistics import median_low

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.anomalies import FLOOR_NANO, ORGANIZATION, Hour, Usual, median, usual

USD = 1_000_000_000
TEAM, ANN, BOB = (1, 0), (1, 1), (1, 2)
amounts = st.integers(0, 10**13)


def test_two_weeks_must_be_known() -> None:
    assert usual([]) is None
    assert usual([5 * USD]) is None
    assert usual([5 * USD, 7 * USD]) == Usual(6 * USD, USD, 2)


@given(st.lists(amounts, min_size=1, max_size=9))
def test_the_median_is_in_the_middle(values: list[int]) -> None:
    found = median(values)
    assert min(values) <= found <= max(values)
    assert 2 * sum(value < found for value in values) <= len(values)
    assert 2 * sum(value > found for value in values) <= len(values)
    if len(values) % 2:
        assert found == median_low(values)


@given(st.lists(amounts, min_size=3, max_size=8), amounts, st.integers(101, 1000))
def test_one_odd_week_moves_the_bound_no_further_than_the_others_reach(
    past: list[int], odd: int, percent: int
) -> None:
    """Whatever one week was, the bound is one that the other weeks alone could have given."""
    known = usual([*past, odd])
    assert known is not None
    assert min(past) <= known.median_nano <= max(past)
    assert known.deviation_nano <= max(past) - min(past)
    assert known.bound_nano(percent) >= FLOOR_NANO


@pytest.mark.parametrize(
    ("past", "percent", "bound"),
    [
        # Three times the usual.
        ([10 * USD] * 4, 300, 30 * USD),
        # The floor.
        ([USD // 100] * 4, 300, FLOOR_NANO),
        ([0, 0], 300, FLOOR_NANO),
        # What varies much is out of the ordinary later: 10 + 4.448 x 8.
        ([2 * USD, 2 * USD, 18 * USD, 18 * USD], 150, 10 * USD + 35_584_000_000),
        # One odd week among eight changes nothing.
        ([10 * USD] * 7 + [900 * USD], 200, 20 * USD),
    ],
)
def test_bounds(past: list[int], percent: int, bound: int) -> None:
    known = usual(past)
    assert known is not None
    assert known.bound_nano(percent) == bound


def hour(**spent: int) -> Hour:
    """Everybody usually spends 10, 10, 20 and 20 dollars."""
    base = {"ann": 10, "bob": 10, "team": 20, "organization": 20}
    subjects = {"ann": ANN, "bob": BOB, "team": TEAM, "organization": ORGANIZATION}
    return Hour(
        {subjects[name]: spent.get(name, nano) * USD for name, nano in base.items()},
        {subjects[name]: Usual(nano * USD, 0, 8) for name, nano in base.items()},
    )


def test_what_a_part_explains_is_told_of_the_part() -> None:
    found = hour(ann=100, team=110, organization=110).odd(300)
    assert found == {ANN: 90 * USD}
    # The team is out of the ordinary too, for who watches it alone.
    assert hour(ann=100, team=110, organization=110).is_odd(TEAM, 300)
    # More than Ann explains: 200 - 90 are still more than 60. The team explains the rest.
    found = hour(ann=100, team=200, organization=200).odd(300)
    assert found == {ANN: 90 * USD, TEAM: 180 * USD}


def test_a_whole_of_many_small_parts_is_told_itself() -> None:
    assert hour(ann=29, bob=29, team=61, organization=61).odd(300) == {TEAM: 41 * USD}


def test_who_has_no_past_is_never_odd() -> None:
    found = Hour({ANN: 1000 * USD}, {})
    assert found.odd(101) == {}
    assert not found.is_odd(ANN, 101)
    assert not found.is_odd(BOB, 101)
