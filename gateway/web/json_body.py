"""The JSON body of the current request, read once and strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from gateway.adapters.threads import on_counting_thread
from gateway.core.errors import BadRequest, RequestTimeout, UnsupportedEncoding
from gateway.core.strict_json import VALUES_MAX, parse_object
from gateway.core.tags import HEADER
from gateway.settings import Settings
from gateway.web.body_room import LargeBody, Share, own_share

PARSED_INLINE_BYTES = 64 * 1024
"""A body above this takes more than about a millisecond to parse, and is a large one."""
_PIECE_BYTES = 1024 * 1024

CLIENT_BYTES_PER_SECOND = 500
"""A client that sends or reads more slowly than this is not waited for in the end."""


def json_object(settings: Settings, values_max: int = VALUES_MAX) -> tuple[dict[str, Any], int]:
    """The parsed body and its size in bytes; the same object at every call of a request.

    A large one is parsed in a native thread, where other requests do not wait for it.
    Raises BadRequest, RequestTimeout, ServerBusy, UnsupportedEncoding, or Werkzeug's 413.
    """
    if "json_object" not in g:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedEncoding("Send the request body uncompressed.")
        media = request.mimetype
        if media and media != "application/json":
            raise BadRequest(f"Send Content-Type: application/json, not {media[:80]}.")
        raw, share = _read(settings)
        parsing = (raw, settings.json_depth_max, values_max)
        if share is not None:
            with share.given_back_on_failure():
                parsed = on_counting_thread(parse_object, *parsing)
            g.json_object = LargeBody(parsed, share), len(raw)
        else:
            g.json_object = parse_object(*parsing), len(raw)
    found: tuple[dict[str, Any], int] = g.json_object
    return found


def _read(settings: Settings) -> tuple[bytes, Share | None]:
    """The whole body, or an error: what was cut short or cut off is never taken for whole.

    A large one has a share of the room for such; it grows as bytes come, so that a client which
    announces many and sends few takes nobody's place.
    """
    share = None
    with reading_body(settings.client_timeout_seconds):
        raw = request.stream.read(PARSED_INLINE_BYTES)
        # Of a chunked body werkzeug gives what is within the limit; asking for more raises
        # its 413 where there is more.
        if more := request.stream.read(_PIECE_BYTES):
            share = own_share(settings)
            pieces = [raw]
            with share.given_back_on_failure():
                share.add(len(raw))
                while more:
                    share.add(len(more))
                    pieces.append(more)
                    more = request.stream.read(_PIECE_BYTES)
            raw = b"".join(pieces)
    if request.content_length is not None and len(raw) < request.content_length:
        raise BadRequest(
            f"The request body ended after {len(raw)} of the {request.content_length} bytes that"
            " Content-Length announced."
        )
    if "Idempotency-Key" in request.headers:
        g.body_digest = hashlib.sha256(raw).hexdigest()
    return raw, share


@contextmanager
def reading_body(patience_seconds: float) -> Iterator[None]:
    """Gives what goes wrong while a body is read its name. Raises BadRequest, RequestTimeout."""
    try:
        yield
    except ParseException as error:
        raise BadRequest(f"The request body is not framed as HTTP says: {error}.") from None
    except ClientDisconnected as error:
        # Werkzeug takes every failure to read for this one; the server's timeout is behind it.
        if isinstance(error.__context__, TimeoutError):
            raise RequestTimeout(
                f"The request body did not come in time: the limit here is {patience_seconds:g}"
                " seconds (FAREGATE_CLIENT_TIMEOUT_SECONDS), and a second more for every"
                f" {CLIENT_BYTES_PER_SECOND:,} bytes."
            ) from None
        raise


def forwarded_headers(settings: Settings) -> dict[str, str]:
    """The client's headers that go on to the provider: few, and named."""
    allowed = {
        name: value for name in _FORWARDED if (value := request.headers.get(name)) is not None
    }
    if prefixes := settings.forward_header_prefixes:
        for name, value in request.headers.items():
            if name.lower().startswith(prefixes) and name.lower() not in _NEVER:
                allowed[name.lower()] = value
    return allowed


_FORWARDED = ("openai-beta",)
_NEVER = frozenset(
    (
        "authorization",
        "cookie",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "content-type",
        "accept",
        "accept-encoding",
        "openai-organization",
        "openai-project",
        "x-client-request-id",
        "te",
        "upgrade",
        "keep-alive",
        "proxy-authorization",
        "trailer",
        "expect",
        HEADER,
        # Who calls is nothing to the provider, and the key it takes is the deployment's.
        "api-key",
        "x-api-key",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    )
)
