"""Preflights: what a request would cost, and whether it would be admitted."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core import errors
from gateway.core.preflight import OBJECT
from gateway.web.descriptions.operation import JSON, Operation
from gateway.web.descriptions.shapes import (
    Shape,
    flag,
    integer,
    list_of,
    nullable,
    one_of,
    record,
    text,
)
from gateway.web.descriptions.text import const
from gateway.web.preflight import ENDPOINTS

_USD = text(pattern=r"^-?[0-9]+\.[0-9]{9}$")

_BUDGET = record(
    {
        "name": text(1),
        "limit_usd": _USD,
        "spent_usd": _USD,
        "held_usd": _USD,
        "left_usd": _USD,
        "would_hold_usd": nullable(_USD),
        "left_after_usd": nullable(_USD),
        "resets_at": nullable(text()),
        "decides": flag(),
    }
)
_OUTPUT = record({name: integer(0) for name in ("wanted", "least", "granted", "choices")})
_LIMIT: Shape = {"type": ["object", "null"]}

_ANSWER = record(
    {
        "object": const(OBJECT),
        "endpoint": one_of(*ENDPOINTS),
        "model": text(),
        "service_tier": text(),
        "admitted": flag(),
        "refusal": {"type": ["object", "null"]},
        "output_tokens": _OUTPUT,
        "cost": record({"at_most_usd": _USD, "lines": list_of(record({"at_most_usd": _USD}))}),
        "decided_by": nullable(text()),
        "budgets": list_of(_BUDGET),
        "rate_limits": record(
            dict.fromkeys(
                ("requests_per_minute", "tokens_per_minute", "concurrent_requests"), _LIMIT
            )
        ),
    }
)

OPERATIONS: Mapping[str, Operation] = {
    "preflight.preflight": Operation(
        "What a request would cost, and whether it would be admitted now; nothing is done",
        {JSON: _ANSWER},
        json=record({"endpoint": one_of(*ENDPOINTS), "request": {"type": "object"}}),
        unknown_pass=False,
        errors=(
            errors.Forbidden,
            errors.NotFound,
            errors.ModelNotFound,
            errors.ModelUnpriced,
        ),
        looks=True,
    ),
}
