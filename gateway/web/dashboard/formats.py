"""Amounts, counts and moments as the pages write them. Integers in, text out; no float on the way.

``static/amounts.js`` writes the figures of charts in the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.core.money import NANO_PER_USD, display_usd

DASH = "—"
_SMALL_NANO = NANO_PER_USD // 10
_SIGNIFICANT = 3


def usd(nano: int) -> str:
    """Dollars to the cent; of less than ten cents, three significant digits: ``"$0.000423"``.

    Halves are rounded away from zero. What is not zero never reads as zero.
    """
    size = abs(nano)
    unit = NANO_PER_USD // 100
    if 0 < size < _SMALL_NANO:
        unit = 10 ** max(0, len(str(size)) - _SIGNIFICANT)
    rounded = (2 * size + unit) // (2 * unit) * unit
    return ("-" if nano < 0 else "") + display_usd(rounded)


def exact_usd(nano: int) -> str:
    """All digits of an amount, for who looks closer."""
    return display_usd(nano)


def grouped(value: int) -> str:
    """A count with its thousands set apart: ``"1,234,567"``."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """A count with its noun: ``"1 request"``, ``"1,234 requests"``."""
    return f"{grouped(value)} {noun}{'' if value == 1 else 's'}"


_SUFFIXES = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))


def short(value: int) -> str:
    """A count to three digits: ``"1.23M"``; below ten thousand all of it."""
    if abs(value) < 10_000:
        return grouped(value)
    size = abs(value)
    for unit, suffix in _SUFFIXES:
        if size >= unit:
            hundredths = size * 100 // unit
            decimals = 2 if hundredths < 1000 else 1 if hundredths < 10_000 else 0
            text = f"{hundredths // 100}.{hundredths % 100:02d}"[: -(2 - decimals) or None]
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return ("-" if value < 0 else "") + text + suffix
    raise AssertionError("a count of ten thousand has a suffix")


def percent(part: int, whole: int) -> str:
    """``part`` of ``whole`` in percent: ``"12.3 %"``; a dash where there is no whole."""
    if whole == 0:
        return DASH
    return permille_text(part * 1000 // whole, nonzero=part != 0)


def permille_text(permille: int, *, nonzero: bool = False) -> str:
    """Permille as percent: whole from ten percent on, ``"< 0.1 %"`` where there is a little."""
    if permille == 0 and nonzero:
        return "< 0.1 %"
    sign, size = ("-" if permille < 0 else ""), abs(permille)
    if size >= 100 or size == 0:
        return f"{sign}{(size + 5) // 10} %"
    return f"{sign}{size // 10}.{size % 10} %"


def permille(part: int, whole: int) -> int:
    """``part`` of ``whole`` in permille, from 0 to 1000: the length of a bar."""
    if whole <= 0:
        return 0
    return min(max(part * 1000 // whole, 0), 1000)


@dataclass(frozen=True, slots=True)
class Change:
    """A figure against the same of the previous period."""

    permille: int
    text: str


_TIMES_FROM = 10_000


def change(now: int, before: int | None) -> Change | None:
    """How ``now`` compares with ``before``; None where there was nothing to compare with."""
    if not before:
        return None
    moved = (now - before) * 1000 // before
    if moved >= _TIMES_FROM:
        return Change(moved, f"{now // before}x")
    size = abs(moved)
    return Change(moved, permille_text(size))


def duration(milliseconds: int | None) -> str:
    """A duration to three digits: ``"840 ms"``, ``"2.41 s"``, ``"3 min 20 s"``."""
    if milliseconds is None:
        return DASH
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        hundredths = milliseconds // 10
        if hundredths < 1000:
            return f"{hundredths // 100}.{hundredths % 100:02d} s"
        return f"{hundredths // 100}.{hundredths % 100 // 10} s"
    return span(timedelta(milliseconds=milliseconds))


def span(length: timedelta) -> str:
    """A length of time in its two largest units: ``"3 d 4 h"``, ``"12 min"``."""
    seconds = max(0, int(length.total_seconds()))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, name))
        if len(parts) == 2:
            break
    if not parts:
        return "0 s"
    if parts[0][1] in ("min", "s") and parts[0][0] >= 10:
        parts = parts[:1]
    return " ".join(f"{count} {name}" for count, name in parts if count)


def until(at: datetime, now: datetime) -> str:
    """How long it is until ``at``: ``"in 3 d 4 h"``."""
    return f"in {span(at - now)}"


def moment(at: datetime, seconds: bool = False) -> str:
    """A moment in UTC: ``"2026-05-04 13:07"``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def clock(at: datetime) -> str:
    """The time of day of a moment in UTC."""
    return f"{at.astimezone(UTC):%H:%M}"


def day(at: datetime) -> str:
    """A day in UTC as people write it: ``"4 May 2026"``."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y}"


def short_day(at: datetime) -> str:
    """A day without its year: ``"4 May"``."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b}"


def iso(at: datetime) -> str:
    """A moment for programs, in the ``datetime`` attribute of ``<time>``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(text: str) -> str:
    """A heading as an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


FILTERS = {
    "usd": usd,
    "exact_usd": exact_usd,
    "grouped": grouped,
    "counted": counted,
    "short": short,
    "duration": duration,
    "moment": moment,
    "clock": clock,
    "day": day,
    "until": until,
    "change": change,
    "iso": iso,
    "slug": slug,
    "permille": permille,
    "percent": percent,
}
"""What templates may write after a ``|``."""
