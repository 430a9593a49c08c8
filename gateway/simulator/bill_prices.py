"""What the simulated provider charges for, and at what price: its own list, shared with nobody.

Source: the provider's price pages, US dollars per million tokens, as of the models' present
prices. Amounts are integers: a dollar per million tokens is a million picodollars (1e-12 USD) a
token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.simulator.models import find_model
from gateway.simulator.truth import Charge

PICO = 10**12
"""Picodollars in a dollar."""

LONG_CONTEXT_TOKENS = 272_000
"""Prompts of more tokens than this are charged at the prices after the bar."""

_TEXT: Mapping[str, Mapping[str, str]] = {
    "gpt-3.5-turbo-0125": {"default": "0.5 - 1.5", "batch": "0.25 - 0.75"},
    "gpt-4-0613": {"default": "30 - 60", "batch": "15 - 30"},
    "gpt-4-turbo-2024-04-09": {"default": "10 - 30", "batch": "5 - 15"},
    "gpt-4o-2024-08-06": {
        "default": "2.5 1.25 10",
        "priority": "4.25 2.125 17",
        "batch": "1.25 1.25 5",
    },
    "gpt-4o-mini-2024-07-18": {
        "default": "0.15 0.075 0.6",
        "priority": "0.25 0.125 1",
        "batch": "0.075 0.075 0.3",
    },
    "gpt-4.1-2025-04-14": {
        "default": "2 0.5 8",
        "priority": "3.5 0.875 14",
        "batch": "1 0.5 4",
    },
    "gpt-4.1-mini-2025-04-14": {
        "default": "0.4 0.1 1.6",
        "priority": "0.7 0.175 2.8",
        "batch": "0.2 0.1 0.8",
    },
    "gpt-4.1-nano-2025-04-14": {
        "default": "0.1 0.025 0.4",
        "priority": "0.2 0.05 0.8",
        "batch": "0.05 0.025 0.2",
    },
    "gpt-5-chat-latest": {
        "default": "1.25 0.125 10",
        "priority": "2.5 0.25 20",
        "batch": "0.625 0.0625 5",
    },
    "gpt-5-2025-08-07": {
        "default": "1.25 0.125 10",
        "flex": "0.625 0.0625 5",
        "priority": "2.5 0.25 20",
        "batch": "0.625 0.0625 5",
    },
    "gpt-5-mini-2025-08-07": {
        "default": "0.25 0.025 2",
        "flex": "0.125 0.0125 1",
        "priority": "0.45 0.045 3.6",
        "batch": "0.125 0.0125 1",
    },
    "gpt-5-nano-2025-08-07": {
        "default": "0.05 0.005 0.4",
        "flex": "0.025 0.0025 0.2",
        "batch": "0.025 0.0025 0.2",
    },
    "gpt-5.1-2025-11-13": {
        "default": "1.25 0.125 10",
        "flex": "0.625 0.0625 5",
        "priority": "2.5 0.25 20",
        "batch": "0.625 0.0625 5",
    },
    "gpt-5.2-2025-12-11": {
        "default": "1.75 0.175 14",
        "flex": "0.875 0.0875 7",
        "priority": "3.5 0.35 28",
        "batch": "0.875 0.0875 7",
    },
    "gpt-5.4": {
        "default": "2.5 0.25 15 | 5 0.5 22.5",
        "flex": "1.25 0.13 7.5 | 2.5 0.25 11.25",
        "priority": "5 0.5 30",
        "batch": "1.25 0.13 7.5 | 2.5 0.25 11.25",
    },
    "gpt-5.4-mini": {
        "default": "0.75 0.075 4.5",
        "flex": "0.375 0.0375 2.25",
        "priority": "1.5 0.15 9",
        "batch": "0.375 0.0375 2.25",
    },
    "gpt-5.6-sol": {
        "default": "4 0.4 20 | 8 0.8 30",
        "flex": "2 0.2 10 | 4 0.4 15",
        "priority": "8 0.8 40 | 16 1.6 60",
        "batch": "2 0.2 10 | 4 0.4 15",
    },
    "o1-2024-12-17": {"default": "15 7.5 60", "batch": "7.5 7.5 30"},
    "o3-2025-04-16": {
        "default": "2 0.5 8",
        "flex": "1 0.25 4",
        "priority": "3.5 0.875 14",
        "batch": "1 0.5 4",
    },
    "o3-mini-2025-01-31": {"default": "1.1 0.55 4.4", "batch": "0.55 0.55 2.2"},
    "o4-mini-2025-04-16": {
        "default": "1.1 0.275 4.4",
        "flex": "0.55 0.138 2.2",
        "priority": "2 0.5 8",
        "batch": "0.55 0.275 2.2",
    },
    "gpt-3.5-turbo-instruct": {"default": "1.5 - 2"},
    "davinci-002": {"default": "2 - 2", "batch": "1 - 1"},
    "babbage-002": {"default": "0.4 - 0.4", "batch": "0.2 - 0.2"},
    "text-embedding-3-small": {"default": "0.02 - 0", "batch": "0.01 - 0"},
    "text-embedding-3-large": {"default": "0.13 - 0", "batch": "0.065 - 0"},
    "text-embedding-ada-002": {"default": "0.1 - 0", "batch": "0.05 - 0"},
    "gpt-image-1": {"default": "5 1.25 40"},
    "gpt-image-1-mini": {"default": "2 0.2 8"},
    "gpt-image-1.5-2025-12-16": {"default": "5 1.25 32"},
    "gpt-4o-mini-tts": {"default": "0.6 - 12"},
    "gpt-4o-transcribe": {"default": "2.5 - 10"},
    "gpt-4o-mini-transcribe": {"default": "1.25 - 5"},
    "sim-unpriced-1": {"default": "1 0.5 4"},
}
"""Input, cached input (``-``: as input) and output, by the model's dated name and the tier."""

