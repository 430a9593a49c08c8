from __future__ import annotations

import re
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from gateway.web.admin.description import APIS, described
from gateway.web.admin.document import document
from gateway.web.admin.endpoint import PREFIX
from tests.web.control import Control


def test_the_description_is_valid_openapi_and_served_to_all(control: Control) -> None:
    answer = control.app.test_client().get(f"{PREFIX}/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found = answer.get_json()
    assert found == described()
    OPENAPI_31_VALIDATOR.validate(found)
    broken = {**found, "paths": {"teams": {"get": {}}}}
    assert not OPENAPI_31_VALIDATOR.is_valid(broken)


def test_every_route_is_described_and_the_other_way_round(control: Control) -> None:
    variable = re.compile(r"<(?:\w+:)?(\w+)>")
    routes = {
        (variable.sub(r"{\1}", rule.rule), method.lower())
        for rule in control.app.url_map.iter_rules()
        if rule.rule.startswith("/admin/api")
        and rule.endpoint != "admin_description.describe_admin_api"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    operations = {(path, method) for path, item in described()["paths"].items() for method in item}
    assert routes == operations
    assert len(operations) > 40


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(item) for item in node)) if isinstance(node, list) else set()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    found = described()
    for reference in references(found):
        place: Any = found
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]
    used = {reference.rpartition("/")[2] for reference in references(found)}
    assert set(found["components"]["schemas"]) <= used
    names = [
        operation["operationId"] for item in found["paths"].values() for operation in item.values()
    ]
    assert len(names) == len(set(names))


def test_amounts_are_text_and_changes_are_conditional() -> None:
    found = described()
    for name, schema in found["components"]["schemas"].items():
        for field, shape in schema.get("properties", {}).items():
            if field.endswith("_usd"):
                kinds = {shape.get("type"), *(one.get("type") for one in shape.get("anyOf", []))}
                assert kinds <= {"string", "null", None}, (name, field)
                assert "number" not in str(shape), (name, field)
    for item in found["paths"].values():
        for method, operation in item.items():
            headers = [p["name"] for p in operation.get("parameters", []) if p["in"] == "header"]
            assert (headers == ["If-Match"]) == (method in ("patch", "delete"))
            assert operation["summary"]
            assert operation["x-faregate-roles"]


def test_all_that_is_said_of_a_field_that_is_not_sent_is_its_type() -> None:
    change = described()["components"]["schemas"]["TeamChange"]
    assert change["minProperties"] == 1
    assert "default" not in change["properties"]["name"]
    assert change["additionalProperties"] is False


def test_two_descriptions_of_the_same_declarations_are_equal() -> None:
    assert document(APIS) == document(APIS)


@pytest.mark.parametrize("path", ["/openapi", "/nothing", "/teams/x", "/teams/1/clients"])
def test_other_paths_are_not_there(control: Control, path: str) -> None:
    answer = control.app.test_client().get(PREFIX + path)
    assert answer.status_code == 404
    assert set(answer.get_json()["error"]) == {"message", "type", "param", "code"}
