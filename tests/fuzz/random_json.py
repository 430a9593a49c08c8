"""Random JSON texts, most of them valid and all of them odd."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

TEXTS = (
    '"a"',
    '""',
    '"\\u0000"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\\\ud800"',
    '"é 漢 😀"',
    '"\\/\\b\\f\\n\\r\\t\\""',
    '"<|endoftext|>"',
    '"data: [DONE]"',
    '"' + "x" * 300 + '"',
)
NUMBERS = (
    *("0", "-0", "1", "-1", "0.0", "-0.0", "1e5", "1E+2", "1.5e-7", "5e-324", "1e-400"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("-9223372036854775807", "1e308", "1e309", "-1e999", "1.7976931348623157e308", "0.1", "1e22"),
    *("123456789012345678901234567890", "0.30000000000000004", "2.2250738585072011e-308", "1" * 90),
)
LITERALS = ("true", "false", "null")
WRONG = ("NaN", "Infinity", "-Infinity", "True", "'a'", "01", "1.", ".5", "+1", "0x1", "", '"\t"')
SPACES = ("", "", "", " ", "\n", "\r\n\t ")


def value(rng: Random, names: Sequence[str], depth: int) -> str:
    """A JSON value whose objects have these names, and others."""
    kind = rng.random()
    if depth > 0 and kind < 0.3:
        return obj(rng, names, depth - 1)
    if depth > 0 and kind < 0.45:
        parts = (value(rng, names, depth - 1) for _ in range(rng.randrange(4)))
        return "[" + _space(rng) + ",".join(parts) + "]"
    if kind < 0.65:
        return rng.choice(TEXTS)
    if kind < 0.85:
        return rng.choice(NUMBERS)
    if kind < 0.99:
        return rng.choice(LITERALS)
    return rng.choice(WRONG)


def obj(rng: Random, names: Sequence[str], depth: int) -> str:
    """A JSON object."""
    parts = []
    for _ in range(rng.randrange(5)):
        name = f'"{rng.choice(names)}"' if rng.random() < 0.9 else rng.choice(TEXTS)
        parts.append(
            _space(rng) + name + _space(rng) + ":" + _space(rng) + value(rng, names, depth)
        )
    return "{" + ",".join(parts) + _space(rng) + "}"


def _space(rng: Random) -> str:
    return rng.choice(SPACES)


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-9),
    *("", "a", "0", "null", "\0", "\ud800", "é" * 70, [], [[]], {}, [None], {"": None}),
    *("default", "batch", "auto", "[DONE]", "..", ["a"], [1, 2], {"type": "x"}, {"index": -1}),
)


def changed(rng: Random, sample: Any, names: Sequence[str]) -> Any:
    """A copy of parsed JSON in which some value is another, is gone, or is there anew."""
    if isinstance(sample, dict) and sample and rng.random() < 0.85:
        found = dict(sample)
        name = rng.choice(list(found))
        fate = rng.random()
        if fate < 0.1:
            del found[name]
        elif fate < 0.25:
            found[rng.choice(names)] = odd_value(rng, names)
        else:
            found[name] = changed(rng, found[name], names)
        return found
    if isinstance(sample, list) and sample and rng.random() < 0.8:
        items = list(sample)
        at = rng.randrange(len(items))
        fate = rng.random()
        if fate < 0.1:
            del items[at]
        elif fate < 0.3:
            items.insert(at, items[at] if rng.random() < 0.5 else odd_value(rng, names))
        else:
            items[at] = changed(rng, items[at], names)
        return items
    return odd_value(rng, names)


def odd_value(rng: Random, names: Sequence[str]) -> Any:
    """Something that a field was not made for."""
    fate = rng.random()
    if fate < 0.15:
        return {rng.choice(names): rng.choice(ODD_VALUES)}
    if fate < 0.2:
        return [{rng.choice(names): rng.choice(ODD_VALUES)}]
    if fate < 0.3:
        return rng.randrange(-5, 5_000)
    return rng.choice(ODD_VALUES)


def dumped(sample: Any) -> bytes:
    """Parsed JSON as bytes; half characters are escaped."""
    return json.dumps(sample).encode()
