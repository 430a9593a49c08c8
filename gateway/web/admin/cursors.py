"""Places in lists: opaque to callers, and checked when they come back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.core.errors import BadRequest
from gateway.web.admin.fields import ID_MAX


def written(*parts: int | str) -> str:
    """A cursor that ``read`` reads."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read(cursor: str | None, *kinds: type) -> Sequence[Any] | None:
    """The parts of a cursor, of these kinds; None for none. Raises BadRequest."""
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise _wrong() from None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise _wrong()
    if any(isinstance(part, int) and not 0 <= part <= ID_MAX for part in parts):
        raise _wrong()
    if any(isinstance(part, str) and not part.isprintable() for part in parts):
        raise _wrong()
    return parts


def _wrong() -> BadRequest:
    return BadRequest("cursor: not one that this list gave; leave it out to begin.", param="cursor")
