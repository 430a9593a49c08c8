"""Moments as programs exchange them: RFC 3339, always in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import overload

_RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})"
)


@overload
def timestamp(at: datetime) -> str: ...
@overload
def timestamp(at: datetime | None) -> str | None: ...
def timestamp(at: datetime | None) -> str | None:
    """A moment as text: ``2026-12-01T00:00:00Z``; None for none."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_of(text: str) -> datetime:
    """The moment that ``text`` says, in UTC. Raises ValueError where it is not RFC 3339."""
    if _RFC_3339.fullmatch(text) is None or not text.isascii():
        raise ValueError("not a time as RFC 3339 writes it, such as 2026-12-01T00:00:00Z")
    try:
        # Python reads at most six digits of a second.
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper())).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("no such time") from None
