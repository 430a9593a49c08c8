"""Price rows from the ``genai-prices`` package's bundled price list.

Only the snapshot that is installed with the package is read, never its network update, so a
deployment's prices change when its pinned version does and at no other time.

What is left out and reported as a warning, because a wrong price is worse than none (an
override can always add the model):

- models without any price (``moderation``);
- audio models without audio rates (``gpt-4o-audio-preview``, ``gpt-4o-mini-audio-preview``):
  their audio tokens cost many times their text tokens ($40 and $80 per million against $2.50
  and $10), and would else be billed as text;
- rows with a kind of token, duration or request fee that Faregate has no meter for;
- prices by time of day, and match clauses that are not a name, a prefix or a dated snapshot.

Doubtful rates of genai-prices 0.2.3, taken over as they are:

- ``o3`` before 2025-06-10 has the cached-input rate of later days ($0.50);
- tiers and batch prices begin on 2026-10-12 and 2026-10-14, when the package first had them,
  not when OpenAI introduced them: requests before have no price in these tiers;
- some flex and batch cached rates are the provider's rounded display ($0.13 for half of
  $0.25, $0.138 for half of $0.275);
- batch rates of older models name no cached input: the standard cached rate is used;
- ``gpt-5.5-pro`` has no long-context step in flex and batch, though it has one in standard;
- the priority tier of ``gpt-5.4`` and ``gpt-5.5`` has no step, since OpenAI serves no long
  context there (openai.com/api-priority-processing, which agrees with these rates).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import data_snapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from gateway.core.money import InvalidAmount, nano_from_usd
from gateway.core.prices import STANDARD_TIER, Meter, Rate, RateTable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The start of rows without one."""

_MILLION = 1_000_000

_METERS: Mapping[str, tuple[Meter, int]] = {
    "input_mtok": (Meter.INPUT, _MILLION),
    "cache_read_mtok": (Meter.CACHED_INPUT, _MILLION),
    "cache_write_mtok": (Meter.CACHE_WRITE, _MILLION),
    "output_mtok": (Meter.OUTPUT, _MILLION),
    "input_audio_mtok": (Meter.AUDIO_INPUT, _MILLION),
    "cache_audio_read_mtok": (Meter.AUDIO_CACHED_INPUT, _MILLION),
    "output_audio_mtok": (Meter.AUDIO_OUTPUT, _MILLION),
    "input_image_mtok": (Meter.IMAGE_INPUT, _MILLION),
    "cache_image_read_mtok": (Meter.IMAGE_CACHED_INPUT, _MILLION),
    "output_image_mtok": (Meter.IMAGE_OUTPUT, _MILLION),
    "audio_hours": (Meter.AUDIO_SECONDS, 3600),
    "input_audio_hours": (Meter.AUDIO_SECONDS, 3600),
    "input_mchars": (Meter.CHARACTERS, _MILLION),
    "web_searches_kcount": (Meter.WEB_SEARCH_CALLS, 1000),
    "storage_searches_kcount": (Meter.FILE_SEARCH_CALLS, 1000),
}

_TOOL_CALLS = frozenset(
    {"code_executions_kcount", "social_searches_kcount", "rerank_searches_kcount"}
)
"""Fees for calls of tools that Faregate does not meter. They say nothing about the price of
tokens, so a row may go without them; all other unknown keys make the whole row unusable."""

_SNAPSHOT_REGEX = re.compile(r"\^(?P<name>(?:[\w:-]|\\\.)+)-\\d\{4\}-\\d\{2\}-\\d\{2\}\$")

_log = logging.getLogger(__name__)


class UnusablePrices(ValueError):
    """Prices that cannot be stored without a risk of charging too little."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What ``model`` costs from ``valid_from`` (UTC) until its next row; complete on its own.

    ``names`` are as in ``gateway.core.prices.Price``.
    """

    model: str
    names: tuple[str, ...]
    source: str
    valid_from: datetime
    tiers: Mapping[str, RateTable]
    context_window: int | None = None
    output_tokens_max: int | None = None


@dataclass(frozen=True, slots=True)
class PriceList:
    """The rows read from a source, and what in it could not be taken over."""

    rows: tuple[PriceRow, ...]
    warnings: tuple[str, ...]


def prices_from_genai(provider: str = "openai") -> list[PriceRow]:
    """All rows that the installed ``genai-prices`` has for ``provider``; warnings are logged.

    Raises LookupError for a provider that it does not know.
    """
    found = price_list_from_genai(provider)
    for warning in found.warnings:
        _log.warning("price list: %s", warning)
    return list(found.rows)


def price_list_from_genai(provider: str = "openai") -> PriceList:
    """As ``prices_from_genai``, with the warnings beside the rows.

    Raises RuntimeError where something in this process has let the package fetch prices.
    """
    snapshot = data_snapshot.get_snapshot()
    if snapshot.from_auto_update:
        raise RuntimeError("genai-prices was updated from the network; only its bundle is used")
    for candidate in snapshot.providers:
        if candidate.id == provider:
            return price_list(candidate, f"genai-prices {version('genai-prices')}")
    raise LookupError(f"genai-prices has no provider {provider!r}")


