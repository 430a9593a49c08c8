"""Why the bill has more, or less, of a line item than is recorded, and all of a comparison.

A cause is looked for in turn: usage that fell on another day, tokens counted as cached by one side
alone, requests that were recorded at an upper bound, and usage that one side misses, by the hour.
What is left is called unexplained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from gateway.core.money import display_usd
from gateway.core.price_steps import decimal_text
from gateway.core.prices import Meter
from gateway.core.reconciling import (
    Cause,
    Difference,
    Figures,
    HourlyUse,
    Key,
    Line,
    difference_of,
    pair,
    price_lines,
)

_HOURS_NAMED = 3
_DAY = timedelta(days=1)

_Hours = Mapping[tuple[str, datetime], list[HourlyUse]]


def compare(figures: Figures) -> list[Difference]:
    """Every difference between what is recorded and the bill, by day, model and line item."""
    lines = pair(figures.recorded, figures.billed)
    price_lines(lines, figures)
    by_model: dict[tuple[datetime, str], list[Line]] = {}
    for line in lines:
        by_model.setdefault(line.key[:2], []).append(line)
    hours = _Sides(figures)
    _timed({line.key: line for line in lines}, hours)
    for group in by_model.values():
        _cached(group)
        _estimated(group)
    for line in lines:
        if line.delta:
            _missing(line, hours)
    found = (difference_of(line) for line in lines)
    return [difference for difference in found if difference is not None]


def _cached(group: Sequence[Line]) -> None:
    """Input that one side counts as cached, and the other does not."""
    items = {line.recorded.line_item: line for line in group}
    plain, cached = items.get(Meter.INPUT), items.get(Meter.CACHED_INPUT)
    if plain is None or cached is None or plain.delta * cached.delta >= 0:
        return
    moved = min(abs(plain.delta), abs(cached.delta))
    more = cached.delta > 0
    before = cached.recorded.quantity
    share = ""
    if before:
        share = f", {decimal_text(Fraction(100 * moved, before), 2)} % of what is recorded"
    says = (
        f"The bill has {moved:,} tokens {'more' if more else 'fewer'} as cached{share}, and as many"
        f" {'fewer' if more else 'more'} as input."
    )
    cached.explain(Cause.CACHED_TOKENS, moved if more else -moved, says)
    plain.explain(Cause.CACHED_TOKENS, -moved if more else moved, says)


def _estimated(group: Sequence[Line]) -> None:
    """What was recorded at an upper bound: the bill has it at its cost, as far as that goes."""
    bound = sum(line.recorded.estimated_nano for line in group)
    if not bound:
        return
    left = Fraction(bound)
    billed = Fraction(0)
    for line in group:
        if line.delta > 0 and line.unit and left > 0:
            count = min(line.delta, int(left / line.unit))
            nano = count * line.unit
            left -= nano
            billed += nano
            line.explain(
                Cause.ESTIMATE, count, "Billed for requests that are recorded at an upper bound."
            )
    for line in group:
        if line.recorded.estimated_nano:
            line.say(
                Cause.ESTIMATE,
                Fraction(-line.recorded.estimated_nano),
                f"Recorded at an upper bound of {display_usd(bound)} in all, of which"
                f" {display_usd(round(billed))} can have been billed.",
            )


class _Sides:
    """The hours of both sides, by model and day."""

    def __init__(self, figures: Figures) -> None:
        self._ours = _by_day(figures.our_hours)
        self._theirs = _by_day(figures.their_hours)
        both = (*figures.our_hours, *figures.their_hours)
        self._told = {(use.model, item) for use in both for item in use.counts}

    def tells(self, line: Line) -> bool:
        """Whether the hours can tell of a line item: not all are in reports of usage."""
        return line.key[1:] in self._told

    def differing(self, line: Line) -> list[tuple[HourlyUse, HourlyUse]]:
        """Ours and theirs of each hour of the line's day in which they differ."""
        day, model, item = line.key
        ours = {use.hour: use for use in self._ours.get((model, day), ())}
        theirs = {use.hour: use for use in self._theirs.get((model, day), ())}
        found = []
        for hour in sorted(ours.keys() | theirs.keys()):
            none = HourlyUse(hour, model, 0, {})
            one, other = ours.get(hour, none), theirs.get(hour, none)
            if one.counts.get(item, 0) != other.counts.get(item, 0):
                found.append((one, other))
        return found

    def at(self, line: Line, hour: datetime) -> int:
        """How many the bill has more in one hour."""
        for one, other in self.differing(line):
            if one.hour == hour:
                return _more(one, other, line.recorded.line_item)
        return 0


