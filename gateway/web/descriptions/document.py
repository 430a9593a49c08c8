"""The whole description: the routes of an application, each with what it takes and answers.

Paths and methods are read off the routes themselves, so a route without a description, and a
description without a route, is an error and not a difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.routing import Map, Rule

from gateway.core.surface import NOT_SERVED
from gateway.web.descriptions import media, objects, organization, preflight, responses, text
from gateway.web.descriptions.operation import COMPONENTS, Operation, error_components, rendered

OPERATIONS: Mapping[str, Operation] = {
    **text.OPERATIONS,
    **responses.OPERATIONS,
    **media.OPERATIONS,
    **objects.OPERATIONS,
    **organization.OPERATIONS,
    **preflight.OPERATIONS,
}
"""By the name of the Flask endpoint: the blueprint's, and the function's."""

_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
_PROBES = frozenset(("/healthz", "/readyz", "/metrics", "/openapi.json"))
_UNSAID = frozenset(("HEAD", "OPTIONS"))
"""Methods that every route has beside its own."""

_ABOUT = """\
The OpenAI API as this gateway serves it: budgets are checked before a request is sent, and what
it cost is recorded exactly. Errors have OpenAI's envelope. An optional field that is null counts
as one that is not there. Fields in `x-faregate-refused` are refused, with the reason; other
unknown fields go on to the provider, or are refused where it is not OpenAI itself
(`x-faregate-unknown-fields`). Every request may come with tags for its usage record, as a header
`x-faregate-tags: name=value, name=value`; those that the deployment does not allow are dropped."""


def document(routes: Map, *, unknown_pass: bool) -> dict[str, Any]:
    """The OpenAPI document of ``routes``.

    ``unknown_pass`` says that fields which are not known go on to the provider. Raises
    ValueError where routes and descriptions are not the same.
    """
    paths: dict[str, dict[str, Any]] = {}
    rules = sorted(filter(_described, routes.iter_rules()), key=lambda rule: rule.rule)
    named = {rule.endpoint for rule in rules}
    if named != OPERATIONS.keys():
        raise ValueError(f"routes and descriptions differ: {sorted(named ^ OPERATIONS.keys())}")
    for rule in rules:
        for method in sorted((rule.methods or set()) - _UNSAID):
            item = paths.setdefault(_VARIABLE.sub(r"{\1}", rule.rule), {})
            item[method.lower()] = _operation(rule, method, not unknown_pass)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Faregate", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {**COMPONENTS, "responses": error_components()},
        "x-faregate-unknown-fields": "passed on" if unknown_pass else "refused",
        "x-faregate-not-served": {f"/v1/{name}": why for name, why in NOT_SERVED.items()},
    }


def _described(rule: Rule) -> bool:
    """Whether a route belongs here: pages are for people, and the admin API describes itself."""
    return rule.rule.startswith("/v1/") or rule.rule in _PROBES


def _operation(rule: Rule, method: str, closed: bool) -> dict[str, Any]:
    name = rule.endpoint.rpartition(".")[2]
    variables = _VARIABLE.findall(rule.rule)
    return rendered(name, OPERATIONS[rule.endpoint], method, variables, closed)
