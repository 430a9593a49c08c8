"""Lists in pages, as the provider's newer endpoints cut them: ``after``, ``limit``, ``order``.

Source: OpenAI API reference, "List input items" and "List chat completions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.simulator.errors import bad_request, invalid_type

LIMIT_DEFAULT = 20
LIMIT_MAX = 100


def page_of(
    entries: Sequence[dict[str, Any]], arguments: Mapping[str, str], order_default: str
) -> dict[str, Any]:
    """The ``list`` object with the part of ``entries`` (oldest first) that is asked for.

    Raises ProviderError (400) for arguments that make no sense.
    """
    order = arguments.get("order", order_default)
    if order not in ("asc", "desc"):
        raise bad_request(
            f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.",
            "order",
            "invalid_value",
        )
    limit = _limit(arguments.get("limit"))
    ordered = list(entries) if order == "asc" else list(reversed(entries))
    start = 0
    if after := arguments.get("after"):
        places = [place for place, entry in enumerate(ordered) if entry["id"] == after]
        if not places:
            raise bad_request(f"No such object: '{after}'.", "after", "invalid_value")
        start = places[0] + 1
    data = ordered[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + limit < len(ordered),
    }


def _limit(given: str | None) -> int:
    if given is None:
        return LIMIT_DEFAULT
    if not given.isdecimal():
        raise invalid_type("limit", "an integer", given)
    if not 1 <= int(given) <= LIMIT_MAX:
        wrong, bound = ("below minimum", ">= 1") if int(given) < 1 else ("above maximum", "<= 100")
        code = "integer_below_min_value" if int(given) < 1 else "integer_above_max_value"
        raise bad_request(
            f"Invalid 'limit': integer {wrong} value. Expected a value {bound}, "
            f"but got {given} instead.",
            "limit",
            code,
        )
    return int(given)
