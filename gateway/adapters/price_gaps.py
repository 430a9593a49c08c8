"""Published prices of what the ``genai-prices`` package does not price, and the list with them.

Figures in US dollars from OpenAI's price pages (developers.openai.com/api/docs/pricing,
openai.com/api/pricing and the pages of the models named), taken down on 2026-11-25; those of
models retired before that day are the last that were published.

They fill gaps and nothing else: a name that ``genai-prices`` has a row for keeps that row, and a
rate that such a row states is never changed. Where its newest row lacks a tier or a discount
that OpenAI publishes (cached input of fine-tuned models, batch embeddings), the missing rates
are added to it. As everywhere, a row once synced is never edited: a figure that changes is
stored as a new row, which wins from then on.

Training prices are rows of their own, for the name ``fine-tuning/`` and the model to be trained,
which may be fine-tuned itself. Left out, because a wrong price is worse than none: training by
the hour (o4-mini), and batches of fine-tuned gpt-4o. Batch rates of fine-tuned models name no
cached input, so the batch input rate is used for it, the dearer of what may apply.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.adapters.price_sources import EPOCH, PriceList, PriceRow, price_list_from_genai
from gateway.core.money import nano_from_usd
from gateway.core.price_overrides import PER_MILLION, UNITS
from gateway.core.prices import STANDARD_TIER, Meter, Price, PriceBook, Rate, RateTable

PROVIDER = "openai"
"""The provider whose gaps are filled, as ``genai-prices`` names it."""

SOURCE = "published"
"""The source of the rows added; a row that was only completed names both its sources."""

_ALWAYS = datetime.max.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)

Amounts = Mapping[Meter, str]
"""US dollars per ``gateway.core.price_overrides.UNITS``."""


@dataclass(frozen=True, slots=True)
class Published:
    """What ``model`` costs under all of ``names``, by tier."""

    model: str
    names: tuple[str, ...]
    tiers: Mapping[str, Amounts]

    def rates(self) -> dict[str, dict[Meter, Rate]]:
        """The rates as a price row has them."""
        return {
            tier: {
                meter: Rate(nano_from_usd(usd), UNITS.get(meter, PER_MILLION))
                for meter, usd in amounts.items()
            }
            for tier, amounts in self.tiers.items()
        }


def _text(tokens_in: str, tokens_out: str | None = None, cached: str | None = None) -> Amounts:
    amounts = {Meter.INPUT: tokens_in, Meter.CACHED_INPUT: cached, Meter.OUTPUT: tokens_out}
    return {meter: usd for meter, usd in amounts.items() if usd is not None}


def _image_tokens(text: tuple[str, str], image: tuple[str, str], out: str) -> Amounts:
    """Rates of a GPT image model: input and cached input of text and of images, images out."""
    return {
        **_text(text[0], None, text[1]),
        Meter.IMAGE_INPUT: image[0],
        Meter.IMAGE_CACHED_INPUT: image[1],
        Meter.IMAGE_OUTPUT: out,
    }


def _images(**variants: str) -> dict[str, Amounts]:
    """Prices per image: ``hd_1024x1792`` is the variant ``hd-1024x1792``."""
    return {name.replace("_", "-"): {Meter.IMAGES: usd} for name, usd in variants.items()}


def _fine_tuned(base: str, standard: Amounts, batch: Amounts | None = None) -> Published:
    tiers = {STANDARD_TIER: standard} | ({} if batch is None else {"batch": batch})
    return Published(f"ft:{base}", (f"ft:{base}:*",), tiers)


def _training(base: str, usd: str, *others: str) -> Published:
    """Training of ``base``, also named ``others``, and of models fine-tuned from it."""
    models = (base, *others)
    names = (*models, *(f"ft:{model}:*" for model in models))
    return Published(
        f"fine-tuning/{base}",
        tuple(f"fine-tuning/{name}" for name in names),
        {STANDARD_TIER: {Meter.TRAINED_TOKENS: usd}},
    )


_IMAGE_MODELS = (
    Published(
        "dall-e-2",
        ("dall-e-2",),
        _images(
            default="0.020",
            standard_1024x1024="0.020",
            standard_512x512="0.018",
            standard_256x256="0.016",
        ),
    ),
    Published(
        "dall-e-3",
        ("dall-e-3",),
        _images(
            default="0.120",
            standard_1024x1024="0.040",
            standard_1024x1792="0.080",
            standard_1792x1024="0.080",
            hd_1024x1024="0.080",
            hd_1024x1792="0.120",
            hd_1792x1024="0.120",
        ),
    ),
    Published(
        "gpt-image-1",
        ("gpt-image-1",),
        {STANDARD_TIER: _image_tokens(("5.00", "1.25"), ("10.00", "2.50"), "40.00")},
    ),
    Published(
        "gpt-image-1-mini",
        ("gpt-image-1-mini",),
        {STANDARD_TIER: _image_tokens(("2.00", "0.20"), ("2.50", "0.25"), "8.00")},
    ),
    Published(
        "gpt-image-1.5",
        ("gpt-image-1.5", "gpt-image-1.5-2025-12-16"),
        {
            STANDARD_TIER: {
                **_image_tokens(("5.00", "1.25"), ("8.00", "2.00"), "32.00"),
                Meter.OUTPUT: "10.00",
            }
        },
    ),
)

_AUDIO_MODELS = (
    Published("whisper-1", ("whisper-1",), {STANDARD_TIER: {Meter.AUDIO_SECONDS: "0.006"}}),
    Published("tts-1", ("tts-1", "tts-1-1106"), {STANDARD_TIER: {Meter.CHARACTERS: "15.00"}}),
    Published(
        "tts-1-hd", ("tts-1-hd", "tts-1-hd-1106"), {STANDARD_TIER: {Meter.CHARACTERS: "30.00"}}
    ),
    Published(
        "gpt-4o-mini-tts",
        ("gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-03-20", "gpt-4o-mini-tts-2025-12-15"),
        {STANDARD_TIER: {Meter.INPUT: "0.60", Meter.AUDIO_OUTPUT: "12.00"}},
    ),
    Published(
        "gpt-4o-transcribe",
        ("gpt-4o-transcribe", "gpt-4o-transcribe-diarize"),
        {STANDARD_TIER: {**_text("2.50", "10.00"), Meter.AUDIO_INPUT: "6.00"}},
    ),
    Published(
        "gpt-4o-mini-transcribe",
        (
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-03-20",
            "gpt-4o-mini-transcribe-2025-12-15",
        ),
        {STANDARD_TIER: {**_text("1.25", "5.00"), Meter.AUDIO_INPUT: "3.00"}},
    ),
)

_TEXT_MODELS = (
    Published(
        "moderation",
        (
            "omni-moderation-latest",
            "omni-moderation-2024-09-26",
            "text-moderation-latest",
            "text-moderation-stable",
            "text-moderation-007",
        ),
        {STANDARD_TIER: _text("0"), "batch": _text("0")},
    ),
    Published(
        "gpt-3.5-turbo-instruct",
        ("gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct-0914"),
        {STANDARD_TIER: _text("1.50", "2.00")},
    ),
    Published(
        "davinci-002",
        ("davinci-002",),
        {STANDARD_TIER: _text("2.00", "2.00"), "batch": _text("1.00", "1.00")},
    ),
    Published(
        "babbage-002",
        ("babbage-002",),
        {STANDARD_TIER: _text("0.40", "0.40"), "batch": _text("0.20", "0.20")},
    ),
    Published(
        "text-embedding-3-small",
        ("text-embedding-3-small",),
        {STANDARD_TIER: _text("0.02"), "batch": _text("0.01")},
    ),
    Published(
        "text-embedding-3-large",
        ("text-embedding-3-large",),
        {STANDARD_TIER: _text("0.13"), "batch": _text("0.065")},
    ),
    Published(
        "text-embedding-ada-002",
        ("text-embedding-ada-002",),
        {STANDARD_TIER: _text("0.10"), "batch": _text("0.05")},
    ),
)

_FINE_TUNED_MODELS = (
    _fine_tuned("gpt-4.1-2025-04-14", _text("3.00", "12.00", "0.75"), _text("1.50", "6.00")),
    _fine_tuned("gpt-4.1-mini-2025-04-14", _text("0.80", "3.20", "0.20"), _text("0.40", "1.60")),
    _fine_tuned("gpt-4.1-nano-2025-04-14", _text("0.20", "0.80", "0.05"), _text("0.10", "0.40")),
    _fine_tuned("gpt-4o-2024-08-06", _text("3.75", "15.00", "1.875")),
    _fine_tuned("gpt-4o-mini-2024-07-18", _text("0.30", "1.20", "0.15"), _text("0.15", "0.60")),
    _fine_tuned("gpt-3.5-turbo-0125", _text("3.00", "6.00"), _text("1.50", "3.00")),
    _fine_tuned("davinci-002", _text("12.00", "12.00"), _text("6.00", "6.00")),
    _fine_tuned("babbage-002", _text("1.60", "1.60"), _text("0.80", "0.80")),
)

_TRAINING = (
    _training("gpt-4.1-2025-04-14", "25.00", "gpt-4.1"),
    _training("gpt-4.1-mini-2025-04-14", "5.00", "gpt-4.1-mini"),
    _training("gpt-4.1-nano-2025-04-14", "1.50", "gpt-4.1-nano"),
    _training("gpt-4o-2024-08-06", "25.00", "gpt-4o"),
    _training("gpt-4o-mini-2024-07-18", "3.00", "gpt-4o-mini"),
    _training("gpt-3.5-turbo", "8.00", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106"),
    _training("davinci-002", "6.00"),
    _training("babbage-002", "0.40"),
)

PUBLISHED = (
    *_IMAGE_MODELS,
    *_AUDIO_MODELS,
    *_TEXT_MODELS,
    *_FINE_TUNED_MODELS,
    *_TRAINING,
)
"""All figures taken down, whether ``genai-prices`` has them too or not."""


def full_price_list(provider: str = PROVIDER) -> PriceList:
    """The rows of the installed ``genai-prices``, with their gaps filled for OpenAI.

    Raises as ``price_list_from_genai``.
    """
    found = price_list_from_genai(provider)
    return fill_gaps(found, PUBLISHED) if provider == PROVIDER else found


def full_prices(provider: str = PROVIDER) -> list[PriceRow]:
    """As ``full_price_list``, with its warnings logged."""
    found = full_price_list(provider)
    for warning in found.warnings:
        _log.warning("price list: %s", warning)
    return list(found.rows)


def fill_gaps(found: PriceList, published: Iterable[Published]) -> PriceList:
    """``found`` with the ``published`` rates that it lacks, and without warnings of those."""
    rows = list(found.rows)
    book = PriceBook(
        Price(place, row.model, row.names, row.source, row.valid_from, row.tiers)
        for place, row in enumerate(rows)
    )
    added: list[PriceRow] = []
    for item in published:
        missing = []
        for name in item.names:
            # A prefix is looked up as one of the names that it stands for.
            price = book.find(name.replace("*", "-"), _ALWAYS)
            if price is None:
                missing.append(name)
            else:
                rows[price.id] = _completed(rows[price.id], item.rates())
        if missing:
            # A row is known by model and start, so one for further names of a model that is
            # there already is named for the first of them.
            model = item.model if missing[0] == item.names[0] else missing[0]
            added.append(PriceRow(model, tuple(missing), SOURCE, EPOCH, item.rates()))
    filled = {row.model for row in added}
    warnings = (w for w in found.warnings if w.partition(": left out")[0] not in filled)
    return PriceList((*rows, *added), tuple(warnings))


def _completed(row: PriceRow, published: Mapping[str, RateTable]) -> PriceRow:
    """``row`` with the tiers it lacks, and the rates it has neither itself nor by another's."""
    tiers = dict(row.tiers)
    for tier, rates in published.items():
        stated = tiers.get(tier)
        lacking = rates if stated is None else dict(_lacking(row, tier, rates))
        if lacking:
            tiers[tier] = {**(stated or {}), **lacking}
    if tiers == row.tiers:
        return row
    return replace(row, tiers=tiers, source=_both(row.source))


def _both(source: str) -> str:
    return source if source.endswith(SOURCE) else f"{source}, {SOURCE}"


def _lacking(row: PriceRow, tier: str, rates: RateTable) -> Iterator[tuple[Meter, Rate]]:
    """The rates that ``row`` does not state and would not come to by falling back either."""
    price = Price(0, row.model, row.names, row.source, row.valid_from, row.tiers)
    for meter, rate in rates.items():
        if meter not in row.tiers[tier] and price.rate_or_none(tier, meter) != rate:
            yield meter, rate
