"""/openapi.json: what this process serves, for programs that read OpenAPI; no key is asked for."""

from __future__ import annotations

from functools import cache

import orjson
from flask import Blueprint, Flask, Response, current_app

from gateway.web.current import services
from gateway.web.descriptions.document import document

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
def describe() -> Response:
    """The description, made once per process."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return Response(_rendered(app), content_type="application/json")


@cache
def _rendered(app: Flask) -> bytes:
    unknown_pass = services().gate.settings.passes_unknown_fields
    return orjson.dumps(document(app.url_map, unknown_pass=unknown_pass))