def _by_day(uses: Iterable[HourlyUse]) -> _Hours:
    found: dict[tuple[str, datetime], list[HourlyUse]] = {}
    for use in uses:
        day = use.hour.replace(hour=0, minute=0, second=0, microsecond=0)
        found.setdefault((use.model, day), []).append(use)
    return found


def _more(ours: HourlyUse, theirs: HourlyUse, item: str) -> int:
    return theirs.counts.get(item, 0) - ours.counts.get(item, 0)


def _timed(lines: Mapping[Key, Line], hours: _Sides) -> None:
    """Requests that were held before midnight, or in a batch, and billed on the next day."""
    for (day, model, item), line in lines.items():
        after = lines.get((day + _DAY, model, item))
        if after is None:
            continue
        last, first = hours.at(line, day + timedelta(hours=23)), hours.at(after, day + _DAY)
        if last * first < 0:
            more = min(abs(last), abs(first)) * (1 if last > 0 else -1)
        elif line.delta and line.delta == -after.delta:
            more = line.delta
        else:
            continue
        here, there = ("recorded", "billed") if more < 0 else ("billed", "recorded")
        says = f"{abs(more):,} are {here} on {day:%Y-%m-%d} and {there} on {day + _DAY:%Y-%m-%d}."
        line.explain(Cause.TIMING, more, says)
        after.explain(Cause.TIMING, -more, says)


def _missing(line: Line, hours: _Sides) -> None:
    """What one side does not have, and in which hours."""
    item, more = line.recorded.line_item, line.delta > 0
    if not line.has_quantity:
        line.explain(Cause.MISSING, line.delta, "Billed without a quantity, and not recorded.")
        return
    whose = "Billed and not recorded" if more else "Recorded and not billed"
    if not hours.tells(line):
        line.explain(Cause.MISSING, line.delta, f"{whose}: {abs(line.delta):,}.")
        return
    differing = [
        (ours, theirs)
        for ours, theirs in hours.differing(line)
        if (_more(ours, theirs, item) > 0) == more
    ]
    if not differing:
        line.explain(
            Cause.UNEXPLAINED,
            line.delta,
            f"The costs have {abs(line.delta):,} {'more' if more else 'fewer'} than is recorded,"
            " though the provider's report of usage agrees with ours.",
        )
        return
    named = [_hour(ours, theirs, item) for ours, theirs in differing[:_HOURS_NAMED]]
    if len(differing) > _HOURS_NAMED:
        named.append(f"{len(differing) - _HOURS_NAMED} more hours")
    line.explain(Cause.MISSING, line.delta, f"{whose}: {'; '.join(named)}.")


def _hour(ours: HourlyUse, theirs: HourlyUse, item: str) -> str:
    """One hour, and how much of it is missing."""
    hour = f"{ours.hour:%Y-%m-%d %H:00} UTC"
    count = abs(_more(ours, theirs, item))
    present = theirs if _more(ours, theirs, item) > 0 else ours
    if not (ours.counts.get(item, 0) and theirs.counts.get(item, 0)):
        requests = "1 request" if present.requests == 1 else f"{present.requests:,} requests"
        return f"the hour {hour} ({count:,} in {requests})"
    return f"{count:,} of {present.counts[item]:,} in the hour {hour}"
