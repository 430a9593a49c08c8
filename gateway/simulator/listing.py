"""What the stored objects have in common: ids, pages of lists, metadata, expiry.

Sources: OpenAI API reference, the "List ..." pages, "Metadata" and "Create upload"
(``expires_after``).
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.simulator.errors import bad_request, invalid_type, missing_parameter
from gateway.simulator.server import Answer, Request

METADATA_PAIRS_MAX = 16
METADATA_KEY_MAX = 64
METADATA_VALUE_MAX = 512
EXPIRY_SECONDS_MIN = 3_600
EXPIRY_SECONDS_MAX = 2_592_000

_ID_CHARACTERS = string.ascii_letters + string.digits


def random_id(prefix: str, length: int = 24) -> str:
    """A new id: ``prefix`` and ``length`` random letters and digits."""
    return prefix + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(length))


def page_of(
    objects: Sequence[Mapping[str, Any]],
    request: Request,
    *,
    limit_default: int,
    limit_max: int,
    ascending: bool = False,
) -> Answer:
    """One page of ``objects``, given oldest first: newest first, or as ``ascending`` says.

    Raises ProviderError (400) for a bad ``limit`` or an ``after`` that is not in the list.
    """
    arguments = request.arguments()
    limit = _limit(arguments.get("limit"), limit_default, limit_max)
    ordered = list(objects) if ascending else list(reversed(objects))
    after = arguments.get("after")
    start = 0
    if after:
        positions = [index for index, item in enumerate(ordered) if item["id"] == after]
        if not positions:
            raise bad_request(f"Invalid 'after': no object '{after}' in this list.", "after")
        start = positions[0] + 1
    data = ordered[start : start + limit]
    answer = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + limit < len(ordered),
    }
    return Answer(orjson.dumps(answer))


def is_ascending(request: Request, *, default: bool) -> bool:
    """Whether ``order`` asks for the oldest first. Raises ProviderError (400)."""
    order = request.arguments().get("order")
    if order is None:
        return default
    one_of(order, ("asc", "desc"), "order")
    return order == "asc"


def _limit(text: str | None, default: int, largest: int) -> int:
    if text is None:
        return default
    try:
        limit = int(text)
    except ValueError:
        raise invalid_type("limit", "an integer", text) from None
    if limit < 1:
        side, sign, bound = "below_min", ">=", 1
    elif limit > largest:
        side, sign, bound = "above_max", "<=", largest
    else:
        return limit
    words = "below minimum" if limit < 1 else "above maximum"
    raise bad_request(
        f"Invalid 'limit': integer {words} value. Expected a value {sign} {bound}, "
        f"but got {limit} instead.",
        "limit",
        f"integer_{side}_value",
    )


def checked_metadata(body: Mapping[str, Any]) -> dict[str, str] | None:
    """The ``metadata`` of a request. Raises ProviderError (400)."""
    metadata = body.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise invalid_type("metadata", "an object", metadata)
    if len(metadata) > METADATA_PAIRS_MAX:
        raise bad_request(
            f"Invalid 'metadata': too many properties. Expected an object with at most "
            f"{METADATA_PAIRS_MAX} properties, but got {len(metadata)} instead.",
            "metadata",
            "object_above_max_properties",
        )
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise invalid_type(f"metadata.{key}", "a string", value)
        if len(key) > METADATA_KEY_MAX or len(value) > METADATA_VALUE_MAX:
            raise bad_request(
                f"Invalid 'metadata.{key}': string too long.",
                f"metadata.{key}",
                "string_above_max_length",
            )
    return metadata


def expiry_seconds(policy: object, param: str) -> int | None:
    """The seconds of an expiry policy (``anchor``, ``seconds``). Raises ProviderError (400)."""
    if policy is None:
        return None
    if not isinstance(policy, dict):
        raise invalid_type(param, "an object", policy)
    for name in ("anchor", "seconds"):
        if policy.get(name) is None:
            raise missing_parameter(f"{param}.{name}")
    if policy["anchor"] != "created_at":
        raise bad_request(
            f"Invalid value: '{policy['anchor']}'. Supported values are: 'created_at'.",
            f"{param}.anchor",
            "invalid_value",
        )
    try:
        seconds = int(policy["seconds"])
    except (TypeError, ValueError):
        raise invalid_type(f"{param}.seconds", "an integer", policy["seconds"]) from None
    if not EXPIRY_SECONDS_MIN <= seconds <= EXPIRY_SECONDS_MAX:
        raise bad_request(
            f"Invalid '{param}.seconds': expected a value between {EXPIRY_SECONDS_MIN} and "
            f"{EXPIRY_SECONDS_MAX}, but got {seconds} instead.",
            f"{param}.seconds",
            "invalid_value",
        )
    return seconds


def required_text(body: Mapping[str, Any], name: str) -> str:
    """A field that must be a string. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        raise missing_parameter(name)
    if not isinstance(value, str):
        raise invalid_type(name, "a string", value)
    return value


def one_of(value: object, choices: Sequence[str], param: str) -> None:
    """Raises ProviderError (400) where ``value`` is not one of ``choices``."""
    if value not in choices:
        *first, last = [f"'{choice}'" for choice in choices]
        shown = f"{', '.join(first)}, and {last}" if first else last
        raise bad_request(
            f"Invalid value: '{value}'. Supported values are: {shown}.", param, "invalid_value"
        )
