"""Compares recorded costs with the provider's bill, and explains every difference.

By day, model and line item, what the bill has more or less is split into parts that sum to it
exactly, each with its cause: first what was billed at another price, then what was billed in
another quantity. ``reconciling_quantities`` names the causes of the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from gateway.core.bill_lines import BillLine
from gateway.core.money import display_usd
from gateway.core.price_steps import Billed, Step, decimal_text, steps
from gateway.core.prices import Meter

CENT_NANO = 10_000_000
Key = tuple[datetime, str, str]
"""Day, model, line item."""


class Cause(StrEnum):
    """Why the bill has more or less than what is recorded."""

    ROUNDING = "rounding"
    """Each recorded cost is rounded up, and the bill's amounts are rounded their way."""
    MISSING = "missing"
    """Usage that one of the two does not have."""
    TIMING = "timing"
    """Usage that the two have on different days."""
    PRICE = "price"
    """Another price than ours."""
    CACHED_TOKENS = "cached_tokens"
    """Another price for cached input, or another count of it."""
    ESTIMATE = "estimate"
    """Recorded at an upper bound, since the usage was not known."""
    ADJUSTED = "adjusted"
    """Corrected by earlier adjustments."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded for a line item of a day: what is known exactly (``quantity``, ``nano``),
    what is an upper bound, and what was adjusted since. Amounts in nano-dollars."""

    day: datetime
    model: str
    line_item: str
    quantity: int = 0
    nano: int = 0
    estimated_nano: int = 0
    adjusted_nano: int = 0

    @property
    def total_nano(self) -> int:
        """What our reports show."""
        return self.nano + self.estimated_nano + self.adjusted_nano


