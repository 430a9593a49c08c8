"""How a batch is going, and what it cost once it has ended.

A batch that completes, expires or is cancelled is billed for the lines that succeeded. The
provider sums their usage in the batch itself (``Batch.usage``, since September 2025). Where
that is missing, or does not tell what the price depends on, the output file says it line by
line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields as fields_of
from fractions import Fraction
from typing import Any

import orjson

from gateway.core.batch_lines import BATCH_TIER, LINE_KINDS
from gateway.core.cache_savings import cache_savings, whole_nano
from gateway.core.long_work import Work
from gateway.core.money import LIMIT_NANO_MAX
from gateway.core.named_objects import files_of_batch
from gateway.core.objects import OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import CostLine, Meter, Price, Unpriced, cost_of, sum_lines
from gateway.core.progress import Asking, Gone, PriceOf, Progress, held
from gateway.core.usage import Certainty, InvalidUsage, Usage, usage_from_batch

ENDED = frozenset(("completed", "failed", "expired", "cancelled"))

_TOLD_APART = {
    Meter.CACHE_WRITE: Meter.INPUT,
    Meter.AUDIO_INPUT: Meter.INPUT,
    Meter.IMAGE_INPUT: Meter.INPUT,
    Meter.AUDIO_OUTPUT: Meter.OUTPUT,
    Meter.IMAGE_OUTPUT: Meter.OUTPUT,
}
"""What the usage of a batch does not tell apart, and the meter that it is then counted at."""


def follow_batch(asking: Asking, one: OwnedObject, work: Work, price_of: PriceOf) -> Progress:
    """The progress of one batch; its outcome once it has ended."""
    batch = asking.json(f"/batches/{one.id}")
    if batch.get("id") != one.id:
        return Progress()
    found = files_of_batch(batch)
    if batch.get("status") not in ENDED:
        return Progress(batch, found)
    return Progress(batch, found, _outcome(asking, batch, work, price_of(work.price_id)))


def _outcome(asking: Asking, batch: Mapping[str, Any], work: Work, price: Price | None) -> Outcome:
    if price is None:
        return held(work, "not_priced")
    bill = _Bill(price, work.tier)
    output = batch.get("output_file_id")
    succeeded = _succeeded(batch)
    try:
        usage = _reported(batch)
        if usage is not None and _sums_up(price, work.tier, usage, succeeded):
            bill.add(usage)
        elif isinstance(output, str):
            _add_lines(bill, asking, output, str(work.details.get("endpoint")))
        elif succeeded != 0 or (usage is not None and usage != Usage()):
            return held(work, "usage_not_reported")
    except (InvalidUsage, Gone):
        return held(work, "usage_not_reported")
    except Unpriced:
        return held(work, "not_priced")
    return bill.outcome(work, "batch_failed" if batch.get("status") == "failed" else None)


def _succeeded(batch: Mapping[str, Any]) -> int | None:
    """How many lines succeeded; None where nobody says: missing is not zero.

    None did in a batch that failed: its lines were refused before any of them ran.
    """
    counts = batch.get("request_counts")
    found = counts.get("completed") if isinstance(counts, dict) else None
    if isinstance(found, int):
        return found
    return 0 if batch.get("status") == "failed" else None


def _reported(batch: Mapping[str, Any]) -> Usage | None:
    try:
        return usage_from_batch(batch.get("usage"))
    except InvalidUsage:
        return None


def _sums_up(price: Price, tier: str, usage: Usage, succeeded: int | None) -> bool:
    """Whether the sum over all lines costs what the lines cost one by one."""
    if usage == Usage() and succeeded != 0:
        # Not a report of nothing used, but none.
        return False
    rates = price.rates(tier)
    if any(rate.highest_up_to(usage.input_tokens) != rate.nano for rate in rates.values()):
        # A long prompt has another price, and whether one was long only its own line tells.
        return False
    return all(
        meter not in rates or rates[meter] == rates.get(plain)
        for meter, plain in _TOLD_APART.items()
    )


def _add_lines(bill: _Bill, asking: Asking, file_id: str, endpoint: str) -> None:
    """Add every line of an output file. Raises InvalidUsage where one does not say its usage."""
    kind = LINE_KINDS.get(endpoint)
    if kind is None:
        raise InvalidUsage(f"lines of {endpoint} cannot be read")
    for raw in asking.lines(f"/files/{file_id}/content"):
        if not raw.strip():
            continue
        try:
            response = orjson.loads(raw)["response"]
            if response is None or response["status_code"] >= 400:
                continue
            usage = kind.usage(response["body"].get("usage"))
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
            raise InvalidUsage("a line of the output file cannot be read") from error
        if usage is None:
            raise InvalidUsage("a line of the output file reports no usage")
        bill.add(usage)


class _Bill:
    """The sum of many usages, each priced by itself and rounded up once together."""

    def __init__(self, price: Price, tier: str) -> None:
        self._price = price
        self._tier = tier
        self._counts: Counter[tuple[Meter, int, int]] = Counter()
        self._usage: Counter[str] = Counter()
        self._saved = Fraction(0)

    def add(self, usage: Usage) -> None:
        """Add one usage. Raises Unpriced."""
        lines = cost_of(self._price, usage, self._tier).lines
        for line in lines:
            self._counts[(line.meter, line.nano, line.per)] += line.count
        self._saved += cache_savings(self._price, usage, self._tier, lines)
        self._usage.update({f.name: getattr(usage, f.name) for f in fields_of(Usage)})

    def outcome(self, work: Work, reason: str | None) -> Outcome:
        """What all of it costs."""
        lines = tuple(
            CostLine(meter, count, nano, per) for (meter, nano, per), count in self._counts.items()
        )
        cost = sum_lines(lines) if lines else 0
        if cost > LIMIT_NANO_MAX:
            return held(work, "not_priced")
        exact = self._tier == BATCH_TIER or cost == 0
        return Outcome(
            status=200,
            certainty=Certainty.EXACT if exact else Certainty.ESTIMATED,
            cost_nano=cost,
            usage=Usage(**self._usage),
            service_tier=self._tier,
            lines=lines,
            reason=reason if exact else "no_batch_price",
            saved_nano=whole_nano(self._saved),
        )