_TUNED: Mapping[str, Mapping[str, str]] = {
    "gpt-4o-mini-2024-07-18": {"default": "0.3 0.15 1.2", "batch": "0.15 0.15 0.6"},
    "gpt-4o-2024-08-06": {"default": "3.75 1.875 15"},
    "gpt-4.1-2025-04-14": {"default": "3 0.75 12", "batch": "1.5 1.5 6"},
    "gpt-4.1-mini-2025-04-14": {"default": "0.8 0.2 3.2", "batch": "0.4 0.4 1.6"},
    "gpt-4.1-nano-2025-04-14": {"default": "0.2 0.05 0.8", "batch": "0.1 0.1 0.4"},
    "gpt-3.5-turbo-0125": {"default": "3 - 6", "batch": "1.5 - 3"},
    "davinci-002": {"default": "12 - 12", "batch": "6 - 6"},
    "babbage-002": {"default": "1.6 - 1.6", "batch": "0.8 - 0.8"},
}
"""The same of models trained from these."""

_WRITTEN = {"gpt-5.6-sol": "1.25"}
"""What input that is newly cached costs, as a multiple of the price of input."""

_PICTURES_IN = {"gpt-image-1": "10", "gpt-image-1-mini": "2.5", "gpt-image-1.5-2025-12-16": "8"}
_SOUND_IN = {"gpt-4o-transcribe": "6", "gpt-4o-mini-transcribe": "3"}
_PICTURES_OUT = frozenset(_PICTURES_IN)
_SOUND_OUT = frozenset({"gpt-4o-mini-tts"})

_TRAINING = {
    "gpt-4o-mini-2024-07-18": "3",
    "gpt-4o-2024-08-06": "25",
    "gpt-4.1-2025-04-14": "25",
    "gpt-4.1-mini-2025-04-14": "5",
    "gpt-4.1-nano-2025-04-14": "1.5",
    "gpt-3.5-turbo-0125": "8",
    "davinci-002": "6",
    "babbage-002": "0.4",
}
"""Dollars per million tokens trained on, by the dated name of the model to be trained."""

