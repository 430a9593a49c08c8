"""The exact JSON form of a price row's rates, as stored in SQL.

Integers only, so nothing is rounded on the way, and canonical (sorted keys, no spaces), so
that equal rates have equal texts and a digest tells whether a synced row has changed::

    {"default":{"input":{"nano":500000000,"per":1000000,"steps":[]}}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.core.prices import Meter, Rate, RateTable

_RATE_FIELDS = {"nano", "per", "steps"}


def tiers_to_json(tiers: Mapping[str, RateTable]) -> str:
    """The canonical text of ``tiers``. Raises ValueError where there is no rate to write."""
    _refuse_empty(tiers)
    return json.dumps(
        {
            tier: {
                meter.value: {
                    "nano": rate.nano,
                    "per": rate.per,
                    "steps": [list(step) for step in rate.steps],
                }
                for meter, rate in rates.items()
            }
            for tier, rates in tiers.items()
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def tiers_digest(tiers: Mapping[str, RateTable]) -> str:
    """SHA-256 of the canonical text, as 64 hex digits."""
    return hashlib.sha256(tiers_to_json(tiers).encode()).hexdigest()


def tiers_from_json(text: str) -> dict[str, dict[Meter, Rate]]:
    """The rates that ``tiers_to_json`` wrote.

    Raises ValueError for anything that it cannot have written, but for key order and
    spaces, which databases with a JSON type change.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except RecursionError as error:
        raise ValueError("prices are nested too deeply") from error
    tiers = {
        tier: {Meter(name): _rate(name, fields) for name, fields in _mapping(rates).items()}
        for tier, rates in _mapping(document).items()
    }
    _refuse_empty(tiers)
    return tiers


def _refuse_empty(tiers: Mapping[str, RateTable]) -> None:
    if not tiers or not all(tiers.values()):
        raise ValueError("prices need at least one rate in every service tier")


def _rate(name: str, value: object) -> Rate:
    fields = _mapping(value)
    if set(fields) != _RATE_FIELDS:
        raise ValueError(f"the rate of {name} needs exactly nano, per and steps")
    steps = fields["steps"]
    if not isinstance(steps, list):
        raise ValueError(f"the steps of {name} are not a list")
    return Rate(
        _integer(fields["nano"]),
        _integer(fields["per"]),
        tuple(_step(name, step) for step in steps),
    )


def _step(name: str, value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"a step of {name} is not a pair of integers")
    return _integer(value[0]), _integer(value[1])


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("prices are objects of tiers, meters and rates")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice in the prices")
    return found


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not an integer")
