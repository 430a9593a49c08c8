"""Charts as data: what ``static/charts.js`` draws, and the same as a table and as a sentence.

Values are integers: nano-dollars, counts or milliseconds. Colours are numbers of the palette in
``static/faregate.css``, so that a chart, its key and a bar list agree, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from gateway.core.latency import upper_ms
from gateway.core.reports import Point, Sums
from gateway.web.dashboard import formats
from gateway.web.dashboard.ranges import Range

SERIES_MAX = 7
"""Groups with a colour of their own; the others are summed as one."""

OTHERS = "Others"
BEFORE = "Period before"
_TABLE_ROWS_MAX = 400
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A line of a chart's key; ``swatch`` names a colour."""

    name: str
    swatch: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What the macro ``ui.chart`` shows."""

    title: str
    summary: str
    spec: str
    columns: tuple[dict[str, Any], ...]
    rows: tuple[tuple[str, ...], ...]
    key: tuple[KeyEntry, ...] = ()


Measure = Callable[[Sums], int]


def cost(sums: Sums) -> int:
    """What most charts are of."""
    return sums.cost_nano


def over_time(
    title: str,
    range_: Range,
    by_day: bool,
    points: Sequence[Point],
    *,
    before: Sequence[Point] = (),
    measure: Measure = cost,
    unit: str = "usd",
) -> Chart:
    """Stacked bars for the groups of ``points``, and a line for the same time ``before``."""
    steps = range_.steps(by_day)
    shown = _dearest(points, steps, measure)
    earlier = _before(range_, steps, by_day, before, measure)
    series = [_bar(name, swatch, values) for name, swatch, values in shown]
    columns = [(name, values) for name, _, values in shown]
    total = _sum([values for _, values in columns], len(steps))
    if len(shown) > 1:
        columns.append(("Total", total))
    write = _writer(unit)
    key = [KeyEntry(name, swatch, write(sum(values))) for name, swatch, values in shown]
    if earlier:
        series.append(_line(BEFORE, "line", earlier, dashed=True))
        columns.append((BEFORE, earlier))
        key.append(KeyEntry(BEFORE, "dashed-line", write(sum(earlier))))
    titles = [_title(at, by_day) for at in steps]
    return Chart(
        title=title,
        summary=_summary(title, range_, titles, total, write, by_day),
        spec=_spec(unit, _labels(steps, by_day), titles, series),
        columns=_columns("Day" if by_day else "Hour", [name for name, _ in columns]),
        rows=_rows(titles, [values for _, values in columns], write),
        key=tuple(key),
    )


def curve(
    title: str,
    labels: Sequence[str],
    titles: Sequence[str],
    lines: Sequence[tuple[str, str, Sequence[int | None], bool]],
    *,
    unit: str = "usd",
    summary: str,
    step: bool = False,
) -> Chart:
    """Lines over the same labels: (name, swatch, values, dashed), where None is no value."""
    write = _writer(unit)
    series = [
        _line(name, swatch, values, dashed=dashed, area=place == 0, step=step and place == 0)
        for place, (name, swatch, values, dashed) in enumerate(lines)
    ]
    return Chart(
        title=title,
        summary=summary,
        spec=_spec(unit, labels, titles, series),
        columns=_columns("Time", [name for name, *_ in lines]),
        rows=_rows(titles, [values for _, _, values, _ in lines], write),
        key=tuple(
            KeyEntry(name, f"dashed-{swatch}" if dashed else swatch)
            for name, swatch, _, dashed in lines
        ),
    )


def bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[int],
    *,
    unit: str,
    summary: str,
    name: str,
    head: str,
    limit: int | None = None,
    tabled: bool = True,
) -> Chart:
    """One bar for each label, and a line at ``limit``.

    Not ``tabled``, the page itself has the same as a table.
    """
    series = [_bar(name, "1", values)]
    key: tuple[KeyEntry, ...] = ()
    if limit is not None:
        series.append(_line("Limit", "bad", [limit] * len(labels), dashed=True))
        key = (KeyEntry(name, "1"), KeyEntry("Limit", "dashed-bad", _writer(unit)(limit)))
    return Chart(
        title=title,
        summary=summary,
        spec=_spec(unit, labels, labels, series),
        columns=_columns(head, [name]),
        rows=_rows(labels, [values], _writer(unit)) if tabled else (),
        key=key,
    )


def latencies(title: str, buckets: Mapping[int, int]) -> Chart | None:
    """How many requests took how long; None where none has a duration."""
    if not buckets:
        return None
    span = range(min(buckets), max(buckets) + 1)
    labels = [formats.duration(upper_ms(bucket)) for bucket in span]
    values = [buckets.get(bucket, 0) for bucket in span]
    most = labels[values.index(max(values))]
    return bars(
        title,
        labels,
        values,
        unit="count",
        summary=f"{title}: {sum(values):,} requests; most took up to {most}.",
        name="Requests",
        head="Up to",
    )


# The parts


def _dearest(
    points: Sequence[Point], steps: Sequence[datetime], measure: Measure
) -> list[tuple[str, str, list[int]]]:
    """The groups of ``points`` as (name, swatch, values): the largest, then the sum of the rest."""
    places = {at: place for place, at in enumerate(steps)}
    values: dict[str, list[int]] = {}
    called: dict[str, str] = {}
    for point in points:
        if point.at in places:
            row = values.setdefault(point.key, [0] * len(steps))
            row[places[point.at]] += measure(point.sums)
            called[point.key] = point.name
    ranked = sorted(values, key=lambda key: (-sum(values[key]), key))
    found = [
        (called[key] or "No value", str(place + 1), values[key])
        for place, key in enumerate(ranked[:SERIES_MAX])
    ]
    if rest := ranked[SERIES_MAX:]:
        found.append((OTHERS, "rest", _sum([values[key] for key in rest], len(steps))))
    return found


def _sum(rows: Sequence[Sequence[int]], length: int) -> list[int]:
    return [sum(row[place] for row in rows) for place in range(length)]


def _before(
    range_: Range,
    steps: Sequence[datetime],
    by_day: bool,
    before: Sequence[Point],
    measure: Measure,
) -> list[int]:
    """The period before, moved to the steps of this one."""
    if not before:
        return []
    earlier = {at: place for place, at in enumerate(range_.previous.steps(by_day))}
    found = [0] * len(steps)
    for point in before:
        place = earlier.get(point.at)
        if place is not None and place < len(found):
            found[place] += measure(point.sums)
    return found


def _bar(name: str, swatch: str, values: Sequence[int]) -> dict[str, Any]:
    return {"kind": "bar", "name": name, "swatch": _code(swatch), "values": values, "stack": "all"}


def _line(
    name: str,
    swatch: str,
    values: Sequence[int | None],
    *,
    dashed: bool = False,
    area: bool = False,
    step: bool = False,
) -> dict[str, Any]:
    return {
        "kind": "line",
        "name": name,
        "swatch": _code(swatch),
        "values": values,
        "dashed": dashed,
        "area": area,
        "step": "end" if step else None,
    }


def _code(swatch: str) -> int | str:
    return int(swatch) if swatch.isdigit() else swatch


def _spec(
    unit: str, labels: Sequence[str], titles: Sequence[str], series: Sequence[dict[str, Any]]
) -> str:
    spec = {"unit": unit, "labels": labels, "titles": titles, "series": series}
    return orjson.dumps(spec).decode()


def _labels(steps: Sequence[datetime], by_day: bool) -> list[str]:
    if by_day:
        return [formats.short_day(at) for at in steps]
    return [formats.short_day(at) if at.hour == 0 else f"{at:%H:%M}" for at in steps]


def _title(at: datetime, by_day: bool) -> str:
    if by_day:
        return f"{at:%a} {formats.day(at)}"
    return f"{formats.short_day(at)}, {at:%H:%M} - {at + _HOUR:%H:%M}"


def _summary(
    title: str,
    range_: Range,
    labels: Sequence[str],
    total: Sequence[int],
    write: Callable[[int], str],
    by_day: bool,
) -> str:
    if not any(total):
        return f"{title}: nothing {range_.phrase}."
    place = max(range(len(total)), key=lambda at: total[at])
    step = "day" if by_day else "hour"
    return (
        f"{title}: {write(sum(total))} {range_.phrase}, by the {step}; the most was"
        f" {write(total[place])} on {labels[place]}. The table below has all figures."
    )


def _writer(unit: str) -> Callable[[int], str]:
    return {"usd": formats.usd, "ms": formats.duration}.get(unit, formats.grouped)


def _columns(head: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    return ({"label": head}, *({"label": name, "right": True} for name in names))


def _rows(
    labels: Sequence[str], columns: Sequence[Sequence[int | None]], write: Callable[[int], str]
) -> tuple[tuple[str, ...], ...]:
    rows = [
        (label, *(formats.DASH if value is None else write(value) for value in values))
        for label, *values in zip(labels, *columns, strict=True)
    ]
    return tuple(rows[-_TABLE_ROWS_MAX:])
