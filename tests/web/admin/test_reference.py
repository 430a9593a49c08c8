from __future__ import annotations

import json
import re

import pytest
from pydantic import BaseModel

from gateway.web.admin.description import APIS, described
from gateway.web.admin.document import _public
from gateway.web.admin.endpoint import NoBody
from gateway.web.admin.reference import Operation, reference

FOUND = reference(described(), "https://faregate.acme.example/")
OPERATIONS = {one.name: one for group in FOUND.groups for one in group.operations}
BODIES: dict[str, type[BaseModel]] = {
    endpoint.name: endpoint.body
    for api in APIS
    for endpoint in api.endpoints
    if endpoint.body is not NoBody
}


def test_every_operation_is_there_once() -> None:
    described_ones = [
        operation["operationId"]
        for item in described()["paths"].values()
        for operation in item.values()
    ]
    assert sorted(OPERATIONS) == sorted(described_ones)
    assert len(described_ones) == sum(len(group.operations) for group in FOUND.groups)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda one: one.name)
def test_an_example_is_one_that_is_taken(operation: Operation) -> None:
    assert "{" not in operation.example.partition(" -d ")[0]
    assert operation.example.startswith("curl ")
    assert "https://faregate.acme.example/admin/api/v1/" in operation.example
    if operation.body:
        sent = re.search(r"-d '(.*)'", operation.example)
        assert sent is not None
        BODIES[operation.name].model_validate(json.loads(sent[1]))
    assert ("If-Match" in operation.example) == (operation.method in ("PATCH", "DELETE"))


def test_what_an_operation_refers_to_is_explained() -> None:
    names = {model.name for model in FOUND.models}
    for operation in OPERATIONS.values():
        assert operation.answer in names
        assert not operation.body or operation.body in names
    for model in FOUND.models:
        assert model.says or model.values or model.name == "Error", model.name
        assert model.fields or model.values
        assert {field.model for field in model.fields if field.model} <= names


def test_kinds_are_in_words() -> None:
    kinds = {field.name: field.kind for field in OPERATIONS["create_budget"].body_fields}
    assert kinds["limit_usd"] == "string"
    assert kinds["window"] == "hour | day | week | month | total"
    assert kinds["team_id"] == "integer or null"
    parameters = {field.name: field.kind for field in OPERATIONS["list_budgets"].parameters}
    assert parameters["limit"] == "integer 1 to 500"
    assert {f.name: f.kind for f in OPERATIONS["read_usage"].parameters}["since"] == "time"
    path = {field.name: field for field in OPERATIONS["change_team"].parameters}
    assert path["team_id"].kind == "integer, in the path"
    assert path["If-Match"].required
    fields = {model.name: model.fields for model in FOUND.models}
    assert {field.name: field.model for field in fields["Budgets"]}["data"] == "Budget"


def test_names_outside_leave_out_what_is_for_the_inside() -> None:
    assert _public("PriceAnswer") == "Price"
    assert not [model.name for model in FOUND.models if model.name.endswith(("Answer", "Body"))]
