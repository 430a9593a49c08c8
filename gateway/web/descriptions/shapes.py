"""JSON Schemas (2020-12, as in OpenAPI 3.1), written as calls.

Objects are open: fields that are not named go on to the provider, and answers gain fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

Shape = Mapping[str, Any]

ANY: Shape = {}
"""Whatever JSON it is: the gateway passes it on."""


def text(least: int = 0, most: int | None = None, pattern: str | None = None) -> Shape:
    """A string; lengths in characters."""
    found: dict[str, Any] = {"type": "string"}
    if least:
        found["minLength"] = least
    if most is not None:
        found["maxLength"] = most
    if pattern is not None:
        found["pattern"] = pattern
    return found


def integer(least: int | None = None, most: int | None = None) -> Shape:
    """A whole number within limits."""
    return {"type": "integer", **_limits(least, most)}


def number(least: float | None = None, most: float | None = None) -> Shape:
    """A number within limits."""
    return {"type": "number", **_limits(least, most)}


def _limits(least: float | None, most: float | None) -> Shape:
    limits = {"minimum": least, "maximum": most}
    return {name: value for name, value in limits.items() if value is not None}


def flag() -> Shape:
    """True or false."""
    return {"type": "boolean"}


def one_of(*values: str) -> Shape:
    """One of these strings."""
    return {"type": "string", "enum": list(values)}


def list_of(item: Shape, least: int = 0, most: int | None = None) -> Shape:
    """An array of ``item``."""
    found: dict[str, Any] = {"type": "array", "items": item}
    if least:
        found["minItems"] = least
    if most is not None:
        found["maxItems"] = most
    return found


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with these fields, and any others."""
    found: dict[str, Any] = {"type": "object"}
    if properties := {**required, **(optional or {})}:
        found["properties"] = properties
    if required:
        found["required"] = list(required)
    return found


def either(*shapes: Shape) -> Shape:
    """Any of ``shapes``."""
    return {"anyOf": list(shapes)}


def nullable(shape: Shape) -> Shape:
    """``shape`` or null, which counts as a field that is not there."""
    if not shape:
        return shape
    kind = shape.get("type")
    if isinstance(kind, str) and "enum" not in shape:
        return {**shape, "type": [kind, "null"]}
    if "anyOf" in shape:
        return either(*shape["anyOf"], {"type": "null"})
    return either(shape, {"type": "null"})


def file() -> Shape:
    """A file of a form."""
    return {"type": "string", "format": "binary"}


def metadata() -> Shape:
    """Up to 16 pairs of strings. Source: OpenAI API reference, "metadata"."""
    return {
        "type": "object",
        "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
        "additionalProperties": text(most=512),
    }


def fields(
    known: Set[str],
    required: Mapping[str, Shape],
    optional: Mapping[str, Shape],
    *,
    refused: Mapping[str, str] | None = None,
) -> Shape:
    """The JSON object that a request is: exactly the fields in ``known``, null where optional.

    Fields without a shape of their own are passed on as they are. ``refused`` are fields that
    the gateway refuses, with the reason. Raises ValueError for a shape of a field that the
    endpoint does not have.
    """
    return _named(known, required, optional, ANY, nullable, refused or {})


def form(
    known: Set[str],
    required: Mapping[str, Shape],
    optional: Mapping[str, Shape],
    *,
    refused: Mapping[str, str] | None = None,
) -> Shape:
    """As ``fields``, of a form, whose fields are text and never null."""
    return _named(known, required, optional, text(), dict, refused or {})


def _named(
    known: Set[str],
    required: Mapping[str, Shape],
    optional: Mapping[str, Shape],
    default: Shape,
    optionally: Callable[[Shape], Shape],
    refused: Mapping[str, str],
) -> Shape:
    if strange := (required.keys() | optional.keys()) - known:
        raise ValueError(f"not fields of this endpoint: {sorted(strange)}")
    names = sorted(known - required.keys() - refused.keys())
    rest = {name: optionally(optional.get(name, default)) for name in names}
    shape = dict(record(required, rest))
    if refused:
        shape["x-faregate-refused"] = dict(sorted(refused.items()))
    return shape
