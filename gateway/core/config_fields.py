"""Values of a configuration document: what they may be, and the one form that they are kept in.

The forms are those of ``adapters.directory_facts``, so that what is wanted and what is there can be
compared as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.core.money import LIMIT_NANO_MAX, decimal_usd, nano_from_usd
from gateway.core.tags import is_name, is_value
from gateway.core.timestamps import moment_of

Checker = Callable[[Any], Any]

COUNT_MAX = 10**12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,99}")
_USD = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


class InvalidField(ValueError):
    """A value that cannot be taken. ``place`` is where in it, for values that have parts."""

    def __init__(self, says: str, place: str = "") -> None:
        super().__init__(says)
        self.place = place


def name(value: Any) -> str:
    """The name of a team, client, budget, rule or channel."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidField(
            "must be 1 to 100 letters, digits, spaces and . _ @ / -, starting with a letter or"
            " digit"
        )
    return value


def names(value: Any) -> list[str]:
    """Names, at least one; their order means nothing."""
    return sorted(set(_list(value, name, least=1)))


def pattern(value: Any) -> str:
    """A shell-style pattern of models."""
    if not isinstance(value, str) or not (0 < len(value) <= 128 and value.isprintable()):
        raise InvalidField('must be a pattern of 1 to 128 characters, such as "gpt-4o*"')
    return value


def patterns(value: Any) -> list[str]:
    """Patterns; none at all allows every model."""
    return _list(value, pattern)


def count(value: Any) -> int:
    """A limit; 0 is none."""
    return _whole(value, 0, COUNT_MAX)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidField("must be true or false")
    return value


def amount(value: Any) -> str:
    """US dollars, as text: a number in TOML is a float, which is never exact."""
    return decimal_usd(nano(value))


def nano(value: Any) -> int:
    """Nano-dollars of an amount."""
    if not isinstance(value, str) or not _USD.fullmatch(value):
        raise InvalidField('must be US dollars in quotes, such as "500.00"')
    found = nano_from_usd(value)
    if found > LIMIT_NANO_MAX:
        raise InvalidField(f"must be at most {decimal_usd(LIMIT_NANO_MAX)} US dollars")
    return found


def one_of(*words: str) -> Checker:
    """A checker for one of ``words``."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise InvalidField(f"must be one of {', '.join(words)}")
        return value

    return check


def zone(value: Any) -> str:
    """A time zone of the IANA database."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        raise InvalidField("must be a time zone such as UTC or Europe/Berlin") from None
    return str(value)


def tag_name(value: Any) -> str:
    """The name of a tag."""
    if not isinstance(value, str) or not is_name(value):
        raise InvalidField("must be the name of a tag: 1 to 64 of a-z, 0-9, _ . and -")
    return value


def tag_pair(value: Any) -> str:
    """A tag and its value."""
    tag, _, text = value.partition("=") if isinstance(value, str) else ("", "", "")
    if not (is_name(tag) and is_value(text)):
        raise InvalidField('must be a tag and its value, such as "project=alpha"')
    return f"{tag}={text}"


def percents(value: Any) -> list[int]:
    """Percentages, at least one, in order."""
    return sorted(set(_list(value, lambda item: _whole(item, 1, 100_000), least=1)))


def tokens(value: Any) -> int:
    """A number of tokens above zero."""
    return _whole(value, 1, 2**53 - 1)


def threshold(value: Any) -> int:
    """A number of tokens that a step begins above."""
    return _whole(value, 0, 2**53 - 1)


def moment(value: Any) -> datetime:
    """A moment: a TOML date and time with its offset, or the same in quotes."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    try:
        return moment_of(value)
    except (ValueError, TypeError):
        raise InvalidField("must be a time with its offset: 2026-12-01T00:00:00Z") from None


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidField(f"must be a whole number from {least:,} to {most:,}")
    return value


def _list(value: Any, check: Checker, least: int = 0) -> list[Any]:
    if not isinstance(value, list) or len(value) < least:
        raise InvalidField("must be a list" + (" that is not empty" if least else ""))
    return [check(item) for item in value]
