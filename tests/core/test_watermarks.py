from __future__ import annotations

import pytest

from gateway.core.watermarks import Level, Mark

MARK = Mark("events wait", "FAREGATE_EVENTS_MAX", 1000)


@pytest.mark.parametrize(
    ("level", "before", "after"),
    [
        (999, False, False),
        (1000, False, True),
        (999, True, True),
        (800, True, True),
        (799, True, False),
    ],
)
def test_it_keeps_requests_out_from_the_mark_down_to_four_fifths_of_it(
    level: int, before: bool, after: bool
) -> None:
    assert MARK.keeps_out(level, before) is after


def test_a_level_says_what_it_is() -> None:
    assert str(Level(MARK, 1234)) == "1,234 events wait; the mark is 1,000"
