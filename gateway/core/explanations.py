"""How the cost of a request came about, in words: for the command line, pages and exports alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from gateway.core.money import display_usd
from gateway.core.prices import CostLine, Meter, sum_lines

_HELD = "charged at its hold, the most that it could have cost"
WHY = {
    "exact": "the provider reported the usage, or bills by what the request says",
    "estimated": (
        "an upper bound: the provider did not report all of the usage, or the price list lacks its"
        f" rates; counted here, or {_HELD}"
    ),
    "unknown": f"whether the provider billed it is not known: {_HELD}",
    "adjusted": "posted later, as a correction of what was recorded",
}
"""What each certainty means."""

REASONS = {
    "usage_not_reported": "The provider's answer had no usage that could be believed.",
    "stream_broken": "The provider's stream broke off before it told the usage.",
    "searches_not_reported": "The provider bills web searches and does not tell how many it made;"
    " the most that there can have been are charged.",
    "not_priced": "The price list has no rate for something that the provider reported.",
    "no_batch_price": "The price list has no batch rate; the standard one was charged.",
    "object_gone": "The object that would have told the usage is gone from the provider.",
    "job_failed": "The job failed, and the provider does not bill failed jobs.",
}
"""What the commonest reasons in records mean. Others are shown as they are."""

_SMALL_UNITS = {
    (Meter.AUDIO_SECONDS, 1): "second",
    (Meter.AUDIO_SECONDS, 60): "minute",
    (Meter.AUDIO_SECONDS, 3600): "hour",
    # As lines of a bill count it.
    (Meter.AUDIO_SECONDS, 1000): "second",
    (Meter.AUDIO_SECONDS, 60_000): "minute",
    (Meter.AUDIO_SECONDS, 3_600_000): "hour",
    (Meter.IMAGES, 1): "image",
    (Meter.CODE_INTERPRETER_SESSIONS, 1): "session",
}


@dataclass(frozen=True, slots=True)
class ChargedWindow:
    """A budget window that a record was charged to, as it stood when the hold was placed."""

    budget_id: int
    start: datetime
    held_nano: int
    limit_nano: int
    enforcement: str


def rate_text(meter: Meter, nano: int, per: int) -> str:
    """A rate as providers publish it: ``"$2.50 per 1M"``."""
    unit = _SMALL_UNITS.get((meter, per), "1M" if per == 1_000_000 else f"{per:,}")
    return f"{display_usd(nano)} per {unit}"


def stored_lines(text: str) -> list[CostLine]:
    """The lines of a bill from a record's ``cost_lines``."""
    return [
        CostLine(Meter(meter), count, nano, per) for meter, count, nano, per in json.loads(text)
    ]


def charged_windows(text: str) -> Iterator[ChargedWindow]:
    """The windows in a record's ``budget_windows``: ``budget:start ms:held:limit:enforcement``."""
    for part in text.split(","):
        if not part:
            continue
        budget_id, start_ms, *more = part.split(":")
        held, limit, enforcement = (*more, "", "", "")[:3]
        yield ChargedWindow(
            int(budget_id),
            datetime.fromtimestamp(int(start_ms) / 1000, tz=UTC),
            int(held or 0),
            int(limit or 0),
            enforcement,
        )


def count_text(line: CostLine) -> str:
    """The count of one line in the unit that its meter is named for."""
    if line.meter is Meter.AUDIO_SECONDS:
        return seconds_text(line.count)
    return f"{line.count:,}"


def seconds_text(milliseconds: int) -> str:
    """Whole seconds, or seconds with three decimals."""
    whole, part = divmod(milliseconds, 1000)
    return f"{whole:,}.{part:03d}" if part else f"{whole:,}"


def amount_text(line: CostLine) -> str:
    """Dollars of one line; exact where they end within fifteen decimals, else rounded."""
    scaled = round(Fraction(line.count * line.nano * 10**6, line.per))
    whole, fraction = divmod(scaled, 10**15)
    return f"${whole:,}.{f'{fraction:015d}'.rstrip('0').ljust(2, '0')}"


def rounding_text(lines: Sequence[CostLine]) -> str:
    """What rounding up to a whole nano-dollar added to the bill, to fifteen decimals; empty where
    it added nothing."""
    exact = sum((Fraction(line.count * line.nano, line.per) for line in lines), Fraction(0))
    added = sum_lines(lines) - exact
    return f"$0.{round(added * 10**6):015d}" if added else ""


def used(record: Any) -> list[str]:
    """What a request did beside reading and writing text, where it did any of it."""
    counts = (
        (f"{record.image_output_tokens:,} image output tokens", record.image_output_tokens),
        (f"{record.images:,} images", record.images),
        (f"{seconds_text(record.audio_milliseconds)} seconds of audio", record.audio_milliseconds),
        (f"{record.characters:,} characters", record.characters),
        (f"{record.trained_tokens:,} trained tokens", record.trained_tokens),
        (f"{record.web_search_calls:,} web searches", record.web_search_calls),
    )
    return [text for text, count in counts if count]
