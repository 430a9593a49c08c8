"""Every error as OpenAI's envelope. The one place where errors become HTTP."""

from __future__ import annotations

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway.core import errors
from gateway.core.errors import ApiError
from gateway.core.surface import why_not_served
from gateway.web.current import services
from gateway.web.dashboard.shell import error_page
from gateway.web.page_rules import is_page

_log = structlog.get_logger(__name__)


def rendered(error: ApiError) -> bytes:
    """The body of one error."""
    return orjson.dumps(error.envelope())


def _render(error: ApiError) -> Response:
    """The response of one error, counted by its code."""
    services().gate.metrics.refused(error.code or error.type)
    made = Response(rendered(error), status=error.status, content_type="application/json")
    made.headers.extend(error.headers)
    return made


def install(app: Flask) -> None:
    """Render every error of ``app`` in the envelope."""

    @app.errorhandler(ApiError)
    def _api_error(error: ApiError) -> Response:
        return _render(error)

    @app.errorhandler(HTTPException)
    def _http_error(error: HTTPException) -> Response:
        found = as_api_error(error)
        if found.status == 404 and _for_people():
            return error_page(404, "There is no such page. It may have moved, or never been.")
        return _render(found)

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        # The details are for the log: a client must not see what is inside.
        _log.exception("request.failed", path=request.path, error=type(error).__name__)
        return _render(ApiError("The gateway failed to serve this request; its log says why."))


def _for_people() -> bool:
    """Whether a browser asks for a page, and no program for what it can read."""
    wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return is_page() and wanted == "text/html"


def as_api_error(error: HTTPException) -> ApiError:
    """What a client is told where Werkzeug refuses its request."""
    where = f"{request.method} {request.path[:200]}"
    if isinstance(error, RequestEntityTooLarge):
        form = request.mimetype == "multipart/form-data"
        setting = "FAREGATE_FILE_BYTES_MAX" if form else "FAREGATE_BODY_BYTES_MAX"
        return errors.BodyTooLarge(
            f"The request body is larger than {request.max_content_length:,} bytes, the limit"
            f" here ({setting})."
        )
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(set(error.valid_methods or ()) - {"OPTIONS", "HEAD"}))
        return errors.MethodNotAllowed(
            f"{where}: this method is not allowed; use {allowed}.", headers={"allow": allowed}
        )
    if isinstance(error, NotFound):
        if why := why_not_served(request.path):
            return errors.UnknownEndpoint(
                f"{where}: Faregate does not serve this part of OpenAI's API: {why}."
                " Nothing was sent to the provider.",
                code="endpoint_not_supported",
            )
        return errors.UnknownEndpoint(
            f"Unknown request URL: {where}. Faregate serves the endpoints that it can meter;"
            " they are listed in its README."
        )
    if (error.code or 500) < 500:
        return errors.BadRequest(f"{where}: {error.description or error.name}")
    return ApiError("The gateway failed to serve this request; its log says why.")
