"""Budgets and their windows: what a limit covers, and which period a moment falls in."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
FOREVER_MS = 2**53 - 1
"""End of the `total` window, in milliseconds since 1970: later than any clock."""


class Scope(StrEnum):
    """What a budget is set on."""

    ORGANIZATION = "organization"
    TEAM = "team"
    CLIENT = "client"


class WindowKind(StrEnum):
    """The period of a budget, in the budget's own time zone."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Enforcement(StrEnum):
    """What a budget does when it is nearly spent."""

    STRICT = "strict"
    """Holds the worst case of each request; never exceeded."""
    EXPECTED = "expected"
    """Holds what this client's requests to this model have really needed; overruns are
    possible, bounded by the worst case of the requests in flight, counted and shown."""
    SOFT = "soft"
    """Never refuses; counts what passes the limit."""


@dataclass(frozen=True, slots=True)
class Window:
    """One period: ``start_ms`` inclusive to ``end_ms`` exclusive, milliseconds since 1970."""

    start_ms: int
    end_ms: int

    def contains(self, at_ms: int) -> bool:
        """Whether the moment ``at_ms`` lies in this window."""
        return self.start_ms <= at_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in nano-dollars per window, on the organization, a team or a client."""

    id: int
    name: str
    scope: Scope
    limit_nano: int
    window: WindowKind
    time_zone: str
    enforcement: Enforcement
    team_id: int | None = None
    client_id: int | None = None
    model_pattern: str | None = None
    tag: str | None = None
    """``name=value``: only requests with this tag count."""

    def covers(self, model: str, tags: Mapping[str, str]) -> bool:
        """Whether requests for ``model`` (shell-style pattern) with ``tags`` count against this."""
        if self.tag is not None:
            name, _, value = self.tag.partition("=")
            if tags.get(name) != value:
                return False
        return self.model_pattern is None or fnmatch.fnmatchcase(model, self.model_pattern)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _past_hour_ms(zone: ZoneInfo, at_ms: int) -> int:
    """By how much the zone's clock is off the whole hours of UTC at ``at_ms``."""
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone(zone)
    return int((local.utcoffset() or timedelta()).total_seconds()) * 1000 % HOUR_MS


def _hour(zone: ZoneInfo, at_ms: int) -> Window:
    past = _past_hour_ms(zone, at_ms)
    start = (at_ms + past) // HOUR_MS * HOUR_MS - past
    end = start + HOUR_MS
    # At most one end moves: no zone changes its clock twice in an hour.
    before, after = start - 1, at_ms
    if _past_hour_ms(zone, start) != past:
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (
                (before, middle) if _past_hour_ms(zone, middle) == past else (middle, after)
            )
        return Window(after, end)
    before, after = at_ms, end - 1
    if _past_hour_ms(zone, after) != past:
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (
                (middle, after) if _past_hour_ms(zone, middle) == past else (before, middle)
            )
        return Window(start, after)
    return Window(start, end)


def window_at(kind: WindowKind, time_zone: str, at_ms: int) -> Window:
    """The window of ``kind`` in ``time_zone`` that contains ``at_ms``.

    Days, weeks (from Monday) and months follow the calendar of the time zone, so a day may
    last 23 or 25 hours. An hour is an hour of absolute time: it neither repeats nor vanishes
    when clocks change by whole hours; where they change by a part of one (Lord Howe Island),
    the hour that they change in is cut in two.
    """
    if kind is WindowKind.TOTAL:
        return Window(0, FOREVER_MS)
    zone = ZoneInfo(time_zone)
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone(zone)
    if kind is WindowKind.HOUR:
        return _hour(zone, at_ms)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind is WindowKind.DAY:
        first, after = midnight, midnight + timedelta(days=1)
    elif kind is WindowKind.WEEK:
        first = midnight - timedelta(days=midnight.weekday())
        after = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    # Arithmetic on aware datetimes is wall-clock arithmetic: the offset of each edge is that
    # of its own date, which is what a calendar window means.
    return Window(_milliseconds(first), _milliseconds(after))
