from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask

from gateway.core.errors import ApiError
from gateway.core.surface import NOT_SERVED
from gateway.web.descriptions.document import OPERATIONS, document
from gateway.web.routes import BLUEPRINTS
from tests.web.descriptions.routes import description, gateways_app

PROBES = ("/healthz", "/readyz", "/metrics", "/openapi.json")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_route_is_described_and_nothing_else() -> None:
    served = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in gateways_app().url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
        if rule.rule.startswith("/v1/") or rule.rule in PROBES
    }
    assert {(path, method) for path, method, _ in operations()} == served
    assert len(served) == 87


def test_what_is_not_served_is_not_described() -> None:
    found = description()
    families = {path.split("/")[2] for path in found["paths"] if path.startswith("/v1/")}
    assert "chat" in families
    # Of the organization a part is served, and why not the rest.
    assert families & NOT_SERVED.keys() == {"organization"}
    assert found["x-faregate-not-served"].keys() == {f"/v1/{name}" for name in NOT_SERVED}


def test_a_route_without_a_description_is_an_error() -> None:
    app = Flask("more", static_folder=None)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.add_url_rule("/v1/more", "more", lambda: "")
    with pytest.raises(ValueError, match="more"):
        document(app.url_map, unknown_pass=True)


def test_a_description_without_a_route_is_an_error() -> None:
    app = Flask("fewer", static_folder=None)
    for blueprint in BLUEPRINTS[1:]:
        app.register_blueprint(blueprint)
    with pytest.raises(ValueError, match="batches"):
        document(app.url_map, unknown_pass=True)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names) == len(OPERATIONS)


def test_variables_of_paths_are_parameters() -> None:
    for path, _, operation in operations():
        named = {one["name"] for one in operation.get("parameters", ()) if one.get("in") == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path


def test_who_calls_is_asked_below_v1_and_nowhere_else() -> None:
    assert description()["security"] == [{"key": []}]
    for path, _, operation in operations():
        of_control = path.startswith("/v1/organization/")
        assert ("security" in operation) == (of_control or not path.startswith("/v1/")), path
        assert operation.get("security", []) == ([{"adminToken": []}] if of_control else [])
        assert ("401" in operation["responses"]) == path.startswith("/v1/")


def test_every_reference_leads_somewhere() -> None:
    found = description()
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(found)))
    assert len(references) > 20
    for reference in references:
        place: Any = found
        for step in reference.split("/"):
            place = place[step]
        assert place, reference


def _schemas(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for name, below in value.items():
            if name == "schema":
                yield below
            else:
                yield from _schemas(below)
    elif isinstance(value, list):
        for below in value:
            yield from _schemas(below)


def test_every_component_is_used() -> None:
    found = description()
    text = json.dumps(found)
    for kind in ("headers", "parameters", "schemas"):
        for name in found["components"][kind]:
            assert f"#/components/{kind}/{name}" in text, name


def test_every_schema_is_one() -> None:
    found = [*_schemas(description()), *description()["components"]["schemas"].values()]
    assert len(found) > 150
    for schema in found:
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_the_errors_are_the_gateways_own() -> None:
    envelope = description()["components"]["schemas"]["Error"]
    assert jsonschema_rs.is_valid(envelope, ApiError("It is not.").envelope())
    assert not jsonschema_rs.is_valid(envelope, {"error": {"message": "It is not."}})
    named = {
        status
        for path, _, operation in operations()
        for status in operation["responses"]
        if path.startswith("/v1/")
    }
    assert named == {
        *("200", "default", "400", "401", "403", "404", "408", "409", "413", "414", "415", "429"),
        *("431", "500", "502", "503", "504"),
    }


def test_unknown_fields_are_refused_where_the_provider_is_not_openai() -> None:
    def chat(unknown_pass: bool) -> dict[str, Any]:
        operation = description(unknown_pass)["paths"]["/v1/chat/completions"]["post"]
        schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
        return schema

    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Is it?"}]}
    for unknown_pass in (True, False):
        assert jsonschema_rs.is_valid(chat(unknown_pass), asked)
        assert jsonschema_rs.is_valid(chat(unknown_pass), {**asked, "news": None})
        assert jsonschema_rs.is_valid(chat(unknown_pass), {**asked, "news": 1}) == unknown_pass
