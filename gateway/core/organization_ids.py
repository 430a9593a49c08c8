"""Ids of teams, clients and keys where OpenAI has projects, users and API keys.

``proj_7`` is the team with id 7, ``user_7`` the client and ``key_7`` the key: the same numbers as
everywhere else here, so that reports and records can be held against each other.
"""

from __future__ import annotations

import re

PROJECT = "proj_"
USER = "user_"
KEY = "key_"

_DIGITS = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def shown(prefix: str, number: int | None) -> str | None:
    """The id of a team, client or key; None where nobody knows which it was (0)."""
    return f"{prefix}{number}" if number else None


def number_of(prefix: str, given: str) -> int | None:
    """The number in an id with ``prefix``; None where it is no such id."""
    digits = given.removeprefix(prefix)
    if digits == given or not _DIGITS.fullmatch(digits):
        return None
    return int(digits)
