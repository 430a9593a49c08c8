from __future__ import annotations

from typing import Any

from gateway.core.errors import Conflict, UpstreamTimeout
from gateway.web.descriptions.operation import (
    ID,
    JSON,
    PRICED,
    Operation,
    Query,
    error_components,
    rendered,
)
from gateway.web.descriptions.shapes import integer, record, text
from tests.web.descriptions.routes import allows

_ANSWERS = {JSON: record({"id": text(1)})}


def statuses(operation: Operation, method: str, *variables: str) -> set[str]:
    return set(rendered("name", operation, method, variables, False)["responses"])


def test_errors_follow_from_what_an_operation_does() -> None:
    always = {"200", "401", "414", "429", "431", "500", "503"}
    asked = {"502", "504", "default"}
    body = {"400", "408", "413", "415"}
    quiet = Operation("List", _ANSWERS, asks_provider=False)
    assert statuses(quiet, "GET") == always
    assert statuses(Operation("Get", _ANSWERS), "GET", "file_id") == always | asked | {"404"}
    paged = Operation("List", _ANSWERS, query=(Query("limit", integer(1)),), asks_provider=False)
    assert statuses(paged, "GET") == always | {"400"}
    made = Operation("Make", _ANSWERS, json=record({}), errors=PRICED)
    assert statuses(made, "POST") == always | asked | body | {"403", "404", "409"}
    gone = Operation("Delete", _ANSWERS, errors=(Conflict,))
    assert statuses(gone, "DELETE", "response_id") == always | asked | {"404", "409"}


def test_a_probe_is_open_and_may_fail_with_its_own_body() -> None:
    found = rendered(
        "name", Operation("Ready", _ANSWERS, is_open=True, failing=(503,)), "GET", (), False
    )
    assert found["security"] == []
    assert found["responses"].keys() == {"200", "503"}
    assert "headers" not in found["responses"]["200"]


def test_an_idempotency_key_is_for_posts() -> None:
    def keys(method: str) -> list[Any]:
        found = rendered("name", Operation("Do", _ANSWERS), method, (), False)
        return [one["$ref"] for one in found.get("parameters", ())]

    assert keys("POST") == ["#/components/parameters/IdempotencyKey"]
    assert keys("GET") == keys("DELETE") == []


def test_a_cost_is_told_where_there_is_one() -> None:
    for costs in (True, False):
        found = rendered("name", Operation("Do", _ANSWERS, costs=costs), "POST", (), False)
        assert ("x-faregate-cost-usd" in found["responses"]["200"]["headers"]) == costs


def test_what_goes_on_says_what_is_held_for_it() -> None:
    for holds in (True, False):
        found = rendered("name", Operation("Do", _ANSWERS, holds=holds), "POST", (), False)
        assert ("x-faregate-held-usd" in found["responses"]["200"]["headers"]) == holds


def test_error_components_say_what_their_classes_say() -> None:
    found = error_components()
    assert found["Error504"]["description"] == " ".join((UpstreamTimeout.__doc__ or "").split())
    assert found["Error429"]["headers"].keys() == {"retry-after"}
    assert "headers" not in found["Error404"]
    assert found["Error500"]["description"]


def test_an_id_is_what_may_become_part_of_a_path() -> None:
    for good in ("file-abc", "ft:gpt-4o:acme::1", "a" * 128):
        assert allows(ID, good)
    for bad in ("", ".", "..", "a/b", "a b", "é", "a" * 129):
        assert not allows(ID, bad)
