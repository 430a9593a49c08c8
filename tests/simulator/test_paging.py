from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.paging import page_of

ENTRIES: list[dict[str, Any]] = [{"id": name} for name in "abcde"]


@pytest.mark.parametrize(
    ("arguments", "names", "more"),
    [
        ({}, "abcde", False),
        ({"limit": "2"}, "ab", True),
        ({"limit": "2", "after": "b"}, "cd", True),
        ({"limit": "2", "after": "c"}, "de", False),
        ({"order": "desc", "limit": "2", "after": "d"}, "cb", True),
        ({"after": "e"}, "", False),
    ],
)
def test_pages(arguments: dict[str, str], names: str, more: bool) -> None:
    page = page_of(ENTRIES, arguments, "asc")
    assert "".join(entry["id"] for entry in page["data"]) == names
    assert page["has_more"] == more
    assert page["first_id"] == (names[0] if names else None)
    assert page["last_id"] == (names[-1] if names else None)


@pytest.mark.parametrize(
    "arguments",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"order": "up"}, {"after": "z"}],
)
def test_bad_pages_are_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(ProviderError) as refused:
        page_of(ENTRIES, arguments, "asc")
    assert refused.value.param == next(iter(arguments))


def test_the_default_order_is_the_endpoints() -> None:
    assert page_of(ENTRIES, {}, "desc")["first_id"] == "e"