@dataclass(frozen=True, slots=True)
class HourlyUse:
    """What one side reports of a model in an hour: ``counts`` by line item."""

    hour: datetime
    model: str
    requests: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a difference: ``nano`` nano-dollars that the bill has more (or less)."""

    cause: Cause
    nano: int
    explanation: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A line item of a day in which the two differ; ``parts`` sum to theirs less ours."""

    day: datetime
    model: str
    line_item: str
    ours_nano: int
    theirs_nano: int
    ours_quantity: int
    theirs_quantity: int | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared. ``requests`` are ours by day and model; hours are of the days in doubt
    (``days_in_doubt``); ``rates`` gives our prices of one, in nano-dollars, in all tiers."""

    recorded: Sequence[Recorded]
    billed: Sequence[BillLine]
    requests: Mapping[tuple[datetime, str], int]
    our_hours: Sequence[HourlyUse] = ()
    their_hours: Sequence[HourlyUse] = ()
    rates: Callable[[datetime, str, str], Iterable[Fraction]] = lambda _d, _m, _i: ()


@dataclass(slots=True)
class Line:
    """A line item of a day while its difference is taken apart."""

    recorded: Recorded
    billed: BillLine | None
    tolerance: Fraction = Fraction(0)
    unit: Fraction = Fraction(0)
    """Our price of one, in nano-dollars; the bill's where we have none of it."""
    delta: int = 0
    """How many the bill has more than is recorded exactly; what no cause has been found for."""
    value: Fraction = Fraction(0)
    """What the billed quantity costs by our prices."""
    has_quantity: bool = True
    parts: list[tuple[Cause, Fraction, str]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Day, model, line item."""
        return self.recorded.day, self.recorded.model, self.recorded.line_item

    @property
    def theirs(self) -> int:
        """Nano-dollars on the bill."""
        return self.billed.nano if self.billed else 0

    def say(self, cause: Cause, nano: Fraction, explanation: str) -> None:
        """Add a part, which may be no whole nano-dollars."""
        if nano:
            self.parts.append((cause, nano, explanation))

    def explain(self, cause: Cause, count: int, explanation: str) -> None:
        """Give ``count`` of what is still unexplained a cause."""
        self.delta -= count
        self.say(cause, count * self.unit, explanation)


def pair(recorded: Iterable[Recorded], billed: Iterable[BillLine]) -> list[Line]:
    """Both sides of every line item, in order. What the bill has under no model at all, such as
    searches, is compared with the sum of ours over all models."""
    theirs: dict[Key, BillLine] = {}
    for line in billed:
        key = line.day, line.model, line.line_item
        theirs[key] = _both(theirs[key], line) if key in theirs else line
    without_model = {(day, item) for day, model, item in theirs if not model}
    ours: dict[Key, Recorded] = {}
    for row in recorded:
        model = "" if (row.day, row.line_item) in without_model else row.model
        key = row.day, model, row.line_item
        before = ours.get(key, Recorded(*key))
        ours[key] = Recorded(
            *key,
            before.quantity + row.quantity,
            before.nano + row.nano,
            before.estimated_nano + row.estimated_nano,
            before.adjusted_nano + row.adjusted_nano,
        )
    return [
        Line(ours.get(key, Recorded(*key)), theirs.get(key))
        for key in sorted(ours.keys() | theirs.keys())
    ]


def _both(one: BillLine, other: BillLine) -> BillLine:
    quantity = None
    if one.quantity is not None and other.quantity is not None:
        quantity = one.quantity + other.quantity
    return BillLine(one.day, one.model, one.line_item, quantity, one.nano + other.nano)


def days_in_doubt(recorded: Iterable[Recorded], billed: Iterable[BillLine]) -> set[datetime]:
    """The days whose quantities differ: their hours tell where."""
    return {
        line.recorded.day
        for line in pair(recorded, billed)
        if line.recorded.quantity != (line.billed.quantity if line.billed else 0)
    }


def price_lines(lines: Sequence[Line], figures: Figures) -> None:
    """Say of every line what another price, and rounding, add to it."""
    amounts = [line.nano for line in figures.billed if line.nano]
    in_cents = bool(amounts) and all(nano % CENT_NANO == 0 for nano in amounts)
    grain = Fraction(CENT_NANO if in_cents else 1, 2)
    for line in lines:
        requests = figures.requests.get((line.recorded.day, line.recorded.model), 0)
        _value(line, figures, requests, grain)
    plain = [line for line in lines if not _is_cached(line)]
    cached = [line for line in lines if _is_cached(line)]
    found = _steps_of(plain)
    for line in plain:
        _say_price(line, Cause.PRICE, line.value, found.get(line.key))
    common = _common(plain, found)
    before: dict[Key, Step] = {}
    for line in cached:
        step = common.get(line.key[:2])
        if step is not None and line.has_quantity and line.value:
            before[line.key] = step
    own = _steps_of(cached, before)
    for line in cached:
        base = line.value
        if (step := before.get(line.key)) is not None:
            line.say(Cause.PRICE, base * (step.ratio - 1), _price_text(line, step))
            base *= step.ratio
        _say_price(line, Cause.CACHED_TOKENS, base, own.get(line.key))


def _is_cached(line: Line) -> bool:
    return "cached" in line.recorded.line_item


def _value(line: Line, figures: Figures, requests: int, grain: Fraction) -> None:
    """Find our unit price, and what the billed quantity costs at it."""
    ours, count = line.recorded, line.recorded.quantity
    billed = line.billed.quantity if line.billed else 0
    line.tolerance = grain + 1 + requests
    if billed is None:
        # The amount alone can be compared, where there is something to compare it with.
        line.has_quantity = False
        line.unit, line.delta = (Fraction(0), 0) if ours.nano else (Fraction(line.theirs), 1)
        line.value = Fraction(ours.nano) + line.delta * line.unit
    elif not count:
        line.unit = Fraction(line.theirs, billed) if billed else Fraction(0)
        line.delta, line.value = billed, billed * line.unit + ours.nano
    else:
        line.unit = Fraction(ours.nano, count)
        line.delta = billed - count
        line.value = billed * line.unit
        line.tolerance = grain + 1 + requests * max(Fraction(1), Fraction(billed, count))
        if line.delta and billed and abs(line.theirs - line.value) > line.tolerance:
            _at_a_price_of_ours(line, figures)


def _at_a_price_of_ours(line: Line, figures: Figures) -> None:
    """What only the bill has may be of another tier than the rest: then its price is ours too."""
    for rate in figures.rates(*line.key):
        value = line.recorded.nano + line.delta * rate
        if abs(line.theirs - value) <= line.tolerance:
            line.unit, line.value = rate, value
            return


def _steps_of(lines: Sequence[Line], before: Mapping[Key, Step] | None = None) -> dict[Key, Step]:
    """The price step of every line that is in one; relative to ``before``, where that has one."""
    by_item: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line.has_quantity and line.value:
            by_item.setdefault(line.key[1:], []).append(line)
    found: dict[Key, Step] = {}
    for (model, item), days in by_item.items():
        billed = []
        for line in days:
            step = (before or {}).get(line.key)
            ratio = step.ratio if step else Fraction(1)
            billed.append(
                Billed(
                    line.recorded.day,
                    line.value * ratio,
                    line.theirs,
                    line.tolerance,
                    line.unit * ratio,
                )
            )
        found.update({(day, model, item): step for day, step in steps(billed).items()})
    return found


def _common(plain: Sequence[Line], found: Mapping[Key, Step]) -> dict[tuple[datetime, str], Step]:
    """By day and model, the step that all of its other line items have taken alike."""
    by_model: dict[tuple[datetime, str], list[Step | None]] = {}
    for line in plain:
        if line.has_quantity and line.value:
            by_model.setdefault(line.key[:2], []).append(found.get(line.key))
    common = {}
    for key, taken in by_model.items():
        first = taken[0]
        if first is not None and all(step and step.ratio == first.ratio for step in taken):
            common[key] = first
    return common


def _say_price(line: Line, cause: Cause, value: Fraction, step: Step | None) -> None:
    """Split what the bill has more than ``value`` into price and rounding."""
    rest = line.theirs - value
    if step is not None:
        part = value * (step.ratio - 1)
        line.say(cause, part, _price_text(line, step))
        rest -= part
    if abs(rest) <= line.tolerance:
        line.say(Cause.ROUNDING, rest, "Amounts are rounded, here up for each request.")
    elif line.billed and line.billed.quantity:
        line.say(Cause.PRICE, rest, "Billed, where our price is nothing.")
    else:
        line.say(Cause.UNEXPLAINED, rest, "The bill gives an amount here and no quantity.")


def _price_text(line: Line, step: Step) -> str:
    name = line.recorded.line_item.replace("_", " ")
    theirs = price_text(line.recorded.line_item, line.unit * step.ratio)
    ours = price_text(line.recorded.line_item, line.unit)
    return (
        f"From {step.since:%Y-%m-%d} on, {name} is billed {step.percent} than our price:"
        f" {theirs}, not {ours}."
    )


def price_text(line_item: str, unit: Fraction) -> str:
    """A price as providers publish it, from nano-dollars for one of our counts."""
    scale, per = 1_000_000, "1M"
    if line_item == Meter.AUDIO_SECONDS:
        scale, per = 60_000, "minute"
    elif line_item in (Meter.IMAGES, Meter.WEB_SEARCH_CALLS, Meter.CODE_INTERPRETER_SESSIONS):
        scale, per = 1, "one"
    return f"${decimal_text(unit * scale / 10**9, 6)} per {per}"


def difference_of(line: Line) -> Difference | None:
    """The parts of a line in whole nano-dollars, which sum to its difference; None without one."""
    ours = line.recorded
    total = line.theirs - ours.total_nano
    if not total:
        return None
    if ours.adjusted_nano:
        earlier = f"Earlier adjustments of {display_usd(ours.adjusted_nano)}."
        line.say(Cause.ADJUSTED, Fraction(-ours.adjusted_nano), earlier)
    parts = []
    exact, rounded = Fraction(0), 0
    for cause, nano, explanation in line.parts:
        exact += nano
        whole = round(exact) - rounded
        rounded += whole
        if whole:
            parts.append(Part(cause, whole, explanation))
    if rounded != total:
        raise AssertionError(f"{line.key}: the causes sum to {rounded}, not to {total}")
    quantity = line.billed.quantity if line.billed else 0
    return Difference(
        *line.key, ours.total_nano, line.theirs, ours.quantity, quantity, tuple(parts)
    )
