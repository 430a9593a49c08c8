"""What the rollups say was used and charged, as it is compared with the provider's bill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select

from gateway.adapters.adjustments import ADJUSTED
from gateway.adapters.rollup_tables import daily_costs, daily_usage
from gateway.adapters.tables import hourly_usage
from gateway.core.bill_lines import BillNames
from gateway.core.prices import Meter
from gateway.core.reconciling import HourlyUse, Recorded
from gateway.core.usage import Certainty

_COMPLETIONS = ("chat/completions", "completions", "responses", "responses/compact", "batches")
_BY_ENDPOINT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_COMPLETIONS, ("tokens",)),
    "embeddings": (Meter.INPUT,),
    **dict.fromkeys(("images/generations", "images/edits", "images/variations"), (Meter.IMAGES,)),
    "audio/speech": (Meter.CHARACTERS,),
    **dict.fromkeys(("audio/transcriptions", "audio/translations"), (Meter.AUDIO_SECONDS,)),
}
"""What the provider reports of the work of each endpoint by the hour."""

_SUMMED = (
    "requests",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
)


def recorded_costs(
    connection: Connection, since: datetime, until: datetime, names: BillNames
) -> list[Recorded]:
    """What is recorded by day, model and line item, from ``since`` to before ``until``."""
    c = daily_costs.c
    query = (
        select(
            c.day,
            c.model,
            c.line_item,
            c.certainty,
            func.sum(c.quantity).label("quantity"),
            func.sum(c.cost_nano).label("cost_nano"),
        )
        .where(c.day >= since, c.day < until)
        .group_by(c.day, c.model, c.line_item, c.certainty)
    )
    found: dict[tuple[datetime, str, str], dict[str, int]] = {}
    for row in connection.execute(query):
        key = row.day, names.name(row.model), row.line_item
        sums = found.setdefault(key, {})
        for name, value in _parts(row):
            sums[name] = sums.get(name, 0) + value
    return [
        Recorded(*key, *(sums.get(name, 0) for name in _SIDES))
        for key, sums in sorted(found.items())
    ]


_SIDES = ("quantity", "nano", "estimated_nano", "adjusted_nano")


def _parts(row: Any) -> Iterator[tuple[str, int]]:
    if row.certainty == Certainty.EXACT:
        yield "quantity", int(row.quantity)
        yield "nano", int(row.cost_nano)
    elif row.certainty == ADJUSTED:
        yield "adjusted_nano", int(row.cost_nano)
    else:
        yield "estimated_nano", int(row.cost_nano)


def requests_by_model(
    connection: Connection, since: datetime, until: datetime, names: BillNames
) -> dict[tuple[datetime, str], int]:
    """How many requests are recorded by day and model; that many costs were rounded."""
    c = daily_usage.c
    query = (
        select(c.day, c.model, func.sum(c.requests).label("requests"))
        .where(c.day >= since, c.day < until)
        .group_by(c.day, c.model)
    )
    found: dict[tuple[datetime, str], int] = {}
    for row in connection.execute(query):
        # What is billed under no model at all is compared with the sum over all models.
        for name in {names.name(row.model), ""}:
            found[row.day, name] = found.get((row.day, name), 0) + int(row.requests)
    return found


def recorded_hours(
    connection: Connection, days: Iterable[datetime], names: BillNames
) -> Iterator[HourlyUse]:
    """What is recorded exactly by hour and model on ``days``, of what the provider reports."""
    wanted = list(days)
    if not wanted:
        return
    h = hourly_usage.c
    query = (
        select(h.hour, h.model, h.endpoint, *(func.sum(h[name]).label(name) for name in _SUMMED))
        .where(
            or_(*((h.hour >= day) & (h.hour < day + timedelta(days=1)) for day in wanted)),
            h.certainty == Certainty.EXACT.value,
            h.endpoint.in_(_BY_ENDPOINT),
        )
        .group_by(h.hour, h.model, h.endpoint)
    )
    for row in connection.execute(query):
        counts = _counts(row, _BY_ENDPOINT[row.endpoint])
        yield HourlyUse(row.hour, names.name(row.model), int(row.requests), counts)


def _counts(row: Any, items: tuple[str, ...]) -> dict[str, int]:
    into = row.cached_input_tokens + row.cache_write_tokens
    into += row.audio_input_tokens + row.image_input_tokens
    out = row.audio_output_tokens + row.image_output_tokens
    known: dict[str, Any] = {
        Meter.INPUT: row.input_tokens - into,
        Meter.CACHED_INPUT: row.cached_input_tokens,
        Meter.CACHE_WRITE: row.cache_write_tokens,
        Meter.AUDIO_INPUT: row.audio_input_tokens,
        Meter.IMAGE_INPUT: row.image_input_tokens,
        Meter.OUTPUT: row.output_tokens - out,
        Meter.AUDIO_OUTPUT: row.audio_output_tokens,
        Meter.IMAGE_OUTPUT: row.image_output_tokens,
    }
    if items != ("tokens",):
        known |= {
            Meter.IMAGES: row.images,
            Meter.CHARACTERS: row.characters,
            Meter.AUDIO_SECONDS: row.audio_milliseconds,
        }
        known = {item: known[item] for item in items}
    return {str(item): int(count) for item, count in known.items()}
