"""Prices: dated, immutable rows of rates, and the one function that turns usage into cost.

A price row holds, for each service tier, a rate per meter. A rate is an integer number of
nano-dollars per ``per`` units, so every published price is exact. Long-context prices are
steps: once a request's input tokens are *above* a step's start, the step's rate applies to
all of its tokens (OpenAI: "prompts with more than 272K input tokens are priced at ...").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from gateway.core.money import divide_up
from gateway.core.usage import Usage

STANDARD_TIER = "default"
"""The provider's name for standard processing; every price row has rates for it."""


class Meter(StrEnum):
    """A thing that is billed by count."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    OUTPUT = "output"
    AUDIO_INPUT = "audio_input"
    AUDIO_CACHED_INPUT = "audio_cached_input"
    AUDIO_OUTPUT = "audio_output"
    IMAGE_INPUT = "image_input"
    IMAGE_CACHED_INPUT = "image_cached_input"
    IMAGE_OUTPUT = "image_output"
    AUDIO_SECONDS = "audio_seconds"
    CHARACTERS = "characters"
    WEB_SEARCH_CALLS = "web_search_calls"
    FILE_SEARCH_CALLS = "file_search_calls"
    CODE_INTERPRETER_SESSIONS = "code_interpreter_sessions"
    IMAGES = "images"
    TRAINED_TOKENS = "trained_tokens"


_FALLBACK: Mapping[Meter, tuple[Meter, ...]] = {
    Meter.CACHED_INPUT: (Meter.INPUT,),
    Meter.CACHE_WRITE: (Meter.INPUT,),
    Meter.AUDIO_INPUT: (Meter.INPUT,),
    Meter.IMAGE_INPUT: (Meter.INPUT,),
    Meter.AUDIO_OUTPUT: (Meter.OUTPUT,),
    Meter.IMAGE_OUTPUT: (Meter.OUTPUT,),
    # A row with an audio rate but no cached audio rate gives no discount on cached audio.
    Meter.AUDIO_CACHED_INPUT: (Meter.AUDIO_INPUT, Meter.CACHED_INPUT, Meter.INPUT),
    Meter.IMAGE_CACHED_INPUT: (Meter.IMAGE_INPUT, Meter.CACHED_INPUT, Meter.INPUT),
}
"""The meters whose rate applies, in turn, where a row names none for the first: providers
publish a separate rate only where it differs."""


_MEASURES = frozenset({Meter.IMAGES, Meter.AUDIO_SECONDS, Meter.CHARACTERS})
"""What a request did, which some models are billed by and others by tokens instead."""

_COUNTED: Mapping[Meter, int] = {Meter.AUDIO_SECONDS: 1000}
"""Counts in one unit of a meter, where it is not one: durations are counted in milliseconds."""


class Unpriced(LookupError):
    """A price row has no rate for a meter or a service tier that a request uses."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``nano`` nano-dollars per ``per`` units, or a step's amount above its start.

    ``steps`` are (input tokens, nano-dollars per ``per`` units), ascending.
    """

    nano: int
    per: int = 1_000_000
    steps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.nano < 0 or self.per <= 0 or any(nano < 0 for _, nano in self.steps):
            raise ValueError("a rate is never negative")
        starts = [start for start, _ in self.steps]
        if any(start < 0 for start in starts) or starts != sorted(set(starts)):
            raise ValueError("the steps of a rate ascend from zero or above")

    def at(self, input_tokens: int) -> int:
        """Nano-dollars per ``per`` units for a request with ``input_tokens`` input tokens."""
        nano = self.nano
        for start, step_nano in self.steps:
            if input_tokens > start:
                nano = step_nano
        return nano

    def highest_up_to(self, input_tokens: int) -> int:
        """The dearest rate that any input of at most ``input_tokens`` tokens can be billed at."""
        reachable = [nano for start, nano in self.steps if input_tokens > start]
        return max([self.nano, *reachable])

    def counted(self, meter: Meter) -> int:
        """The ``per`` of this rate in counts of ``meter``, as lines of a bill have it."""
        return self.per * _COUNTED.get(meter, 1)


RateTable = Mapping[Meter, Rate]
"""The rates of one service tier, by meter."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of a bill: ``count`` units of ``meter`` at ``nano`` nano-dollars per ``per``.

    Audio is counted in milliseconds in both ``count`` and ``per``, so that parts of a second
    are billed exactly: a minute is 60,000.
    """

    meter: Meter
    count: int
    nano: int
    per: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one request in nano-dollars, rounded up once, and the lines it sums."""

    nano: int
    lines: tuple[CostLine, ...]


