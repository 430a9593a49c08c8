from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.line_items import ESTIMATE, HOLD, LineItem, line_items
from gateway.core.prices import CostLine, Meter, sum_lines

LINES = st.lists(
    st.builds(
        CostLine,
        st.sampled_from(Meter),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
        st.sampled_from([1, 1000, 60_000, 1_000_000]),
    ),
    max_size=6,
)


@given(LINES)
def test_the_items_of_a_computed_cost_sum_to_it(lines: list[CostLine]) -> None:
    cost = sum_lines(lines)
    items = line_items(lines, cost, "exact")
    assert sum(item.nano for item in items) == cost
    assert [(item.name, item.quantity) for item in items] == [
        (line.meter.value, line.count) for line in lines
    ]


@given(LINES)
def test_no_item_is_more_than_a_nano_dollar_off_its_line(lines: list[CostLine]) -> None:
    for item, line in zip(line_items(lines, sum_lines(lines), "exact"), lines, strict=True):
        assert abs(item.nano * line.per - line.count * line.nano) < line.per


@given(LINES, st.integers(0, 10**15), st.sampled_from(["exact", "estimated", "unknown"]))
def test_items_sum_to_any_cost(lines: list[CostLine], cost: int, certainty: str) -> None:
    assert sum(item.nano for item in line_items(lines, cost, certainty)) == cost


def test_what_no_line_explains_is_named() -> None:
    assert line_items([], 7, "unknown") == [LineItem(HOLD, 0, 7)]
    assert line_items([], 7, "estimated") == [LineItem(ESTIMATE, 0, 7)]
    assert line_items([], 0, "exact") == []
    input_line = CostLine(Meter.INPUT, 3, 500_000_000, 1_000_000)
    assert line_items([input_line], 2_000, "estimated") == [
        LineItem("input", 3, 1_500),
        LineItem(ESTIMATE, 0, 500),
    ]


def test_parts_of_a_nano_dollar_go_to_the_line_that_rounds_the_sum_up() -> None:
    third = CostLine(Meter.INPUT, 1, 1, 3)
    out = CostLine(Meter.OUTPUT, 1, 1, 3)
    assert [item.nano for item in line_items([third, out], 1, "exact")] == [1, 0]
