"""A small valid instance of a JSON schema, for structured answers and tool arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH_MAX = 12
"""Nesting after which alternatives without further nesting are taken, to end recursive schemas."""

_STRINGS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance_of(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value that ``schema`` accepts: required parts only, first alternatives first.

    ``pattern`` is not solved. References are resolved inside ``root`` (by default ``schema``).
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" in schema:
        return instance_of(_resolved(str(schema["$ref"]), root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return instance_of(_alternative(schema[key], depth), root, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            part = _resolved(str(part["$ref"]), root) if "$ref" in part else part
            merged = _merged(merged, part)
        return instance_of(merged, root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = "null" if depth > DEPTH_MAX and "null" in kind else kind[0]
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties") or {}
        names = schema.get("required") or ()
        return {name: instance_of(properties.get(name, {}), root, depth + 1) for name in names}
    if kind == "array":
        count = int(schema.get("minItems", 0 if depth > DEPTH_MAX else 1))
        if schema.get("maxItems") == 0:
            count = 0
        return [instance_of(schema.get("items", {}), root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _string(schema)


def _string(schema: Mapping[str, Any]) -> str:
    text = _STRINGS.get(str(schema.get("format")), "sample")
    text = text.ljust(int(schema.get("minLength", 0)), "x")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _number(schema: Mapping[str, Any], whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    value = low if low is not None else min(step, high) if high is not None else step
    if schema.get("multipleOf"):
        value = -(-value // step) * step
    return int(value) if whole else value


def _alternative(options: list[Any], depth: int) -> Any:
    """The first alternative; deep down, one that does not nest further."""
    if depth <= DEPTH_MAX:
        return options[0]
    for option in options:
        if isinstance(option, Mapping) and option.get("type") not in (None, "object", "array"):
            return option
    return options[-1]


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    both = {**left, **right}
    both["properties"] = {**(left.get("properties") or {}), **(right.get("properties") or {})}
    both["required"] = [*(left.get("required") or ()), *(right.get("required") or ())]
    return both


def _resolved(reference: str, root: Any) -> Any:
    """The schema at a local reference such as ``#/$defs/Node``; {} where there is none."""
    node = root
    for step in reference.removeprefix("#").split("/"):
        if not step:
            continue
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step, {}) if isinstance(node, Mapping) else {}
    return node
