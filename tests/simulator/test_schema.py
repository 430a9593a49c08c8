from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.schema import instance_of

TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["value", "next"],
    "$defs": {
        "Node": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/$defs/Node"}},
                    "required": ["next"],
                },
                {"type": "null"},
            ]
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "sample"),
        ({"type": "string", "minLength": 8, "maxLength": 8}, "samplexx"),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "maximum": 0.25}, 0.25),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "sample"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 3}, 3),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "required": ["a"]},
                    {"properties": {"b": {"const": 2}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": 2},
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
    ],
)
def test_instances_are_valid(schema: dict[str, Any], expected: Any) -> None:
    assert instance_of(schema) == expected


def test_a_recursive_schema_ends() -> None:
    value = instance_of(TREE)
    depth = 0
    while value is not None:
        value = value["next"]
        depth += 1
    assert depth > 1
