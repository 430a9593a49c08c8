"""JSON as a gateway must read it: one meaning per body, and bounded work to find it.

Two parsers that disagree on a body (duplicate keys, NaN) could make the gateway bound one
request and the provider run another. So what is ambiguous is refused, and what was validated
is what is forwarded, never the bytes that came in.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from gateway.core.errors import BadRequest

_INTEGER_MAX = 2**63 - 1
_DIGITS_MAX = 400
VALUES_MAX = 100_000
"""Most values in one body: far more than any conversation with its tools has."""

TOKEN_VALUES_MAX = 1_000_000
"""Most values where a body may be lists of token ids: three times the tokens that the provider
takes in one request."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_object(body: bytes, depth_max: int, values_max: int = VALUES_MAX) -> dict[str, Any]:
    """The JSON object in ``body``. Raises BadRequest, saying where and what is wrong."""
    if not body:
        raise BadRequest("The request body is empty; it must be a JSON object.")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > values_max:
        # Parsing takes time by the value, not by the byte, and other requests wait for it.
        raise BadRequest(f"The request body has more than {values_max:,} values.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The request body is not UTF-8 (byte {error.start}).") from None
    try:
        parsed = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(
            "We could not parse the JSON body of your request:"
            f" {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep(depth_max) from None
    if not isinstance(parsed, dict):
        raise BadRequest("The request body must be a JSON object.")
    # Every level costs a bracket, so few brackets prove that it is shallow.
    if body.count(b"{") + body.count(b"[") > depth_max and _depth(parsed) > depth_max:
        raise _too_deep(depth_max)
    if _SURROGATE.search(body):
        _refuse_half_characters(parsed)
    return parsed


def _refuse_half_characters(parsed: dict[str, Any]) -> None:
    """An escaped half of a surrogate pair is no text: no store takes it, nor may a header."""
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest(
            "The request body has half of a surrogate pair (\\ud800 to \\udfff alone), which is"
            " not valid Unicode."
        ) from None


def _too_deep(depth_max: int) -> BadRequest:
    return BadRequest(f"The request body is nested deeper than {depth_max} levels.")


def _depth(value: object) -> int:
    deepest = 0
    level: list[object] = [value]
    while level:
        deepest += 1
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = [item for item in below if isinstance(item, (dict, list))]
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadRequest(f"The request body names {name[:64]!r} twice in one object.")
            seen.add(name)
    return found


def _integer(digits: str) -> int:
    if len(digits) <= 20:
        number = int(digits)
        if abs(number) <= _INTEGER_MAX:
            return number
    raise BadRequest("The request body has an integer beyond 64 bits.")


def _number(digits: str) -> float:
    number = float(digits) if len(digits) <= _DIGITS_MAX else math.inf
    if not math.isfinite(number):
        raise BadRequest("The request body has a number that is not finite.")
    return number


def _constant(name: str) -> NoReturn:
    raise BadRequest(f"The request body has {name}, which is not JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
)
