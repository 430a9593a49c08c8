"""The description of the gateway's routes, made without stores, and a reader of its schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs
from flask import Flask

from gateway.web.descriptions.document import document
from gateway.web.descriptions.operation import Operation
from gateway.web.routes import BLUEPRINTS


@cache
def gateways_app() -> Flask:
    """An application with the gateway's routes alone."""
    app = Flask("described", static_folder=None)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


@cache
def description(unknown_pass: bool = True) -> dict[str, Any]:
    return document(gateways_app().url_map, unknown_pass=unknown_pass)


def allows(shape: Mapping[str, Any], value: object) -> bool:
    """Whether ``value`` is one by the schema."""
    return jsonschema_rs.validator_for(dict(shape)).is_valid(value)


def names_in(operation: Operation) -> set[str]:
    """The fields of a request that are described."""
    shape = operation.json if operation.json is not None else operation.form
    assert shape is not None
    return set(shape["properties"])


def refused_in(operation: Operation) -> Mapping[str, str]:
    shape = operation.json if operation.json is not None else operation.form
    assert shape is not None
    found: Mapping[str, str] = shape.get("x-faregate-refused", {})
    return found
