"""The OpenAPI 3.1 description of the admin API, from the declarations that serve it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.core.roles import Role
from gateway.web.admin.endpoint import Api, Endpoint, NoBody
from gateway.web.admin.reading import is_many
from gateway.web.cookies import SESSION_COOKIE
from gateway.web.descriptions.operation import COMPONENTS, error_components

JSON = "application/json"
_REF = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")
_SAYS = """\
Everything that a deployment of Faregate consists of: teams, clients, keys, budgets and prices, what
was used and what it cost. Amounts are strings of decimal US dollars, exact to the nano-dollar;
times are RFC 3339, in UTC. Lists come in pages: `next` of one is the `cursor` of the following,
with the same filters. Parameters and fields that are not known are refused. A PATCH or DELETE names
in `If-Match` the ETag of what it was decided on (`*` for whatever there is), and is refused with
412 where that was changed meanwhile. Every change is in the audit log with before and after, and
every replica decides by it within a second. Errors have OpenAI's envelope."""

_WHO = {
    Role.ADMIN: "admin",
    Role.FINANCE: "finance",
    Role.OWNER: "owner (own team)",
    Role.CLIENT: "client (own key)",
}


def document(apis: Sequence[Api]) -> dict[str, Any]:
    """The description of ``apis``."""
    endpoints = [endpoint for api in apis for endpoint in api.endpoints]
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in sorted(endpoints, key=lambda one: (one.path, one.method)):
        path = _VARIABLE.sub(r"{\2}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Faregate admin API", "version": "1", "description": _SAYS},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": api.name, "description": api.says} for api in apis],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin token, or under /me a client's key.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION_COOKIE,
                    "description": "A signed-in browser; changes need its X-CSRF-Token besides.",
                },
            },
            "headers": {
                "ETag": {
                    "description": "What `If-Match` takes.",
                    "schema": {"type": "string"},
                },
                "retry-after": COMPONENTS["headers"]["retry-after"],
            },
            "responses": {
                name: response
                for name, response in error_components().items()
                if name in {f"Error{status}" for status in _STATUSES}
            },
            "schemas": {**_schemas(endpoints), "Error": COMPONENTS["schemas"]["Error"]},
        },
    }


_STATUSES = (400, 401, 403, 404, 408, 409, 412, 413, 414, 415, 428, 431, 500, 503)
"""What the API may answer, besides successes."""


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    who = ", ".join(_WHO[role] for role in Role if role in endpoint.roles)
    says = f"{endpoint.says} " if endpoint.says else ""
    found: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"{says}For: {who}.",
        "tags": [endpoint.group],
        "x-faregate-roles": [role.value for role in endpoint.roles],
    }
    if parameters := [*_path_parameters(endpoint), *_query_parameters(endpoint)]:
        found["parameters"] = parameters
    if endpoint.conditional:
        found.setdefault("parameters", []).append(
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": "The ETag of what the change was decided on, in quotes; or *.",
                "schema": {"type": "string", "pattern": r'^(\*|"[0-9a-f]{32}")$'},
            }
        )
    if endpoint.body is not NoBody:
        found["requestBody"] = {
            "required": any(field.is_required() for field in endpoint.body.model_fields.values()),
            "content": {JSON: {"schema": _ref(endpoint.body)}},
        }
    found["responses"] = _responses(endpoint)
    return found


def _path_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for kind, name in _VARIABLE.findall(endpoint.path):
        schema = {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    named = schema.get("$defs", {})
    for name, shape in schema.get("properties", {}).items():
        plain = _without_null(_resolved(shape, named))
        says = plain.pop("description", "")
        plain.pop("title", None)
        found = {"name": name, "in": "query", "schema": plain}
        if says:
            found["description"] = says
        if is_many(endpoint.query.model_fields[name]):
            found |= {"style": "form", "explode": True}
            plain.pop("default", None)
        yield found


def _resolved(shape: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to written out: parameters are read on their own."""
    found = dict(shape)
    if "$ref" in found:
        found = {**named[found.pop("$ref").rpartition("/")[2]], **found}
    if "anyOf" in found:
        found["anyOf"] = [_resolved(one, named) for one in found["anyOf"]]
    return found


def _without_null(shape: dict[str, Any]) -> dict[str, Any]:
    """A parameter is given or not; it is never null."""
    if shape.get("default", ...) is None:
        shape.pop("default")
    kinds = [one for one in shape.pop("anyOf", []) if one.get("type") != "null"]
    if len(kinds) == 1:
        return {**kinds[0], **shape}
    return {**shape, "anyOf": kinds} if kinds else shape


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    success: dict[str, Any] = {
        "description": (endpoint.answer.__doc__ or "").strip().split("\n\n")[0],
        "content": {JSON: {"schema": _ref(endpoint.answer)}},
    }
    if endpoint.has_etag:
        success["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    statuses = {400, 401, 403, 414, 431, 500, 503}
    if "<" in endpoint.path:
        statuses.add(404)
    if endpoint.body is not NoBody:
        statuses |= {404, 408, 409, 413, 415}
    if endpoint.conditional:
        statuses |= {409, 412, 428}
    errors = {
        str(status): {"$ref": f"#/components/responses/Error{status}"}
        for status in sorted(statuses)
    }
    return {str(endpoint.status): success, **errors}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=_public(model.__name__))}


def _schemas(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Every model by its name, each as it is sent or answered."""
    models: dict[str, tuple[type[BaseModel], Any]] = {}
    for endpoint in endpoints:
        models[endpoint.answer.__name__] = (endpoint.answer, "serialization")
        if endpoint.body is not NoBody:
            models[endpoint.body.__name__] = (endpoint.body, "validation")
    _, found = models_json_schema(list(models.values()), ref_template=_REF)
    return {_public(name): _tidy(schema) for name, schema in sorted(found["$defs"].items())}


def _public(name: str) -> str:
    """What a model is called outside: some share their name with what they are made from."""
    return name.removesuffix("Answer").removesuffix("Body")


def _tidy(schema: Any) -> Any:
    """A schema without titles, which repeat names, and without the defaults of what is not sent."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {**schema, "$ref": _public(schema["$ref"])}
    return {
        name: {field: _field(shape) for field, shape in value.items()}
        if name == "properties"
        else _tidy(value)
        for name, value in schema.items()
        if name != "title" or not isinstance(value, str)
    }


def _field(shape: Any) -> Any:
    found = _tidy(shape)
    if found.get("default", ...) is None and not _takes_null(found):
        del found["default"]
    return found


def _takes_null(shape: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in shape.get("anyOf", []))
