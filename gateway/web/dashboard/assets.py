"""Static files of the dashboard, served from memory under a path that changes with what is in them.

All files share one version, so that modules and style sheets can name each other by relative paths.
A file under the present version may be kept for ever; under any other, browsers ask again.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request

from gateway.core.errors import UnknownEndpoint

FOLDER = Path(__file__).parent / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}

_COMPRESSED_FROM = 1024
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, their gzip where that is shorter, and what names them."""

    body: bytes
    compressed: bytes | None
    digest: str
    type: str


@cache
def assets() -> dict[str, Asset]:
    """Every file by its path below the folder; read once per process."""
    return {
        path.relative_to(FOLDER).as_posix(): _read(path)
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file()
    }


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    compressed = None
    if path.suffix != ".woff2" and len(body) >= _COMPRESSED_FROM:
        compressed = gzip.compress(body, 9, mtime=0)
    return Asset(body, compressed, hashlib.sha256(body).hexdigest(), TYPES[path.suffix])


@cache
def version() -> str:
    """What changes when any file does."""
    every = "".join(f"{name}\0{asset.digest}\n" for name, asset in assets().items())
    return hashlib.sha256(every.encode()).hexdigest()[:16]


def asset(name: str) -> str:
    """The path that a page names the file ``name`` by. Raises KeyError for none of ours."""
    assets()[name]
    return f"/static/{version()}/{name}"


blueprint = Blueprint("assets", __name__)


@blueprint.get("/static/<wanted>/<path:name>")
def static_file(wanted: str, name: str) -> Response:
    """One file. Nobody is asked who they are: these are the same for everybody."""
    found = assets().get(name)
    if found is None:
        raise UnknownEndpoint(f"There is no static file {name[:200]!r}.")
    made = Response(content_type=found.type)
    made.headers["Cache-Control"] = _FOR_EVER if wanted == version() else _ASK_AGAIN
    made.headers["X-Content-Type-Options"] = "nosniff"
    made.set_etag(found.digest)
    if found.compressed is not None:
        made.vary.add("Accept-Encoding")
    if found.compressed is not None and request.accept_encodings["gzip"] > 0:
        # A representation of its own, so with a tag of its own.
        made.set_etag(found.digest + "-gzip")
        made.headers["Content-Encoding"] = "gzip"
        made.set_data(found.compressed)
    else:
        made.set_data(found.body)
    made.make_conditional(request)
    return made
