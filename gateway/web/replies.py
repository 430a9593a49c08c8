"""Turns a reply of the paid path into a Flask response, byte for byte."""

from __future__ import annotations

from flask import Response

from gateway.exchange import Reply


def response(reply: Reply) -> Response:
    """The HTTP response of ``reply``."""
    made = Response(reply.body, status=reply.status)
    # Replaced, not added to: Flask's default content type must not stand beside the real one.
    made.headers.clear()
    made.headers.extend(reply.headers)
    if isinstance(reply.body, bytes):
        made.content_length = len(reply.body)
    return made
