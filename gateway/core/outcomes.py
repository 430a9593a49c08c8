"""How a request ended: what it cost, how sure we are, and the record that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

import orjson

from gateway.core.cache_savings import cache_savings, whole_nano
from gateway.core.money import LIMIT_NANO_MAX
from gateway.core.prices import CostLine, Price, Unpriced, cost_of
from gateway.core.usage import Certainty, Usage

_COUNTS = tuple(field.name for field in fields_of(Usage))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request. ``cost_nano`` is charged; ``lines`` are how it was computed."""

    status: int
    certainty: Certainty
    cost_nano: int
    usage: Usage | None = None
    service_tier: str = "default"
    lines: tuple[CostLine, ...] = ()
    upstream_id: str | None = None
    duration_ms: int | None = None
    reason: str | None = None
    saved_nano: int = 0
    """What it would have cost more without cached input."""

    def as_json(self) -> bytes:
        """The settle script's result: the part of a usage record that only the end knows."""
        fields: dict[str, Any] = {
            "status": self.status,
            "certainty": self.certainty.value,
            "tier": self.service_tier,
            "lines": [[line.meter.value, line.count, line.nano, line.per] for line in self.lines],
        }
        if self.usage is not None:
            counts = ((name, getattr(self.usage, name)) for name in _COUNTS)
            fields["usage"] = {name: count for name, count in counts if count}
        for name in ("upstream_id", "duration_ms", "reason"):
            value = getattr(self, name)
            if value is not None:
                fields[name] = value
        if self.saved_nano:
            fields["saved"] = self.saved_nano
        try:
            return orjson.dumps(fields)
        except TypeError:
            # The provider named a tier that is no valid Unicode; escaped, anything passes.
            return json.dumps(fields).encode()

    @property
    def tokens(self) -> int:
        """Tokens that count against a rate limit; -1 where they are not known."""
        return -1 if self.usage is None else self.usage.input_tokens + self.usage.output_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens, from which the expected need is learned; -1 where not known."""
        return -1 if self.usage is None else self.usage.output_tokens


def exact(
    price: Price, usage: Usage, tier: str, web_search_calls: int, **facts: Any
) -> Outcome | None:
    """The outcome of reported usage; None where it cannot be priced or believed.

    ``web_search_calls`` are those that the provider bills and does not report: the most there
    can have been, so that the cost is an upper bound and not exact.
    """
    if web_search_calls:
        usage = usage.with_web_search_calls(web_search_calls)
    try:
        cost = cost_of(price, usage, tier)
    except Unpriced:
        return None
    if cost.nano > LIMIT_NANO_MAX:
        # No request costs millions of dollars, and counters are exact only up to there.
        return None
    saved = 0
    if usage.cached_input_tokens:
        saved = whole_nano(cache_savings(price, usage, tier, cost.lines))
    return Outcome(
        certainty=Certainty.ESTIMATED if web_search_calls else Certainty.EXACT,
        cost_nano=cost.nano,
        usage=usage,
        service_tier=tier,
        lines=cost.lines,
        reason="searches_not_reported" if web_search_calls else None,
        saved_nano=saved,
        **facts,
    )


def failure(status: int, reason: str, facts: Mapping[str, Any]) -> Outcome:
    """The outcome of a request that was not billed."""
    return Outcome(status=status, certainty=Certainty.EXACT, cost_nano=0, reason=reason, **facts)