_UNITS = {
    ("dall-e-2", "256x256"): "0.016",
    ("dall-e-2", "512x512"): "0.018",
    ("dall-e-2", "1024x1024"): "0.02",
    ("dall-e-3", "1024x1024"): "0.04",
    ("dall-e-3", "1024x1792"): "0.08",
    ("dall-e-3", "1792x1024"): "0.08",
    ("dall-e-3", "hd-1024x1024"): "0.08",
    ("dall-e-3", "hd-1024x1792"): "0.12",
    ("dall-e-3", "hd-1792x1024"): "0.12",
    ("tts-1", ""): "0.000015",
    ("tts-1-hd", ""): "0.00003",
    ("whisper-1", ""): "0.0000001",
}
"""Dollars a picture, a character, a millisecond."""

_SEARCH = "0.01"
"""Dollars a web search."""

_UNIT_ITEMS = {
    "images": ("images", "images", 1),
    "characters": ("characters", "characters", 1),
    "audio_ms": ("audio seconds", "duration_seconds", 1000),
}
"""What a counted unit is called on the bill, in which unit, and how many of ours make one."""


@dataclass(frozen=True, slots=True)
class Billed:
    """One line of the bill of one charge: ``count`` counts, ``per`` of which are one of
    ``unit``. ``model`` is empty where the line is of no model."""

    model: str
    item: str
    count: int
    pico: int
    unit: str | None = "tokens"
    per: int = 1


def billed(charge: Charge) -> list[Billed]:
    """The lines of the bill for ``charge``; none for what is free."""
    if "trained_tokens" in charge.units:
        count = charge.units["trained_tokens"]
        price = _pico(_TRAINING[find_model(_base(charge.model)).snapshot])
        return [Billed(charge.model, "training", count, count * price)]
    lines = []
    for name, count in charge.units.items():
        if name == "web_search_calls":
            lines.append(Billed("", "web search tool calls", count, count * _usd(_SEARCH), None))
        elif name in _UNIT_ITEMS:
            item, unit, per = _UNIT_ITEMS[name]
            price = _usd(_UNITS[charge.model, charge.variant])
            lines.append(Billed(charge.model, item, count, count * price, unit, per))
    return [line for line in [*_tokens(charge), *lines] if line.count]


def _tokens(charge: Charge) -> list[Billed]:
    tiers = (_TUNED if charge.model.startswith("ft:") else _TEXT).get(_base(charge.model))
    if tiers is None or not charge.prompt_tokens + charge.completion_tokens:
        return []  # Moderations are free, and older models are charged by what they make.
    prices = tiers[charge.service_tier if charge.service_tier in tiers else "default"]
    near, _, far = prices.partition("|")
    long = far and charge.prompt_tokens > LONG_CONTEXT_TOKENS
    fresh, cached, out = (far if long else near).split()
    model = charge.model
    written = charge.cache_write_tokens if model in _WRITTEN else 0
    pictures = charge.image_tokens if model in _PICTURES_IN else 0
    sound = charge.audio_prompt_tokens if model in _SOUND_IN else 0
    text = charge.prompt_tokens - charge.cached_tokens - written - pictures - sound
    output = "output"
    if model in _PICTURES_OUT:
        output = "image output"
    elif model in _SOUND_OUT:
        output = "audio output"
    counts = (
        ("input", text, _pico(fresh)),
        ("cached input", charge.cached_tokens, _pico(fresh if cached == "-" else cached)),
        ("cache write", written, _pico(str(Decimal(fresh) * Decimal(_WRITTEN.get(model, "1"))))),
        ("image input", pictures, _pico(_PICTURES_IN.get(model, "0"))),
        ("audio input", sound, _pico(_SOUND_IN.get(model, "0"))),
        (output, charge.completion_tokens, _pico(out)),
    )
    return [Billed(model, item, count, count * price) for item, count, price in counts]


def _base(model: str) -> str:
    return model.split(":")[1] if model.startswith("ft:") else model


def _pico(per_million: str) -> int:
    """Picodollars a token, of dollars per million tokens."""
    return int(Decimal(per_million) * 10**6)


def _usd(amount: str) -> int:
    return int(Decimal(amount) * PICO)
