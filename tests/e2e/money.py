"""What the provider's charges cost, by its published prices and by nothing of the gateway's.

Source: the provider's price pages; US dollars per million tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.simulator.truth import Charge


@dataclass(frozen=True)
class Rates:
    """Nano-dollars per thousand tokens: a price of $0.15 per million is 150,000."""

    prompt: int
    cached: int
    completion: int
    image: int = 0
    """Of the prompt's image tokens."""
    audio: int = 0
    """Of the prompt's audio tokens."""
    written: int = 0
    """Of the prompt's tokens that are newly cached, where these have a price of their own."""


PUBLISHED = {
    "gpt-3.5-turbo-0125": Rates(500_000, 500_000, 1_500_000),
    "gpt-4o-mini-2024-07-18": Rates(150_000, 75_000, 600_000),
    "gpt-4o-2024-08-06": Rates(2_500_000, 1_250_000, 10_000_000),
    "gpt-5.6-sol": Rates(4_000_000, 400_000, 20_000_000, written=5_000_000),
    "gpt-3.5-turbo-instruct": Rates(1_500_000, 1_500_000, 2_000_000),
    "davinci-002": Rates(2_000_000, 2_000_000, 2_000_000),
    "o4-mini-2025-04-16": Rates(1_100_000, 275_000, 4_400_000),
    "text-embedding-3-small": Rates(20_000, 20_000, 0),
    "text-embedding-3-large": Rates(130_000, 130_000, 0),
    # Completions of these are pictures, and sound.
    "gpt-image-1": Rates(5_000_000, 1_250_000, 40_000_000, image=10_000_000),
    "gpt-image-1-mini": Rates(2_000_000, 200_000, 8_000_000, image=2_500_000),
    "gpt-image-1.5-2025-12-16": Rates(5_000_000, 1_250_000, 32_000_000, image=8_000_000),
    "gpt-4o-mini-tts": Rates(600_000, 600_000, 12_000_000),
    "gpt-4o-transcribe": Rates(2_500_000, 2_500_000, 10_000_000, audio=6_000_000),
    "gpt-4o-mini-transcribe": Rates(1_250_000, 1_250_000, 5_000_000, audio=3_000_000),
}

PUBLISHED_UNITS = {
    ("dall-e-2", "256x256"): 16_000_000,
    ("dall-e-2", "512x512"): 18_000_000,
    ("dall-e-2", "1024x1024"): 20_000_000,
    ("dall-e-3", "1024x1024"): 40_000_000,
    ("dall-e-3", "1024x1792"): 80_000_000,
    ("dall-e-3", "1792x1024"): 80_000_000,
    ("dall-e-3", "hd-1024x1024"): 80_000_000,
    ("dall-e-3", "hd-1024x1792"): 120_000_000,
    ("dall-e-3", "hd-1792x1024"): 120_000_000,
    ("tts-1", ""): 15_000,
    ("tts-1-hd", ""): 30_000,
    ("whisper-1", ""): 100,
}
"""Nano-dollars per picture, per character ($15 per million is 15,000), per millisecond ($0.006 a
minute is 100), by model and variant."""

SEARCH_NANO = 10_000_000
"""A web search: $10 per thousand."""


BATCH = {
    "gpt-3.5-turbo-0125": Rates(250_000, 250_000, 750_000),
    "gpt-4o-mini-2024-07-18": Rates(75_000, 75_000, 300_000),
    "text-embedding-3-small": Rates(10_000, 10_000, 0),
    "babbage-002": Rates(200_000, 200_000, 200_000),
}
"""The same in batches."""

TIERS = {
    ("gpt-4o-mini-2024-07-18", "priority"): Rates(250_000, 125_000, 1_000_000),
    ("gpt-4o-2024-08-06", "priority"): Rates(4_250_000, 2_125_000, 17_000_000),
    ("o4-mini-2025-04-16", "flex"): Rates(550_000, 138_000, 2_200_000),
    ("o4-mini-2025-04-16", "priority"): Rates(2_000_000, 500_000, 8_000_000),
}
"""The same in other tiers than the standard one, by model and tier."""

FINE_TUNED = {"gpt-4o-mini-2024-07-18": Rates(300_000, 150_000, 1_200_000)}
"""The same of models trained from these."""

TRAINING = {"gpt-4o-mini-2024-07-18": 3_000_000, "gpt-4.1-nano-2025-04-14": 1_500_000}
"""Nano-dollars per thousand tokens trained on."""


def billed_nano(charges: Sequence[Charge]) -> int:
    """The cost of all charges of one batch or one job together, rounded up once."""
    return -(-sum(_thousandths(charge) for charge in charges) // 1000)


def _thousandths(charge: Charge) -> int:
    base = charge.model.split(":")[1] if charge.model.startswith("ft:") else charge.model
    if "trained_tokens" in charge.units:
        return charge.units["trained_tokens"] * TRAINING[base]
    searches = charge.units.get("web_search_calls", 0)
    if charge.units and not searches:
        (count,) = charge.units.values()
        return count * PUBLISHED_UNITS[charge.model, charge.variant] * 1000
    fine_tuned = FINE_TUNED if charge.model.startswith("ft:") else PUBLISHED
    if charge.service_tier == "batch":
        rates = BATCH[base]
    elif charge.service_tier == "default":
        rates = fine_tuned[base]
    else:
        rates = TIERS[charge.model, charge.service_tier]
    written = charge.cache_write_tokens if rates.written else 0
    pictures, sound = charge.image_tokens, charge.audio_prompt_tokens
    if not rates.image:
        pictures = 0
    if not rates.audio:
        sound = 0
    return (
        (charge.prompt_tokens - charge.cached_tokens - written - pictures - sound) * rates.prompt
        + written * rates.written
        + charge.cached_tokens * rates.cached
        + pictures * rates.image
        + sound * rates.audio
        + charge.completion_tokens * rates.completion
        + searches * SEARCH_NANO * 1000
    )


def cost_nano(charge: Charge) -> int:
    """The cost of one charge in nano-dollars, rounded up once."""
    return billed_nano([charge])


def usd(nano: int) -> str:
    """Decimal dollars with nine places, as the gateway's headers write them."""
    return f"{nano // 10**9}.{nano % 10**9:09d}"
