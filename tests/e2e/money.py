"""What the provider's charges cost, by its published prices and by nothing of the gateway's.

Source: the provider's price pages; US dollars per million tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.simulator.truth import Charge


@dataclass(frozen=True)
class Rates:
    """Nano-dollars per thousand tokens: a price of $0.15 per million is 150,000."""

    prompt: int
    cached: int
    completion: int


PUBLISHED = {
    "gpt-3.5-turbo-0125": Rates(500_000, 500_000, 1_500_000),
    "gpt-4o-mini-2024-07-18": Rates(150_000, 75_000, 600_000),
    "gpt-4o-2024-08-06": Rates(2_500_000, 1_250_000, 10_000_000),
    "o4-mini-2025-04-16": Rates(1_100_000, 275_000, 4_400_000),
    "text-embedding-3-small": Rates(20_000, 20_000, 0),
    "text-embedding-3-large": Rates(130_000, 130_000, 0),
}


def cost_nano(charge: Charge) -> int:
    """The cost of one charge in nano-dollars, rounded up once."""
    rates = PUBLISHED[charge.model]
    thousandths = (
        (charge.prompt_tokens - charge.cached_tokens) * rates.prompt
        + charge.cached_tokens * rates.cached
        + charge.completion_tokens * rates.completion
    )
    return -(-thousandths // 1000)


def usd(nano: int) -> str:
    """Decimal dollars with nine places, as the gateway's headers write them."""
    return f"{nano // 10**9}.{nano % 10**9:09d}"
