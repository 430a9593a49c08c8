"""Ranges of time that reports are about, as the query of a page names them. All of it is UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gateway.core.reports import day_of, hour_after, hour_of
from gateway.web.dashboard.formats import day, short_day

DEFAULT = "30d"
HOURLY_UP_TO = timedelta(hours=50)
"""Ranges that are shown by the hour; longer ones are by the day."""

DAYS_MAX = 800
"""A custom range is cut to its last so many days."""

PRESETS = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "month": "This month",
    "last-month": "Last month",
}


@dataclass(frozen=True, slots=True)
class Range:
    """From ``since`` to before ``until``; ``name`` is one of PRESETS, or ``custom``."""

    name: str
    since: datetime
    until: datetime

    @property
    def step(self) -> str:
        """``hour`` or ``day``: what one bar stands for."""
        return "hour" if self.until - self.since <= HOURLY_UP_TO else "day"

    @property
    def text(self) -> str:
        """The days of the range, as its button says them."""
        first, last = self.since, self.until - timedelta(microseconds=1)
        if self.name == "24h":
            return f"{first:%H:%M} {short_day(first)} to now"
        if first.date() == last.date():
            return day(first)
        if first.year == last.year:
            return f"{short_day(first)} - {day(last)}"
        return f"{day(first)} - {day(last)}"

    @property
    def phrase(self) -> str:
        """The range in a sentence."""
        phrases = {
            "24h": "in the last 24 hours",
            "7d": "in the last 7 days",
            "30d": "in the last 30 days",
            "90d": "in the last 90 days",
            "month": "this month",
            "last-month": "last month",
        }
        return phrases.get(self.name, f"in {self.text}")

    @property
    def first_day(self) -> str:
        """The first day, for an input of a date."""
        return self.since.date().isoformat()

    @property
    def last_day(self) -> str:
        """The last day, for an input of a date."""
        return (self.until - timedelta(microseconds=1)).date().isoformat()

    @property
    def previous(self) -> Range:
        """What this is compared with: as long a time just before, months with months."""
        if self.name == "last-month":
            return Range("custom", _month_before(self.since), self.since)
        if self.name == "month":
            before = _month_before(self.since)
            return Range("custom", before, min(before + (self.until - self.since), self.since))
        whole_days = timedelta(days=-(-(self.until - self.since) // timedelta(days=1)))
        return Range("custom", self.since - whole_days, self.until - whole_days)

    @property
    def previous_text(self) -> str:
        """What the range before is called."""
        names = {"month": "last month to date", "last-month": "the month before"}
        return names.get(self.name, "the period before")

    def steps(self) -> list[datetime]:
        """The starts of all its hours or days."""
        length = timedelta(hours=1) if self.step == "hour" else timedelta(days=1)
        at = hour_of(self.since) if self.step == "hour" else day_of(self.since)
        found = []
        while at < self.until:
            found.append(at)
            at += length
        return found


def range_of(query: Mapping[str, str], now: datetime) -> Range:
    """The range that a query names; 30 days where it names none that there is."""
    custom = _custom(query.get("from", ""), query.get("to", ""))
    if custom is not None:
        return custom
    name = query.get("range", DEFAULT)
    name = name if name in PRESETS else DEFAULT
    today = day_of(now)
    if name == "24h":
        until = hour_after(now)
        return Range(name, until - timedelta(hours=24), until)
    if name == "month":
        return Range(name, month_of(now), hour_after(now))
    if name == "last-month":
        return Range(name, _month_before(month_of(now)), month_of(now))
    days = int(name.removesuffix("d"))
    return Range(name, today - timedelta(days=days - 1), hour_after(now))


def month_of(at: datetime) -> datetime:
    """The start of the month of ``at``."""
    return day_of(at).replace(day=1)


def _month_before(start: datetime) -> datetime:
    return (start - timedelta(days=1)).replace(day=1)


def _custom(first: str, last: str) -> Range | None:
    try:
        since, until = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return None
    since, until = min(since, until), max(since, until)
    if not 2000 <= since.year <= until.year <= 2200:
        return None
    since = max(since, until - timedelta(days=DAYS_MAX - 1))
    return Range("custom", _midnight(since), _midnight(until + timedelta(days=1)))


def _midnight(at: date) -> datetime:
    return datetime(at.year, at.month, at.day, tzinfo=UTC)