@dataclass(frozen=True, slots=True)
class Price:
    """One immutable price row: what ``model`` costs from ``valid_from`` (UTC) on.

    ``id`` is the row's key in SQL, stored on every usage record that it priced.
    ``source`` says where it came from: ``genai-prices 0.2.3``, ``published`` or ``override``.
    ``tiers`` are service tiers, and for models that are billed by the image the variants that
    gateway.core.image_variants names.
    ``names`` are all request names it applies to (``model`` alone where empty): names as
    they are, prefixes that end in ``*`` (``ft:gpt-4o-2024-*``), and dated snapshots written
    ``gpt-6-sol-YYYY-MM-DD``. PriceBook.find says which wins.
    """

    id: int
    model: str
    names: tuple[str, ...]
    source: str
    valid_from: datetime
    tiers: Mapping[str, RateTable]
    context_window: int | None = None
    output_tokens_max: int | None = None
    is_override: bool = False

    def rates(self, tier: str) -> RateTable:
        """The rates of a service tier. Raises Unpriced for a tier this row does not know."""
        try:
            return self.tiers[tier]
        except KeyError:
            raise Unpriced(
                f"model {self.model} has no price for service tier {tier!r}"
                f" (priced: {', '.join(sorted(self.tiers))})"
            ) from None

    @property
    def is_free(self) -> bool:
        """Whether nothing is billed for this model, whatever is used of it."""
        rates = (rate for tier in self.tiers.values() for rate in tier.values())
        return all(not rate.nano and not any(nano for _, nano in rate.steps) for rate in rates)

    def rate(self, tier: str, meter: Meter) -> Rate:
        """The rate of one meter, or of the meter it falls back to. Raises Unpriced."""
        rate = self.rate_or_none(tier, meter)
        if rate is None:
            raise Unpriced(f"model {self.model} has no {meter.value} price")
        return rate

    def rate_or_none(self, tier: str, meter: Meter) -> Rate | None:
        """As ``rate``, but None where there is none. Raises Unpriced for the tier alone."""
        rates = self.rates(tier)
        for candidate in (meter, *_FALLBACK.get(meter, ())):
            if candidate in rates:
                return rates[candidate]
        return None


_INPUT_PARTS = (Meter.AUDIO_INPUT, Meter.IMAGE_INPUT, Meter.CACHE_WRITE, Meter.CACHED_INPUT)
"""The parts of the input, dearest first as providers price them."""


def meter_counts(
    usage: Usage, input_parts: Sequence[Meter] = _INPUT_PARTS
) -> list[tuple[Meter, int]]:
    """Each billed count of ``usage`` once, at the meter that bills it; audio in milliseconds.

    Where the input parts overlap (``Usage.input_overlap``), the parts earlier in
    ``input_parts`` keep their counts and the later ones give up the overlap, so that the
    counts sum to the input tokens. With the dearest part first this is an upper bound of
    what the provider billed: no token is counted below the dearer of its two rates, and a
    cached audio token is billed as audio, not at the lower rate of cached audio.
    Without a certain overlap the parts are taken as disjoint, which is an upper bound too
    as long as caching takes no less off an audio or image token than off a text token.
    """
    reported = {
        Meter.AUDIO_INPUT: usage.audio_input_tokens,
        Meter.IMAGE_INPUT: usage.image_input_tokens,
        Meter.CACHE_WRITE: usage.cache_write_tokens,
        Meter.CACHED_INPUT: usage.cached_input_tokens,
    }
    text_tokens = usage.input_tokens
    counts = []
    for part in input_parts:
        count = min(reported[part], text_tokens)
        counts.append((part, count))
        text_tokens -= count
    text_out = usage.output_tokens - usage.audio_output_tokens - usage.image_output_tokens
    return [
        (Meter.INPUT, text_tokens),
        *counts,
        (Meter.OUTPUT, text_out),
        (Meter.AUDIO_OUTPUT, usage.audio_output_tokens),
        (Meter.IMAGE_OUTPUT, usage.image_output_tokens),
        (Meter.WEB_SEARCH_CALLS, usage.web_search_calls),
        (Meter.FILE_SEARCH_CALLS, usage.file_search_calls),
        (Meter.CODE_INTERPRETER_SESSIONS, usage.code_interpreter_sessions),
        (Meter.IMAGES, usage.images),
        (Meter.AUDIO_SECONDS, usage.audio_milliseconds),
        (Meter.CHARACTERS, usage.characters),
        (Meter.TRAINED_TOKENS, usage.trained_tokens),
    ]


