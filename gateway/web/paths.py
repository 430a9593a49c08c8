"""Only plain paths are served: what one parser decodes and another collapses is refused.

The server and the router undo ``%2e`` and ``//``, so a path could be checked as one thing and
read as another. Model names alone may be encoded: they are looked up, and never part of a path
to the provider.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from werkzeug.routing import IntegerConverter, Map

from gateway.core.errors import UnknownEndpoint

_MODEL_NAMES = "/v1/models/"
_AMBIGUOUS = ("//", "/.", "%", "\\", ";", "#")


ID_MAX = 2**63 - 1
"""Largest id that the databases know; a larger one names nothing, and they take it for an error."""


class IdConverter(IntegerConverter):
    """``<int:...>`` of a route: an id."""

    # No zeros before it: an object has one address.
    regex = "0|[1-9][0-9]{0,18}"

    def __init__(self, map: Map, **options: Any) -> None:  # noqa: A002 - as Werkzeug names it
        super().__init__(map, **{"max": ID_MAX, **options})


def install(app: Flask) -> None:
    """Refuse ambiguous paths before anything else looks at a request."""
    # The router would answer a doubled slash with a redirect, which clients follow.
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = IdConverter

    @app.before_request
    def _refuse() -> None:
        path = str(request.environ.get("RAW_URI", "")).partition("?")[0]
        if path.startswith(_MODEL_NAMES):
            return
        if any(mark in path for mark in _AMBIGUOUS):
            raise UnknownEndpoint(
                f"Unknown request URL: {request.method} {path[:200]!r}. Paths are taken as they"
                " are: without doubled slashes, dots or percent-encoding."
            )
