from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.errors import BadRequest
from gateway.core.request_fields import flag_of, integer_of, needed_text_of, number_of, text_of


def _integer(fields: dict[str, Any]) -> object:
    return integer_of(fields, "x", 1, 10)


def _number(fields: dict[str, Any]) -> object:
    return number_of(fields, "x", 0.25, 4)


def _text(fields: dict[str, Any]) -> object:
    return text_of(fields, "x")


def _needed(fields: dict[str, Any]) -> object:
    return needed_text_of(fields, "x")


def _flag(fields: dict[str, Any]) -> object:
    return flag_of(fields, "x")


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (_integer, 1, 1),
        (_integer, 10, 10),
        (_integer, None, None),
        (_number, 0.25, 0.25),
        (_number, 4, 4),
        (_number, None, None),
        (_text, "", ""),
        (_text, "a", "a"),
        (_text, None, None),
        (_needed, "a", "a"),
        (_flag, True, True),
        (_flag, False, False),
        (_flag, None, False),
    ],
)
def test_values(read: Callable[[dict[str, Any]], object], value: object, found: object) -> None:
    assert read({"x": value}) == found
    if value is None:
        assert read({}) == found


_REFUSED: list[tuple[Callable[[dict[str, Any]], object], tuple[object, ...]]] = [
    (_integer, (0, 11, True, 1.0, "1", [], {})),
    (_number, (0.2, 4.1, True, "1", float("nan"), float("inf"))),
    (_text, (1, False, [], {})),
    (_needed, (None, "", 1, ["a"])),
    (_flag, (0, 1, "true", [])),
]


@pytest.mark.parametrize(("read", "values"), _REFUSED)
def test_what_is_none(read: Callable[[dict[str, Any]], object], values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(BadRequest) as refused:
            read({"x": value})
        assert refused.value.param == "x"
