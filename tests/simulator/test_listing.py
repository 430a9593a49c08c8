from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.simulator.errors import ProviderError
from gateway.simulator.listing import (
    checked_metadata,
    expiry_seconds,
    is_ascending,
    one_of,
    page_of,
    random_id,
)
from gateway.simulator.server import Request

OBJECTS = [{"id": name} for name in "abcde"]


def _page(query: str, **rest: Any) -> dict[str, Any]:
    request = Request("GET", "/v1/files", query, {}, b"", True, True)
    answer = page_of(OBJECTS, request, limit_default=3, limit_max=4, **rest)
    page: dict[str, Any] = json.loads(answer.body)
    return page


def test_pages_follow_each_other_newest_first() -> None:
    first = _page("")
    assert first == {
        "object": "list",
        "data": [{"id": "e"}, {"id": "d"}, {"id": "c"}],
        "first_id": "e",
        "last_id": "c",
        "has_more": True,
    }
    second = _page("after=c")
    assert [entry["id"] for entry in second["data"]] == ["b", "a"]
    assert not second["has_more"]
    last = _page("after=a")
    assert (last["data"], last["first_id"], last["last_id"]) == ([], None, None)
    assert [entry["id"] for entry in _page("limit=2", ascending=True)["data"]] == ["a", "b"]


@pytest.mark.parametrize("query", ["limit=0", "limit=5", "limit=x", "after=nothing"])
def test_bad_pages_are_refused(query: str) -> None:
    with pytest.raises(ProviderError) as refused:
        _page(query)
    assert refused.value.status == 400
    assert refused.value.param == query.partition("=")[0]


@pytest.mark.parametrize(
    "metadata",
    [
        "x",
        {"a": 1},
        {"a" * 65: "x"},
        {"a": "x" * 513},
        {str(number): "x" for number in range(17)},
    ],
)
def test_bad_metadata_is_refused(metadata: Any) -> None:
    with pytest.raises(ProviderError):
        checked_metadata({"metadata": metadata})
    assert checked_metadata({}) is None
    assert checked_metadata({"metadata": {"a": "x"}}) == {"a": "x"}


@pytest.mark.parametrize(
    "policy",
    [
        "x",
        {"anchor": "created_at"},
        {"seconds": 3_600},
        {"anchor": "now", "seconds": 3_600},
        {"anchor": "created_at", "seconds": 3_599},
        {"anchor": "created_at", "seconds": 2_592_001},
        {"anchor": "created_at", "seconds": "soon"},
    ],
)
def test_bad_expiry_is_refused(policy: Any) -> None:
    with pytest.raises(ProviderError):
        expiry_seconds(policy, "expires_after")
    assert expiry_seconds({"anchor": "created_at", "seconds": "3600"}, "expires_after") == 3_600


def test_ids_differ_and_choices_are_named() -> None:
    assert len({random_id("file-") for _ in range(100)}) == 100
    with pytest.raises(ProviderError, match="'a', and 'b'"):
        one_of("c", ("a", "b"), "order")


def test_the_order_is_the_requests_or_the_endpoints() -> None:
    def ascending(query: str, *, default: bool) -> bool:
        request = Request("GET", "/v1/x", query, {}, b"", True, True)
        return is_ascending(request, default=default)

    assert ascending("", default=True)
    assert not ascending("", default=False)
    assert ascending("order=asc", default=False)
    assert not ascending("order=desc", default=True)
    with pytest.raises(ProviderError) as refused:
        ascending("order=up", default=True)
    assert refused.value.param == "order"
