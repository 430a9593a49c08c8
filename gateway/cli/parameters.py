"""Values on the command line: durations, moments, amounts. A bad one is a usage error."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import click

from gateway.core.money import InvalidAmount, nano_from_usd

Value = TypeVar("Value")

_DURATION = re.compile(r"([0-9]{1,9})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DURATION_MAX = timedelta(days=3650)

KEY_ID = click.IntRange(1, 2**63 - 1)
LIMIT = click.IntRange(0, 10**12)
"""A client's limit; 0 is no limit."""


def duration(text: str) -> timedelta:
    """The duration that ``text`` such as 30m, 24h or 90d says. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration: write 30m, 24h, 90d or 2w")
    # Counted in Python's integers first: a timedelta overflows.
    if int(found[1]) > DURATION_MAX // timedelta(**{_UNITS[found[2]]: 1}):
        raise ValueError(f"{text!r} is longer than {DURATION_MAX.days} days")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment_of(text: str) -> datetime:
    """The moment that ``text`` says: 2026-12-01, or with a time; UTC unless it has a zone."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date: write 2026-12-01 or 2026-12-01T15:00") from None


def as_duration(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> timedelta | None:
    """Option callback: a duration, also of zero."""
    return None if value is None else _or_usage_error(duration, value)


def as_lifetime(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> timedelta | None:
    """Option callback: a duration above zero."""
    found = as_duration(context, parameter, value)
    if found is not None and not found:
        raise click.BadParameter("must be longer than zero")
    return found


def as_moment(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Option callback: a date or time."""
    return None if value is None else _or_usage_error(moment_of, value)


def as_past(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Option callback: a date or time, or a duration before now."""

    def past(text: str) -> datetime:
        if _DURATION.fullmatch(text):
            return datetime.now(UTC) - duration(text)
        return moment_of(text)

    return None if value is None else _or_usage_error(past, value)


def as_nano(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Option callback: exact nano-dollars of a decimal amount in US dollars."""
    return None if value is None else _or_usage_error(_nano, value)


def _nano(text: str) -> int:
    nano = nano_from_usd(text.removeprefix("$"))
    if nano < 0:
        raise InvalidAmount(f"{text!r} is below zero")
    return nano


def _or_usage_error(read: Callable[[str], Value], text: str) -> Value:
    try:
        return read(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
