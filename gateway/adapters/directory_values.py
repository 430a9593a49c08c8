"""What the directory takes as names, limits, patterns and time zones, and how it says no."""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.core.money import LIMIT_NANO_MAX, display_usd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,99}")


class DirectoryError(ValueError):
    """A change that cannot be made; the message says why and what to do."""


class NotThere(DirectoryError):
    """What is to be read or changed does not exist, or was removed."""


class InTheWay(DirectoryError):
    """Something else stands against the change: a name that is taken, a team with clients."""


class ChangedMeanwhile(DirectoryError):
    """What is to be changed is no longer what the caller has seen: read it again."""


def checked_name(name: str) -> str:
    """A name that people and shells can handle. Raises DirectoryError."""
    if not _NAME.fullmatch(name):
        raise DirectoryError(
            f"{name!r} is not a name: use 1 to 100 letters, digits, spaces and . _ @ / -,"
            " starting with a letter or digit"
        )
    return name


def checked_limits(limits: dict[str, Any]) -> dict[str, Any]:
    """Columns of the clients table, without those that are None. Raises DirectoryError."""
    values = {name: value for name, value in limits.items() if value is not None}
    for name, value in values.items():
        if isinstance(value, int) and not 0 <= value <= 10**12:
            raise DirectoryError(f"{name.replace('_', ' ')} must be from 0 (no limit) to 10^12")
    if "allowed_models" in values:
        patterns = [checked_pattern(pattern) for pattern in values["allowed_models"]]
        values["allowed_models"] = json.dumps(patterns)
    return values


def checked_pattern(pattern: str | None) -> str | None:
    """A shell-style model pattern. Raises DirectoryError."""
    if pattern is not None and not (0 < len(pattern) <= 128 and pattern.isprintable()):
        raise DirectoryError(f"{pattern!r} is not a model pattern: use 1 to 128 characters")
    return pattern


def checked_limit(limit_nano: int) -> int:
    """A budget's limit in nano-dollars. Raises DirectoryError."""
    if not 0 <= limit_nano <= LIMIT_NANO_MAX:
        raise DirectoryError(
            f"a budget's limit is from $0 to {display_usd(LIMIT_NANO_MAX)}: counters are exact"
            " up to there"
        )
    return limit_nano


def checked_zone(name: str) -> str:
    """A time zone of the IANA database. Raises DirectoryError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DirectoryError(
            f"{name!r} is not a time zone: use a name such as UTC or Europe/Berlin"
        ) from error
    return name
