"""The admin API for people to read, from the same description that programs read."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.web import principals
from gateway.web.admin.description import PATH, described
from gateway.web.admin.reference import reference
from gateway.web.current import services
from gateway.web.dashboard import shell

blueprint: Blueprint = shell.pages("api_docs")


@blueprint.get("/api-docs")
def api_docs() -> Response:
    """Every operation with what it takes and answers."""
    viewer = principals.principal()
    base_url = services().gate.settings.public_url or request.host_url
    return shell.render(
        "api_docs.html",
        viewer,
        title="Admin API",
        reference=reference(described(), base_url),
        description_path=PATH,
    )
