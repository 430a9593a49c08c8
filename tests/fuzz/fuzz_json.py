"""Fuzzes ``gateway.core.strict_json``: one meaning for every body, and the one that is sent on.

The oracle is two other parsers, the standard library's as it comes and orjson, and the rules of
``strict_json`` said once more in another way.
"""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import orjson

from gateway.core import strict_json
from gateway.core.errors import BadRequest
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.random_json import obj

DEPTH_MAX = 5
VALUES_MAX = 400
NAMES = ("model", "n", "messages", "max_tokens", "usage", "a", "a\\u0000", "\\u0061", "")
TEXT_TOKENS = tuple(
    token.encode()
    for token in (
        *'{}[],:"\\',
        *('{"a":', "[[", "]]", '{"a":{', "}}", '"a":1,', ',"n":2', '"n":NaN', "Infinity", "-0"),
        *("1e999", "9" * 25, "\\ud800", "\\udfff", "\\u0000", "\\x", "\\u00", "null", "true"),
        *("\ufeff", "\u2028", "\u00a0", "/**/", "//", "'", "[" * 300, '{"a":' * 300, "1," * 500),
    )
)
TOKENS = (*TEXT_TOKENS, b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\0", b"\x1f", b"\xef\xbb\xbf")
SEEDS = (
    b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"n":1,"max_tokens":10}',
    b'{"a":{"a":{"a":{"a":1}}}}',
    b'{"a":[[[[1]]]]}',
    b'{"a":{"a":{"a":{"a":{}}}}}',
    '{"é":"😀","\\ud83d\\ude00":1}'.encode(),
)


def make(rng: Random) -> bytes:
    """A JSON object, as it is or bent."""
    data = (
        rng.choice(SEEDS) if rng.random() < 0.2 else obj(rng, NAMES, rng.randrange(1, 7)).encode()
    )
    return data if rng.random() < 0.35 else bent(rng, data, TOKENS, SEEDS)


class _Twice(Exception):
    """An object has two values of one name."""


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Twice
    return dict(pairs)


def allowed(body: bytes) -> Any:
    """What a body means; a reason in a string where it must be refused."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > VALUES_MAX:
        return "too many values"
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_no_twice)
    except (ValueError, RecursionError, _Twice) as error:
        return f"{type(error).__name__}"
    if not isinstance(value, dict):
        return "no object"
    return _why_not(value, 1) or value


def _why_not(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return "half character" if any("\ud800" <= c <= "\udfff" for c in value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "not finite"
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if abs(value) < 2**63 else "beyond 64 bits"
    if depth > DEPTH_MAX:
        return "too deep"
    inside = value if isinstance(value, list) else [*value, *value.values()]
    return next((why for one in inside if (why := _why_not(one, depth + 1))), None)


def check(body: bytes) -> bool:
    """The same meaning as the oracle's, or refused where it must be."""
    meant = allowed(body)
    try:
        found = strict_json.parse_object(body, DEPTH_MAX, VALUES_MAX)
    except BadRequest as error:
        assert isinstance(meant, str), f"refused without need: {error.message}"
        assert error.status == 400
        assert json.loads(orjson.dumps(error.envelope()))["error"]["message"] == error.message
        return False
    assert not isinstance(meant, str), f"accepted although {meant}"
    # repr() tells 1 from 1.0 and from True, and 0.0 from -0.0.
    assert repr(found) == repr(meant)
    forwarded = orjson.dumps(found)
    assert repr(json.loads(forwarded)) == repr(meant), "sent on as something else"
    assert orjson.loads(forwarded) == meant == orjson.loads(body)
    return True


JSON = Fuzzer("json", make, check, quick_inputs=12_000)
