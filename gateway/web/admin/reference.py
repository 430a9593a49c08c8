"""The admin API for people: what its page shows, read off the OpenAPI description and nothing else.

So the page cannot say what the description does not, and the description is what is served.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

JSON = "application/json"

Shape = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body or an answer. ``model`` names the one it is made of."""

    name: str
    kind: str
    required: bool
    says: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    name: str
    method: str
    path: str
    summary: str
    says: str
    roles: tuple[str, ...]
    parameters: tuple[Field, ...]
    body: str
    """The name of the model that is sent; empty where nothing is."""
    body_fields: tuple[Field, ...]
    body_needed: bool
    status: str
    answer: str
    example: str
    """A command line that calls it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one subject."""

    name: str
    says: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """What a JSON object consists of, or which words a value may be."""

    name: str
    says: str
    fields: tuple[Field, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole of it."""

    says: str
    groups: tuple[Group, ...]
    models: tuple[Model, ...]


def reference(document: Shape, base_url: str) -> Reference:
    """What ``document`` says, with examples for the deployment at ``base_url``."""
    reader = _Reader(document, base_url.rstrip("/"))
    groups = tuple(
        Group(tag["name"], tag["description"], tuple(reader.operations(tag["name"])))
        for tag in document["tags"]
    )
    return Reference(document["info"]["description"], groups, tuple(reader.models()))


class _Reader:
    def __init__(self, document: Shape, base_url: str) -> None:
        self._paths: Shape = document["paths"]
        self._schemas: Shape = document["components"]["schemas"]
        self._base_url = base_url

    def operations(self, group: str) -> Iterator[Operation]:
        order = {"get": 0, "post": 1, "patch": 2, "delete": 3}
        for path, item in self._paths.items():
            for method in sorted(item, key=lambda name: order.get(name, 9)):
                if group in item[method]["tags"]:
                    yield self._operation(path, method, item[method])

    def models(self) -> Iterator[Model]:
        for name, shape in self._schemas.items():
            says = " ".join(shape.get("description", "").split())
            values = tuple(str(value) for value in shape.get("enum", ()))
            yield Model(name, says, tuple(self._fields(shape)), values)

    def _operation(self, path: str, method: str, found: Shape) -> Operation:
        body = found.get("requestBody", {})
        sent = body["content"][JSON]["schema"] if body else {}
        model = _model(sent)
        status = next(iter(found["responses"]))
        answer = found["responses"][status]["content"][JSON]["schema"]
        parameters = tuple(self._parameter(one) for one in found.get("parameters", ()))
        return Operation(
            name=found["operationId"],
            method=method.upper(),
            path=path,
            summary=found["summary"],
            says=found["description"],
            roles=tuple(found["x-faregate-roles"]),
            parameters=parameters,
            body=model,
            body_fields=tuple(self._fields(self._schemas[model])) if model else (),
            body_needed=bool(body.get("required")),
            status=status,
            answer=_model(answer),
            example=self._example(path, method.upper(), found, model),
        )

    def _parameter(self, found: Shape) -> Field:
        place = {"path": "in the path", "header": "header"}.get(found["in"], "")
        kind = self._kind(found["schema"])
        return Field(
            found["name"],
            f"{kind}, {place}" if place else kind,
            bool(found.get("required")),
            found.get("description", ""),
        )

    def _fields(self, shape: Shape) -> Iterator[Field]:
        needed = shape.get("required", ())
        for name, field in shape.get("properties", {}).items():
            says = str(field.get("description", ""))
            yield Field(name, self._kind(field), name in needed, says, _model(field))

    def _kind(self, shape: Shape) -> str:
        """What a value may be, in words."""
        if "$ref" in shape:
            target = self._schemas[_model(shape)]
            return _words(target) if "enum" in target else _model(shape)
        if "anyOf" in shape:
            return " or ".join(self._kind(one) for one in shape["anyOf"])
        if "enum" in shape:
            return _words(shape)
        kind = shape.get("type")
        if kind == "array":
            return f"list of {self._kind(shape['items'])}"
        if kind == "object" and isinstance(shape.get("additionalProperties"), Mapping):
            return f"object of {self._kind(shape['additionalProperties'])}"
        return f"{_plain(shape)}{_limits(shape)}"

    # Examples

    def _example(self, path: str, method: str, found: Shape, model: str) -> str:
        url = f"{self._base_url}{path}"
        for one in found.get("parameters", ()):
            if one["in"] == "path":
                value = self.value(one["name"], one["schema"])
                url = url.replace(f"{{{one['name']}}}", str(value))
        lines = [f"curl {url}" if method == "GET" else f"curl -X {method} {url}"]
        secret = "$FAREGATE_KEY" if "client" in found["x-faregate-roles"] else "$FAREGATE_TOKEN"
        lines.append(f'-H "Authorization: Bearer {secret}"')
        if method in ("PATCH", "PUT", "DELETE"):
            lines.append("-H 'If-Match: \"0123456789abcdef0123456789abcdef\"'")
        if model:
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d '{json.dumps(self.body(model))}'")
        return " \\\n  ".join(lines)

    def body(self, model: str) -> dict[str, Any]:
        """A small body that the model takes: what must be sent, or the first that may be."""
        shape = self._schemas[model]
        properties: Shape = shape.get("properties", {})
        names = list(shape.get("required", ()))
        if not names and shape.get("minProperties"):
            names = list(properties)[:1]
        return {name: self.value(name, properties[name]) for name in names}

    def value(self, name: str, shape: Shape) -> Any:
        """A value that ``shape`` allows; for some names one that says more."""
        if "$ref" in shape:
            target = self._schemas[_model(shape)]
            return _one_of(name, target) if "enum" in target else self.body(_model(shape))
        if "anyOf" in shape:
            return self.value(name, shape["anyOf"][0])
        if "enum" in shape:
            return _one_of(name, shape)
        if name in _EXAMPLES:
            return _EXAMPLES[name]
        kind = shape.get("type")
        if kind == "object":
            return {}
        if kind == "array":
            return [self.value(name, shape["items"])]
        if kind == "boolean":
            return True
        if kind == "integer":
            return max(int(shape.get("minimum", 1)), 1)
        return "500.00" if name.endswith("_usd") else "search"


_EXAMPLES = {
    "email": "ann@acme.example",
    "rates": {"input": "0.50", "output": "1.50"},
    "model": "gpt-4o-mini",
    "limit_usd": "500.00",
    "window": "month",
    "percents": [50, 80, 100],
    "kind": "webhook",
    "target": "https://hooks.acme.example/faregate",
    "request_id": "req_0123456789",
    "name": "search",
}


def _model(shape: Shape) -> str:
    """The model that a schema refers to, also in a list of it; empty where it is none."""
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    if shape.get("type") == "array":
        return _model(shape["items"])
    for one in shape.get("anyOf", ()):
        if found := _model(one):
            return found
    return ""


def _one_of(name: str, shape: Shape) -> str:
    usual = _EXAMPLES.get(name)
    return str(usual if usual in shape["enum"] else shape["enum"][0])


def _words(shape: Shape) -> str:
    return " | ".join(str(value) for value in shape["enum"])


def _plain(shape: Shape) -> str:
    if shape.get("format") == "date-time":
        return "time"
    if "const" in shape:
        return str(shape["const"])
    kind = shape.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _limits(shape: Shape) -> str:
    least, most = shape.get("minimum"), shape.get("maximum")
    if least is not None and most is not None and most < 10**15:
        return f" {least:,} to {most:,}"
    most = shape.get("maxLength")
    return f" of at most {most:,} characters" if most is not None else ""
