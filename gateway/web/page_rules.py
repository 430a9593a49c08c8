"""What is a page, where pages send people, and the headers that keep pages to themselves."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, Request, redirect, request
from werkzeug.wrappers import Response

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
_APIS = ("/v1", "/admin/api")
_STATIC = "/static/"
_PROBES = frozenset(("/healthz", "/readyz", "/metrics", "/openapi.json"))
_NEXT_LENGTH_MAX = 512

HEADERS = {
    # Everything from this host, and no script or style inside a page: what somebody managed to
    # write into one would not run.
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self';"
        " object-src 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_page(path: str | None = None) -> bool:
    """Whether people look at ``path``, by default the current one; else programs ask for it."""
    path = request.path if path is None else path
    return not any(path == api or path.startswith(f"{api}/") for api in _APIS)


def safe_next(wanted: str | None) -> str:
    """Where to go after signing in: a page of ours that ``wanted`` names, else the first one.

    Browsers read ``//host`` and ``/\\host`` as addresses of another host, and drop tabs and line
    breaks before they look.
    """
    if not wanted or len(wanted) > _NEXT_LENGTH_MAX or not wanted.startswith("/"):
        return "/"
    if not wanted.isascii() or not wanted.isprintable() or "\\" in wanted or "//" in wanted:
        return "/"
    path = urlsplit(wanted).path
    asked = path in (SIGN_IN, SIGN_OUT) or path.startswith(f"{SIGN_IN}/")
    return "/" if asked or not is_page(path) else wanted


def sign_in_address(asked: Request) -> str:
    """The sign-in page, which leads back to what was asked for where that can be asked again."""
    wanted = asked.full_path.rstrip("?") if asked.method == "GET" else ""
    if asked.headers.get("HX-Request"):
        # A part of a page: one comes back to the page that it is for.
        current = urlsplit(asked.headers.get("HX-Current-URL", ""))
        wanted = f"{current.path}?{current.query}" if current.query else current.path
    page = safe_next(wanted)
    return SIGN_IN if page == "/" else f"{SIGN_IN}?{urlencode({'next': page})}"


def to_sign_in(address: str) -> Response:
    """Send a browser to the sign-in page; htmx is told to leave the page that it is in."""
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address, 303)


def install(app: Flask) -> None:
    """Set the headers of pages and of the admin API; OpenAI's API has its own, and probes none."""

    @app.after_request
    def _protect(response: Any) -> Any:
        if request.path.startswith("/v1/") or request.path in _PROBES:
            return response
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.path.startswith(_STATIC):
            response.headers.setdefault("Cache-Control", "no-store")
        return response
