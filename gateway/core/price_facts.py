"""A price row as programs see it: rates in decimal dollars per stated number of units."""

from __future__ import annotations

from typing import Any

from gateway.core.money import decimal_usd
from gateway.core.prices import Price, Rate
from gateway.core.timestamps import timestamp


def price_facts(price: Price) -> dict[str, Any]:
    """One price row, all of it; tiers and meters in the order of their names."""
    return {
        "id": price.id,
        "model": price.model,
        "names": list(price.names or (price.model,)),
        "source": price.source,
        "is_override": price.is_override,
        "valid_from": timestamp(price.valid_from),
        "context_window": price.context_window,
        "output_tokens_max": price.output_tokens_max,
        "tiers": {
            tier: {
                meter.value: _rate_facts(price.tiers[tier][meter])
                for meter in sorted(price.tiers[tier])
            }
            for tier in sorted(price.tiers)
        },
    }


def _rate_facts(rate: Rate) -> dict[str, Any]:
    steps = [{"above": start, "usd": decimal_usd(nano)} for start, nano in rate.steps]
    return {"usd": decimal_usd(rate.nano), "per": rate.per, "steps": steps}
