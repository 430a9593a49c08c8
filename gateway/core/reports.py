"""What reports are about and what they say: ranges in UTC, sums, groups.

``gateway.adapters.reports`` reads them from the rollups.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta

DIMENSIONS = ("team", "client", "key", "model", "endpoint", "tier", "certainty")
"""What sums can be grouped by, besides ``tag:NAME``."""

UNATTRIBUTED = "Unattributed"
"""The name of what no team, client or key of the deployment is known to have caused."""

NO_VALUE = ""
"""The key of the group of requests that carry no value of a tag."""


def hour_of(moment: datetime) -> datetime:
    """The start of the hour of ``moment``."""
    return moment.replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    """The start of the day in UTC of ``moment``."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def hour_after(moment: datetime) -> datetime:
    """``moment``, or where it is within an hour, the end of that."""
    start = hour_of(moment)
    return start if start == moment else start + timedelta(hours=1)


def day_after(moment: datetime) -> datetime:
    """``moment``, or where it is within a day, the end of that."""
    start = day_of(moment)
    return start if start == moment else start + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a report is about: from ``since`` to before ``until``, in UTC, by whole hours.

    ``since`` is taken back to the start of its hour, ``until`` forward to the end of its. Empty
    filters select everything. With a ``tag``, (name, value), and in costs by line item, the range
    is of whole days likewise.
    """

    since: datetime
    until: datetime
    team_ids: tuple[int, ...] = ()
    client_ids: tuple[int, ...] = ()
    key_ids: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    tag: tuple[str, str] | None = None

    @property
    def hours(self) -> tuple[datetime, datetime]:
        """The range in whole hours."""
        return hour_of(self.since), hour_after(self.until)

    @property
    def days(self) -> tuple[datetime, datetime]:
        """The range in whole days."""
        return day_of(self.since), day_after(self.until)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over usage records; costs in nano-dollars, ``cost_nano`` split by certainty."""

    requests: int = 0
    failures: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0
    trained_tokens: int = 0
    web_search_calls: int = 0
    duration_ms: int = 0
    timed: int = 0
    cache_saved_nano: int = 0
    cost_nano: int = 0
    exact_nano: int = 0
    estimated_nano: int = 0
    unknown_nano: int = 0
    adjusted_nano: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, name) - getattr(other, name) for name in _FIELDS))

    @property
    def nano_per_thousand_requests(self) -> int:
        """Nano-dollars per 1,000 requests, rounded down; 0 without requests."""
        return self.cost_nano * 1000 // self.requests if self.requests else 0


_FIELDS = tuple(field.name for field in fields(Sums))


@dataclass(frozen=True, slots=True)
class Group:
    """Sums of what shares a value: ``key`` is an id or the value itself, ``name`` for people."""

    key: str
    name: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Point:
    """Sums of the hour or day that starts at ``at``, of all or of one group."""

    at: datetime
    key: str
    name: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class ItemCost:
    """What one line item cost: ``quantity`` units for ``cost_nano``; audio in milliseconds.

    ``key`` and ``name`` are of its group, empty where there is none. Which meter an item is
    ``gateway.core.line_items`` says.
    """

    key: str
    name: str
    line_item: str
    quantity: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that were refused, of one group."""

    key: str
    name: str
    requests: int
