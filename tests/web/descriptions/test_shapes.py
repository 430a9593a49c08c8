from __future__ import annotations

import pytest

from gateway.web.descriptions import shapes
from gateway.web.descriptions.shapes import Shape
from tests.web.descriptions.routes import allows


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        (shapes.text(1, 3), "abc", ""),
        (shapes.text(1, 3), "abc", "abcd"),
        (shapes.text(pattern="^a+$"), "aa", "b"),
        (shapes.integer(1, 3), 3, 4),
        (shapes.integer(1), 10**9, 0),
        (shapes.number(-0.5, 2), -0.5, 2.1),
        (shapes.flag(), False, 0),
        (shapes.one_of("asc", "desc"), "asc", "up"),
        (shapes.list_of(shapes.text(), 1, 2), ["a"], []),
        (shapes.list_of(shapes.text(), 1, 2), ["a", "b"], ["a", "b", "c"]),
        (shapes.list_of(shapes.text()), [], [1]),
        (shapes.record({"a": shapes.text()}, {"b": shapes.flag()}), {"a": "", "c": 1}, {"b": True}),
        (shapes.record({}, {"b": shapes.flag()}), {}, {"b": 1}),
        (shapes.record({}), {}, []),
        (shapes.either(shapes.text(), shapes.flag()), True, 1),
        (shapes.nullable(shapes.text(1)), None, ""),
        (shapes.nullable(shapes.one_of("a")), None, "b"),
        (shapes.nullable(shapes.either(shapes.text(), shapes.flag())), None, 1),
        (shapes.metadata(), {"a": "b"}, {"a": 1}),
        (shapes.metadata(), {}, {"a" * 65: "b"}),
    ],
)
def test_a_shape_allows_what_it_says(shape: Shape, good: object, bad: object) -> None:
    assert allows(shape, good)
    assert not allows(shape, bad)


KNOWN = frozenset(("model", "n", "news"))


def test_the_fields_of_a_request_are_those_that_are_known() -> None:
    shape = shapes.fields(KNOWN, {"model": shapes.text(1)}, {"n": shapes.integer(1)})
    assert shape["properties"].keys() == KNOWN
    for good in ({"model": "a"}, {"model": "a", "n": None, "news": [1]}, {"model": "a", "x": 1}):
        assert allows(shape, good)
    for bad in ({}, {"model": None}, {"model": "a", "n": 0}):
        assert not allows(shape, bad)


def test_a_field_of_a_form_is_never_null() -> None:
    shape = shapes.form(KNOWN, {"model": shapes.text(1)}, {"n": shapes.integer(1)})
    assert allows(shape, {"model": "a", "n": 1, "news": "b"})
    assert not allows(shape, {"model": "a", "n": None})
    assert not allows(shape, {"model": "a", "news": 1})


def test_what_is_refused_is_named_with_its_reason() -> None:
    shape = shapes.fields(KNOWN, {}, {}, refused={"news": "it is old"})
    assert shape["properties"].keys() == {"model", "n"}
    assert shape["x-faregate-refused"] == {"news": "it is old"}


def test_a_shape_of_no_field_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="name"):
        shapes.fields(KNOWN, {"name": shapes.text()}, {})
