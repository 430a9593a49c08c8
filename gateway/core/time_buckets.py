"""Buckets of time, page by page, as OpenAI's usage and costs APIs cut them.

A bucket begins at a whole minute, hour or day in UTC. A range that begins or ends inside a bucket
has the whole bucket: sums are kept by the hour and the day, and not by the second.
Source: OpenAI API reference, "Usage" (``start_time``, ``end_time``, ``bucket_width``, ``limit``,
``page``).
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.errors import BadRequest

MOMENT_MAX = 4_102_444_800
"""The year 2100: later times are mistaken, such as milliseconds for seconds."""

_CURSOR = struct.Struct(">qq")
_CURSOR_PREFIX = "page_"


@dataclass(frozen=True, slots=True)
class Width:
    """How long a bucket is, and how many of them one page has, unasked and at most."""

    name: str
    seconds: int
    usual: int
    most: int


MINUTE = Width("1m", 60, 60, 1440)
HOUR = Width("1h", 3_600, 24, 168)
DAY = Width("1d", 86_400, 7, 31)
COST_DAY = Width("1d", 86_400, 7, 180)

USAGE_WIDTHS: Mapping[str, Width] = {width.name: width for width in (MINUTE, HOUR, DAY)}
COST_WIDTHS: Mapping[str, Width] = {COST_DAY.name: COST_DAY}


@dataclass(frozen=True, slots=True)
class Page:
    """The buckets from ``since`` until before ``until``, in seconds since 1970."""

    width: Width
    since: int
    until: int
    next_page: str | None
    """The cursor of the page that follows, where there is one."""

    @property
    def starts(self) -> range:
        """Where each bucket begins."""
        return range(self.since, self.until, self.width.seconds)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The same range as moments in UTC."""
        return (
            datetime.fromtimestamp(self.since, tz=UTC),
            datetime.fromtimestamp(self.until, tz=UTC),
        )


def page_of(
    width: Width,
    start_time: int,
    end_time: int | None,
    limit: int | None,
    cursor: str | None,
    now: int,
) -> Page:
    """The page that a query asks for. Times are seconds since 1970; ``now`` ends a range that
    has no end, and buckets that have not begun are left out.

    Raises BadRequest for a range that is none, a limit that is out of range, and a cursor that
    is not of this range.
    """
    for name, moment in (("start_time", start_time), ("end_time", end_time)):
        if moment is not None and not 0 <= moment <= MOMENT_MAX:
            raise BadRequest(
                f"'{name}' must be a time in seconds since 1970, from 0 to {MOMENT_MAX}.",
                param=name,
            )
    if end_time is not None and end_time <= start_time:
        raise BadRequest("'end_time' must be after 'start_time'.", param="end_time")
    count = width.usual if limit is None else limit
    if not 1 <= count <= width.most:
        raise BadRequest(
            f"'limit' must be from 1 to {width.most} where 'bucket_width' is {width.name}.",
            param="limit",
        )
    since = _floor(start_time, width)
    end = _ceil(now + 1 if end_time is None else min(end_time, now + 1), width)
    if cursor is not None:
        since, end = _told_by(cursor, width, since, end)
    until = min(end, since + count * width.seconds)
    following = _cursor(until, end) if until < end else None
    return Page(width, since, max(since, until), following)


def _floor(moment: int, width: Width) -> int:
    return moment - moment % width.seconds


def _ceil(moment: int, width: Width) -> int:
    return _floor(moment + width.seconds - 1, width)


def _cursor(start: int, end: int) -> str:
    """The end is part of it: pages of a range without an end are all of one range."""
    return _CURSOR_PREFIX + base64.urlsafe_b64encode(_CURSOR.pack(start, end)).decode().rstrip("=")


def _told_by(cursor: str, width: Width, since: int, now_end: int) -> tuple[int, int]:
    try:
        text = cursor.removeprefix(_CURSOR_PREFIX).encode("ascii")
        start, end = _CURSOR.unpack(base64.urlsafe_b64decode(text + b"=="))
    except (UnicodeEncodeError, binascii.Error, struct.error):
        start = end = -1
    if not since < start < end <= now_end or start % width.seconds or end % width.seconds:
        raise BadRequest(
            "'page' must be the 'next_page' of the page before, with the same other parameters.",
            param="page",
        )
    return start, end
