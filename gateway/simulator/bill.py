"""The simulated provider's bill: what the truth log says was charged, at its published prices.

Read from the log whenever somebody asks, a minute and a kind of request in one cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.simulator.bill_faults import BillFaults
from gateway.simulator.bill_prices import Billed, billed
from gateway.simulator.truth import Charge, parse_truth

MINUTE = 60

_FAMILIES = {
    "chat/completions": "completions",
    "completions": "completions",
    "responses": "completions",
    "responses/compact": "completions",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images/generations": "images",
    "images/edits": "images",
    "images/variations": "images",
    "audio/speech": "audio_speeches",
    "audio/transcriptions": "audio_transcriptions",
    "audio/translations": "audio_transcriptions",
}
"""Which report of usage the work of an endpoint is in; training is in none."""

SOURCES = {
    "images/generations": "image.generation",
    "images/edits": "image.edit",
    "images/variations": "image.variation",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What cells are kept apart by, besides their minute."""

    family: str
    model: str
    service_tier: str
    api_key_id: str
    size: str = ""
    source: str = ""


@dataclass(slots=True)
class Cell:
    """What was used and charged in one minute by one kind of request."""

    start: int
    kind: Kind
    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[tuple[str, str], Billed] = field(default_factory=dict)
    """By model and item."""

    def add(self, charge: Charge) -> None:
        """Add one charge."""
        self.counts.update(_counts(charge))
        for line in billed(charge):
            key = line.model, line.item
            before = self.lines.get(key)
            self.lines[key] = line if before is None else _sum(before, line)


class Bill:
    """What has been charged so far. Without a truth log, nobody has kept it."""

    def __init__(self, path: str | Path | None, faults: BillFaults | None = None) -> None:
        self._path = None if path is None else Path(path)
        self.faults = faults or BillFaults()
        self._read = 0
        self._cells: dict[tuple[int, Kind], Cell] = {}

    def cells(self, start: int, end: int) -> Iterator[Cell]:
        """The cells from ``start`` to before ``end`` (seconds since 1970) that the bill has."""
        self._catch_up()
        for cell in self._cells.values():
            if start <= cell.start < end and not self.faults.omits(cell.start):
                yield cell

    def _catch_up(self) -> None:
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for charge in parse_truth(whole):
            kind = _kind(charge)
            start = int(charge.time) // MINUTE * MINUTE
            self._cells.setdefault((start, kind), Cell(start, kind)).add(charge)


def _kind(charge: Charge) -> Kind:
    family = _FAMILIES.get(charge.endpoint, "")
    images = family == "images"
    return Kind(
        family,
        charge.model,
        charge.service_tier,
        charge.api_key_id,
        charge.variant.removeprefix("hd-") if images else "",
        SOURCES[charge.endpoint] if images else "",
    )


def _counts(charge: Charge) -> dict[str, int]:
    parts = (charge.image_tokens, charge.audio_prompt_tokens, charge.cache_write_tokens)
    uncached = charge.prompt_tokens - charge.cached_tokens - charge.cache_write_tokens
    return {
        "num_model_requests": 1,
        "input_tokens": charge.prompt_tokens,
        "output_tokens": charge.completion_tokens,
        "input_cached_tokens": charge.cached_tokens,
        "input_cache_write_tokens": charge.cache_write_tokens,
        "input_uncached_tokens": uncached,
        "input_text_tokens": charge.prompt_tokens - charge.cached_tokens - sum(parts),
        "input_audio_tokens": charge.audio_prompt_tokens,
        "input_image_tokens": charge.image_tokens,
        "output_text_tokens": charge.completion_tokens,
        "images": charge.units.get("images", 0),
        "characters": charge.units.get("characters", 0),
        "audio_ms": charge.units.get("audio_ms", 0),
    }


def _sum(one: Billed, other: Billed) -> Billed:
    return Billed(
        one.model,
        one.item,
        one.count + other.count,
        one.pico + other.pico,
        one.unit,
        one.per,
    )
