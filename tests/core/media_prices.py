"""Price rows of models that make and hear pictures and sound, for tests of their bounds."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.core.prices import Meter, Price, Rate, RateTable


def row(model: str, **tiers: RateTable) -> Price:
    named = {name.replace("_", "-"): table for name, table in tiers.items()}
    return Price(1, model, (model,), "test", datetime(2020, 1, 1, tzinfo=UTC), named)


def by_tokens(model: str, **dollars: int) -> Price:
    """Whole dollars per million tokens by meter."""
    table = {Meter(name): Rate(usd * 10**9) for name, usd in dollars.items()}
    return row(model, default=table)


DALLE_3 = row(
    "dall-e-3",
    default={Meter.IMAGES: Rate(120_000_000, 1)},
    standard_1024x1024={Meter.IMAGES: Rate(40_000_000, 1)},
    standard_1024x1792={Meter.IMAGES: Rate(80_000_000, 1)},
    hd_1024x1024={Meter.IMAGES: Rate(80_000_000, 1)},
    hd_1024x1792={Meter.IMAGES: Rate(120_000_000, 1)},
)
GPT_IMAGE = by_tokens("gpt-image-1", input=5, image_input=10, image_output=40, output=10)
WHISPER = row("whisper-1", default={Meter.AUDIO_SECONDS: Rate(6_000_000, 60)})
TRANSCRIBE = by_tokens("gpt-4o-transcribe", input=2, audio_input=6, output=10)
TTS = row("tts-1", default={Meter.CHARACTERS: Rate(15 * 10**9)})
MINI_TTS = by_tokens("gpt-4o-mini-tts", input=1, output=12)
