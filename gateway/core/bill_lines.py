"""Lines of the provider's bill in our words: which model, which line item, how many, how much.

OpenAI documents a line item as ``gpt-6-astra, input_tokens`` and has written ``gpt-4o-2024-08-06,
cached input`` too, so both are read. Amounts and quantities are floats in its JSON; they are taken
as the shortest decimals that those are, and amounts rounded to whole nano-dollars.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from gateway.core.money import NANO_PER_USD
from gateway.core.prices import Meter, PriceBook

_MS = 1000

_UNITS: dict[str, Decimal] = {
    "tokens": Decimal(1),
    "1000_tokens": Decimal(1000),
    "duration_seconds": Decimal(_MS),
    "duration_minutes": Decimal(60 * _MS),
    "duration_hours": Decimal(3600 * _MS),
    "images": Decimal(1),
    "characters": Decimal(1),
}
"""Our counts in one of the provider's units: tokens, pictures, characters, milliseconds. Source:
``openai.types.admin.organization.CostQuantityUnit``."""

_NAMES: dict[str, Meter] = {
    "text_input": Meter.INPUT,
    "input_text": Meter.INPUT,
    "uncached_input": Meter.INPUT,
    "input_cached": Meter.CACHED_INPUT,
    "cached": Meter.CACHED_INPUT,
    "cached_text_input": Meter.CACHED_INPUT,
    "cache_writes": Meter.CACHE_WRITE,
    "input_cache_write": Meter.CACHE_WRITE,
    "text_output": Meter.OUTPUT,
    "output_text": Meter.OUTPUT,
    "input_audio": Meter.AUDIO_INPUT,
    "output_audio": Meter.AUDIO_OUTPUT,
    "input_image": Meter.IMAGE_INPUT,
    "output_image": Meter.IMAGE_OUTPUT,
    "image": Meter.IMAGES,
    "seconds": Meter.AUDIO_SECONDS,
    "minutes": Meter.AUDIO_SECONDS,
    "duration": Meter.AUDIO_SECONDS,
    "training": Meter.TRAINED_TOKENS,
    "trained": Meter.TRAINED_TOKENS,
    "web_search": Meter.WEB_SEARCH_CALLS,
    "web_searches": Meter.WEB_SEARCH_CALLS,
    "web_search_tool_calls": Meter.WEB_SEARCH_CALLS,
    "file_search": Meter.FILE_SEARCH_CALLS,
    "file_search_tool_calls": Meter.FILE_SEARCH_CALLS,
    "code_interpreter": Meter.CODE_INTERPRETER_SESSIONS,
}
"""Other names of our line items."""


class UnreadableBill(ValueError):
    """A bill says something that cannot be compared, such as another currency than dollars."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """What the provider bills for a line item of a day. ``model`` is empty where it names none;
    ``quantity`` is in our counts, None where it gives none."""

    day: datetime
    model: str
    line_item: str
    quantity: int | None
    nano: int


def item_of(text: str) -> tuple[str, str]:
    """The model and the line item of ``text``, as the provider writes them together."""
    model, comma, rest = text.partition(",")
    if not comma:
        model, rest = "", text
    # What stands between them, such as the tier, is in the price alone.
    name = re.sub(r"[^a-z0-9]+", "_", rest.rpartition(",")[2].lower()).strip("_")
    if name != Meter.TRAINED_TOKENS:
        name = name.removesuffix("_tokens")
    return model.strip()[:128], str(_NAMES.get(name, name))[:64]


def nano_of(value: float | int | str, currency: str | None) -> int:
    """Nano-dollars of an amount. Raises UnreadableBill for another currency or no number."""
    if (currency or "usd").lower() != "usd":
        raise UnreadableBill(f"an amount of the bill is in {currency}, not in US dollars")
    amount = Decimal(str(value))
    if not amount.is_finite() or abs(amount) > 10**15:
        raise UnreadableBill(f"an amount of the bill is {value}")
    return int((amount * NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def quantity_of(value: float | None, unit: str | None, line_item: str) -> int | None:
    """Our count of a quantity in ``unit``; None where there is none."""
    if value is None:
        return None
    per = _UNITS.get(unit or "")
    if per is None:
        per = Decimal(_MS) if line_item == Meter.AUDIO_SECONDS else Decimal(1)
    amount = Decimal(str(value)) * per
    if not amount.is_finite():
        raise UnreadableBill(f"a quantity of the bill is {value}")
    return int(amount.to_integral_value(ROUND_HALF_EVEN))


class BillNames:
    """One name for all names of a model that one price row is for.

    Requests name ``gpt-4o``, and the bill names the snapshot that answered.
    """

    def __init__(self, book: PriceBook, at: datetime) -> None:
        """``book`` should have the price list alone: an override is for one name of several."""
        self._book, self._at = book, at
        self._known: dict[str, str] = {}

    def name(self, model: str) -> str:
        """The name that ``model`` is compared under."""
        if model not in self._known:
            price = None if model.startswith("ft:") else self._book.find(model, self._at)
            self._known[model] = price.model if price else model
        return self._known[model]


def unit_rates(book: PriceBook, day: datetime, model: str, line_item: str) -> set[Fraction]:
    """Our prices of one of a line item, in nano-dollars, in all tiers and lengths of prompt."""
    price = book.find(model, day)
    if price is None or line_item not in Meter.__members__.values():
        return set()
    meter, found = Meter(line_item), set()
    for tier in price.tiers:
        rate = price.rate_or_none(tier, meter)
        if rate is not None:
            for nano in (rate.nano, *(nano for _, nano in rate.steps)):
                found.add(Fraction(nano, rate.counted(meter)))
    return found
