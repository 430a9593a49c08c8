from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from gateway.core.errors import BadRequest
from gateway.core.objects import PageWish
from gateway.web.openai.objects import page_wish, passed_query


def asked(query: str, **limits: Any) -> PageWish:
    with Flask("test").test_request_context(f"/v1/files?{query}"):
        return page_wish(
            limits.get("limit_max", 100), limits.get("limit_default", 20), ("purpose", "model")
        )


@pytest.mark.parametrize(
    ("query", "wish"),
    [
        ("", PageWish(20)),
        ("limit=1", PageWish(1)),
        ("limit=100&order=asc", PageWish(100, ascending=True)),
        ("limit=007&order=desc", PageWish(7)),
        ("after=file-1", PageWish(20, after="file-1")),
        ("before=file-1&after=", PageWish(20, before="file-1")),
        ("purpose=batch&unknown=1", PageWish(20, filters={"purpose": "batch"})),
        ("purpose=", PageWish(20, filters={"purpose": ""})),
        ("limit=5&limit=500", PageWish(5)),
    ],
)
def test_a_page_is_asked_for_as_at_openai(query: str, wish: PageWish) -> None:
    assert asked(query) == wish


def test_limits_are_the_endpoint_s_own() -> None:
    assert asked("", limit_max=10_000, limit_default=10_000) == PageWish(10_000)
    assert asked("limit=10000", limit_max=10_000).limit == 10_000
    with pytest.raises(BadRequest, match="from 1 to 10000"):
        asked("limit=10001", limit_max=10_000)


@pytest.mark.parametrize(
    "limit",
    [
        *("0", "101", "-1", "1.0", "1e1", "+1", "%201", "", "x", "%D9%A1", "%C2%B2", "9" * 5000),
        "000000001000000",  # its first digits alone are within the limit
    ],
)
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(BadRequest) as error:
        asked(f"limit={limit}")
    assert error.value.param == "limit"


@pytest.mark.parametrize("order", ["", "ASC", "up"])
def test_an_order_that_is_none_is_refused(order: str) -> None:
    with pytest.raises(BadRequest) as error:
        asked(f"order={order}")
    assert error.value.param == "order"


def test_only_named_arguments_go_on_and_as_arguments() -> None:
    with Flask("test").test_request_context("/?a=1&b=2&a=%26c%3D3%0D%0A&d=/../x"):
        assert passed_query(("a", "d", "e")) == "?a=1&a=%26c%3D3%0D%0A&d=%2F..%2Fx"
        assert passed_query(()) == ""
        assert passed_query(("e",)) == ""