def _dearest_first(price: Price, usage: Usage, tier: str) -> list[Meter]:
    def amount(part: Meter) -> Fraction:
        rate = price.rate(tier, part)
        return Fraction(rate.at(usage.input_tokens), rate.per)

    return sorted(_INPUT_PARTS, key=amount, reverse=True)


def cost_of(price: Price, usage: Usage, tier: str) -> Cost:
    """The exact cost of ``usage`` at ``price`` in service tier ``tier``.

    The sum is exact and rounded up to a nano-dollar once. Where the report's input parts
    overlap, it is the upper bound that ``meter_counts`` describes. Images, audio time and
    characters cost nothing where the row has no rate for them and the usage has tokens,
    which are then what is billed. Raises Unpriced where any other count above zero has no
    rate.
    """
    parts = _dearest_first(price, usage, tier) if usage.input_overlap else _INPUT_PARTS
    by_tokens = usage.input_tokens + usage.output_tokens > 0
    rates = price.rates(tier)
    lines = []
    for meter, count in meter_counts(usage, parts):
        if not count or (meter in _MEASURES and by_tokens and meter not in rates):
            continue
        rate = price.rate(tier, meter)
        lines.append(CostLine(meter, count, rate.at(usage.input_tokens), rate.counted(meter)))
    return Cost(sum_lines(lines), tuple(lines))


def sum_lines(lines: Iterable[CostLine]) -> int:
    """Nano-dollars of all ``lines`` together, rounded up once."""
    by_per: dict[int, int] = {}
    for line in lines:
        by_per[line.per] = by_per.get(line.per, 0) + line.count * line.nano
    if len(by_per) == 1:
        ((per, numerator),) = by_per.items()
        return divide_up(numerator, per)
    total = sum((Fraction(numerator, per) for per, numerator in by_per.items()), Fraction(0))
    return divide_up(total.numerator, total.denominator)


_ANY_DATE = "-YYYY-MM-DD"
_DATED = re.compile(r"(.+)-[0-9]{4}-[0-9]{2}-[0-9]{2}", re.DOTALL)


class PriceBook:
    """All price rows in force, looked up by request name and time. Immutable."""

    def __init__(self, prices: Iterable[Price]) -> None:
        by_name: dict[str, list[Price]] = {}
        for price in prices:
            for name in dict.fromkeys(price.names or (price.model,)):
                by_name.setdefault(name, []).append(price)
        self._exact: dict[str, tuple[Price, ...]] = {}
        self._dated: dict[str, tuple[Price, ...]] = {}
        prefixes: dict[str, tuple[Price, ...]] = {}
        for name, rows in by_name.items():
            # Overrides lie above synced rows whatever their dates; within each kind the
            # newest start wins, and of two rows that start together, the later written.
            ordered = tuple(
                sorted(rows, key=lambda p: (p.is_override, p.valid_from, p.id), reverse=True)
            )
            if name.endswith("*"):
                prefixes[name[:-1]] = ordered
            elif name.endswith(_ANY_DATE):
                self._dated[name.removesuffix(_ANY_DATE)] = ordered
            else:
                self._exact[name] = ordered
        self._prefixes = sorted(prefixes.items(), key=lambda item: len(item[0]), reverse=True)

    def find(self, model: str, at: datetime) -> Price | None:
        """The row that prices requests for ``model`` made at ``at`` (UTC), if any.

        An exact name wins over a dated snapshot, that over the longest matching prefix.
        Names that no row states are not priced: a snapshot of a model is priced as the
        model only where a row says that its snapshots are.
        """
        for rows in self._candidates(model):
            for price in rows:
                if price.valid_from <= at:
                    return price
        return None

    def _candidates(self, model: str) -> Iterator[tuple[Price, ...]]:
        yield self._exact.get(model, ())
        if dated := _DATED.fullmatch(model):
            yield self._dated.get(dated[1], ())
        for prefix, rows in self._prefixes:
            if model.startswith(prefix):
                yield rows

    def names(self) -> list[str]:
        """All full model names that some row prices, sorted; patterns are not among them."""
        return sorted(self._exact)
