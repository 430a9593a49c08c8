"""The form in the body of the current request, read once, with its files on disk."""

from __future__ import annotations

from flask import g, request

from gateway.adapters.forms import Form, read_form
from gateway.core.errors import BadRequest, UnsupportedEncoding
from gateway.settings import Settings
from gateway.web.json_body import reading_body


def form(settings: Settings) -> Form:
    """The parsed form; the same object at every call of a request.

    Raises BadRequest, RequestTimeout, UnsupportedEncoding, or Werkzeug's 413.
    """
    if "form" not in g:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedEncoding("Send the request body uncompressed.")
        if request.mimetype != "multipart/form-data":
            raise BadRequest("Send this request as Content-Type: multipart/form-data.")
        request.max_content_length = settings.file_bytes_max
        with reading_body(settings.client_timeout_seconds):
            boundary = request.mimetype_params.get("boundary", "")
            g.form = read_form(request.stream, boundary)
        if "Idempotency-Key" in request.headers:
            g.body_digest = g.form.digest()
    found: Form = g.form
    return found
