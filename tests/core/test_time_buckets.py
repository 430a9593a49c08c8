from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.time_buckets import (
    COST_DAY,
    COST_WIDTHS,
    DAY,
    HOUR,
    MINUTE,
    MOMENT_MAX,
    USAGE_WIDTHS,
    Width,
    page_of,
)

NOW = 1_790_000_000
WIDTHS = st.sampled_from((MINUTE, HOUR, DAY, COST_DAY))
TODAY = NOW - NOW % 86_400


def test_the_limits_are_those_of_openai() -> None:
    assert {name: (w.seconds, w.usual, w.most) for name, w in USAGE_WIDTHS.items()} == {
        "1m": (60, 60, 1440),
        "1h": (3_600, 24, 168),
        "1d": (86_400, 7, 31),
    }
    assert {name: (w.seconds, w.usual, w.most) for name, w in COST_WIDTHS.items()} == {
        "1d": (86_400, 7, 180)
    }


def test_a_range_has_the_whole_buckets_that_it_touches() -> None:
    page = page_of(DAY, TODAY - 86_400 * 2 + 5, TODAY + 1, None, None, NOW)
    assert list(page.starts) == [TODAY - 2 * 86_400, TODAY - 86_400, TODAY]
    assert page.bounds == (
        datetime.fromtimestamp(TODAY - 2 * 86_400, tz=UTC),
        datetime.fromtimestamp(TODAY + 86_400, tz=UTC),
    )
    assert page.next_page is None


def test_an_end_on_an_edge_has_no_bucket_after_it() -> None:
    assert list(page_of(DAY, TODAY - 86_400, TODAY, None, None, NOW).starts) == [TODAY - 86_400]


def test_a_range_without_an_end_ends_with_now() -> None:
    page = page_of(HOUR, NOW - 7_200, None, None, None, NOW)
    assert page.starts[-1] <= NOW < page.until


def test_what_has_not_begun_has_no_buckets() -> None:
    assert list(page_of(DAY, NOW + 86_400 * 3, None, None, None, NOW).starts) == []
    page = page_of(DAY, TODAY, TODAY + 40 * 86_400, None, None, NOW)
    assert (list(page.starts), page.next_page) == ([TODAY], None)


@given(
    width=WIDTHS,
    start=st.integers(0, NOW),
    buckets=st.integers(1, 500),
    data=st.data(),
)
def test_pages_follow_each_other_without_gap_or_overlap(
    width: Width, start: int, buckets: int, data: st.DataObject
) -> None:
    end = data.draw(st.one_of(st.none(), st.just(start + buckets * width.seconds)))
    if end is None:
        start = max(start, NOW - buckets * width.seconds)
    limit = data.draw(st.integers(1, width.most))
    first = page_of(width, start, end, limit, None, NOW)
    seen = list(first.starts)
    page, later = first, NOW
    while page.next_page is not None:
        assert len(page.starts) == limit
        later += width.seconds
        page = page_of(width, start, end, limit, page.next_page, later)
        seen += page.starts
    last = min(NOW, NOW if end is None else end - 1)
    # Time goes on between pages, and the range stays the one of the first.
    wanted = range(start - start % width.seconds, last + 1, width.seconds)
    assert seen == list(wanted)


@pytest.mark.parametrize(
    ("start", "end", "param"),
    [
        (-1, None, "start_time"),
        (MOMENT_MAX + 1, None, "start_time"),
        (NOW * 1000, None, "start_time"),
        (5, MOMENT_MAX + 1, "end_time"),
        (5, 5, "end_time"),
        (5, 4, "end_time"),
    ],
)
def test_a_range_that_is_none_is_refused(start: int, end: int | None, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        page_of(DAY, start, end, None, None, NOW)
    assert caught.value.param == param


@pytest.mark.parametrize("width", [MINUTE, HOUR, DAY, COST_DAY])
def test_limits_are_kept(width: Width) -> None:
    for limit in (0, width.most + 1):
        with pytest.raises(BadRequest) as caught:
            page_of(width, 0, NOW, limit, None, NOW)
        assert caught.value.param == "limit"
        assert str(width.most) in caught.value.message
    assert len(page_of(width, 0, NOW, width.most, None, NOW).starts) == width.most
    assert len(page_of(width, 0, NOW, None, None, NOW).starts) == width.usual


def test_a_cursor_of_another_range_is_refused() -> None:
    start = TODAY - 30 * 86_400
    good = page_of(DAY, start, TODAY, 3, None, NOW).next_page
    hours = page_of(HOUR, start, TODAY, 3, None, NOW).next_page
    assert good is not None
    assert hours is not None
    for cursor, since, until in (
        ("", start, TODAY),
        ("page_", start, TODAY),
        ("page_AAAA", start, TODAY),
        ("page_ä", start, TODAY),
        ("page_" + "A" * 500, start, TODAY),
        (good, start + 5 * 86_400, TODAY),
        (good, start, TODAY - 86_400),
        (hours, start, TODAY),
    ):
        with pytest.raises(BadRequest) as caught:
            page_of(DAY, since, until, 3, cursor, NOW)
        assert caught.value.param == "page", cursor