def price_list(provider: Provider, source: str) -> PriceList:
    """The rows of all models of ``provider``, one for each day on which a price changes."""
    rows: list[PriceRow] = []
    warnings: list[str] = []
    for model in provider.models:
        notes: list[str] = []
        try:
            rows.extend(_rows_of(model, source, notes))
        except UnusablePrices as error:
            notes.append(str(error))
        warnings.extend(f"{model.id}: {note}" for note in dict.fromkeys(notes))
    return PriceList(tuple(rows), tuple(warnings))


def _rows_of(model: ModelInfo, source: str, notes: list[str]) -> list[PriceRow]:
    dated = _without_hours(model, notes)
    priced: list[tuple[datetime, dict[str, dict[Meter, Rate]]]] = []
    for start in _starts(dated):
        valid_from = datetime.combine(start, time.min, UTC)
        tiers = {
            tier: _rates(dated.get_prices(valid_from, context), notes)
            for tier, context in _contexts(dated, valid_from, notes).items()
        }
        if not any(tiers.values()):
            raise UnusablePrices("left out: it has no prices")
        _refuse_audio_at_text_price(model.id, tiers)
        priced.append((valid_from, tiers))
    names = tuple(dict.fromkeys(_names(model.match, notes)))
    if not names:
        raise UnusablePrices("left out: no request name that it could be found by")
    return [
        PriceRow(model.id, names, source, valid_from, tiers, model.context_window)
        for valid_from, tiers in priced
    ]


def _names(clause: object, notes: list[str]) -> Iterator[str]:
    """The request names that a match clause accepts, in PriceBook's notation."""
    if isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _names(part, notes)
    elif isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseStartsWith):
        yield f"{clause.starts_with}*"
    elif isinstance(clause, ClauseRegex) and (found := _SNAPSHOT_REGEX.fullmatch(clause.regex)):
        yield f"{found['name'].replace(chr(92), '')}-YYYY-MM-DD"
    else:
        notes.append(f"names left out: {clause}")


def _without_hours(model: ModelInfo, notes: list[str]) -> ModelInfo:
    """``model`` without the prices of certain hours of the day.

    Raises UnusablePrices where it has no other prices.
    """
    prices = model.prices
    if not isinstance(prices, ModelPrice):
        prices = [p for p in prices if not isinstance(p.constraint, TimeOfDateConstraint)]
        if not prices:
            raise UnusablePrices("left out: it has prices by time of day only")
    variants = [
        v for v in model.price_variants or () if not isinstance(v.constraint, TimeOfDateConstraint)
    ]
    if variants != (model.price_variants or []) or prices != model.prices:
        notes.append("prices by time of day left out")
    return replace(model, prices=prices, price_variants=variants)


def _starts(model: ModelInfo) -> list[date]:
    """The days on which some price of ``model`` begins, and the epoch."""
    conditions = [] if isinstance(model.prices, ModelPrice) else model.prices
    constraints = [item.constraint for item in (*conditions, *(model.price_variants or ()))]
    starts = {c.start_date for c in constraints if isinstance(c, StartDateConstraint)}
    return sorted({EPOCH.date(), *starts})


def _contexts(model: ModelInfo, at: datetime, notes: list[str]) -> dict[str, dict[str, str]]:
    """The service tiers that ``model`` has a price for at ``at``, as ``genai-prices`` contexts."""
    contexts = {STANDARD_TIER: {"service_tier": STANDARD_TIER}}
    for variant in model.price_variants or ():
        if variant.constraint is not None and not variant.constraint.active(at):
            continue
        if set(variant.when) == {"service_tier"}:
            contexts[variant.when["service_tier"]] = dict(variant.when)
        elif variant.when == {"processing": "batch"}:
            contexts["batch"] = dict(variant.when)
        else:
            notes.append(f"prices left out: {variant.when}")
    return contexts


def _rates(prices: ModelPrice, notes: list[str]) -> dict[Meter, Rate]:
    """The rates of one tier. Raises UnusablePrices where a key or an amount is not usable."""
    rates: dict[Meter, Rate] = {}
    for key, price in vars(prices).items():
        if price is None or key.startswith("_"):
            continue
        if key in _TOOL_CALLS:
            notes.append(f"no meter for {key}: these calls are not priced")
            continue
        if key not in _METERS:
            raise UnusablePrices(f"left out: no meter for {key}")
        meter, per = _METERS[key]
        rate = _rate(price, per)
        if rates.setdefault(meter, rate) != rate:
            raise UnusablePrices(f"left out: {key} and its total have different prices")
    return rates


def _rate(price: Any, per: int) -> Rate:
    try:
        if isinstance(price, TieredPrices):
            steps = tuple((step.start, _nano(step.price)) for step in price.tiers)
            return Rate(_nano(price.base), per, steps)
        return Rate(_nano(price), per)
    except ValueError as error:
        raise UnusablePrices(f"left out: {error}") from error


def _nano(amount: object) -> int:
    if not isinstance(amount, Decimal):
        raise InvalidAmount(f"{amount!r} is not a decimal amount in US dollars")
    return nano_from_usd(amount)


def _refuse_audio_at_text_price(model: str, tiers: Mapping[str, RateTable]) -> None:
    rates = tiers[STANDARD_TIER]
    if "audio" in model and Meter.INPUT in rates and Meter.AUDIO_INPUT not in rates:
        raise UnusablePrices("left out: it takes audio but has no audio rates")
