"""What a record tells by itself: whether its cost is what it says it was computed from (I9).

The computation is done again: from the counts of the record, at the price row that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gateway.core.events import USAGE_COLUMNS
from gateway.core.prices import CostLine, Meter, Price, Unpriced, cost_of, sum_lines
from gateway.core.usage import Certainty, InvalidUsage, Usage
from gateway.workers.audit_records import final_cost
from gateway.workers.audit_report import Check, Found, check

_BATCHES = "batches"
"""The endpoint whose records are the bill of many requests: each was priced by itself."""

_BESIDES: dict[Meter, str] = {
    Meter.FILE_SEARCH_CALLS: "file_search_calls",
    Meter.CODE_INTERPRETER_SESSIONS: "code_interpreter_sessions",
}
"""Counts that a record has in its lines alone."""

_INTO = frozenset(
    (
        Meter.INPUT,
        Meter.CACHED_INPUT,
        Meter.CACHE_WRITE,
        Meter.AUDIO_INPUT,
        Meter.AUDIO_CACHED_INPUT,
        Meter.IMAGE_INPUT,
        Meter.IMAGE_CACHED_INPUT,
    )
)
_OUT_OF = frozenset((Meter.OUTPUT, Meter.AUDIO_OUTPUT, Meter.IMAGE_OUTPUT))

_ASK = "Compare the record with the provider's bill."


class Costs:
    """Judges each record by itself. ``add`` each of them, then ask."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = {price.id: price for price in prices}
        self._count = 0
        self._found = Found()

    def add(self, row: Any) -> None:
        """Take one record."""
        self._count += 1
        if row.outcome == "expired":
            self._expired(row)
            return
        cost = final_cost(row)
        if row.certainty != Certainty.EXACT and cost > row.hold_nano:
            self._say(
                row,
                f"at most {row.hold_nano}",
                cost,
                f"A cost that was estimated is bounded by its hold. {_ASK}",
            )
        try:
            lines = [CostLine(Meter(name), *rest) for name, *rest in orjson.loads(row.cost_lines)]
            computed = sum_lines(lines)
        except (ValueError, TypeError):
            self._say(row, "lines of a bill", "others", f"Its lines cannot be read. {_ASK}")
            return
        must_be_computed = bool(lines) or row.certainty == Certainty.EXACT
        if must_be_computed and computed != cost:
            self._say(
                row,
                computed,
                cost,
                "Its lines come to what is expected. One of the two"
                f" was changed after it was recorded. {_ASK}",
            )
        elif row.certainty == Certainty.EXACT:
            self._exact(row, lines, cost)

    def _expired(self, row: Any) -> None:
        if row.certainty != Certainty.UNKNOWN:
            self._say(
                row,
                Certainty.UNKNOWN.value,
                row.certainty,
                "It expired, so that nobody"
                " knows whether the provider billed it: the label is wrong, and its charge"
                " is an upper bound.",
            )
        if row.cost_nano != row.hold_nano:
            self._say(
                row,
                row.hold_nano,
                row.cost_nano,
                "It expired, and what expires is charged"
                " what was held for it: the record was changed afterwards.",
            )

    def _exact(self, row: Any, lines: Sequence[CostLine], cost: int) -> None:
        """An exact cost can be computed again from what the record says was used."""
        if row.price_id is None:
            if cost:
                self._say(row, 0, cost, f"It is called exact, and names no price. {_ASK}")
            return
        if row.outcome == "released":
            if cost:
                self._say(
                    row,
                    0,
                    cost,
                    "It was released, so it was not billed. The record was changed afterwards.",
                )
            return
        price = self._prices.get(row.price_id)
        if price is None:
            self._say(
                row,
                f"price {row.price_id}",
                None,
                "The price row that it names is gone,"
                " although none is ever deleted: restore it from a backup.",
            )
            return
        try:
            expected = (
                _of_batch(price, row, lines)
                if row.endpoint == _BATCHES
                else _of_one(price, row, lines)
            )
        except (Unpriced, InvalidUsage) as error:
            self._say(row, "a cost that can be computed", cost, f"{error}. {_ASK}")
            return
        if expected != cost:
            self._say(
                row,
                expected,
                cost,
                f"What it says was used costs what is expected, at the"
                f" price row {price.id} that it names. {_ASK}",
            )

    def _say(
        self, row: Any, expected: int | str, found: int | str | None, explanation: str
    ) -> None:
        self._found.request(row.request_id, expected, found, explanation)

    def check(self) -> Check:
        """I9, as far as records tell it by themselves."""
        says = (
            "an exact cost is that of what was used at its price; an estimated one is within its"
            " hold; an expired request is charged its hold, and marked unknown"
        )
        return check("I9", "labels are true", says, self._count, self._found)


def _usage(row: Any, lines: Sequence[CostLine]) -> Usage:
    counts = {name: getattr(row, name) for name in USAGE_COLUMNS}
    for line in lines:
        if line.meter in _BESIDES:
            counts[_BESIDES[line.meter]] = line.count
    return Usage(**counts)


def _of_one(price: Price, row: Any, lines: Sequence[CostLine]) -> int:
    usage = _usage(row, lines)
    if usage == Usage() and not lines:
        return 0
    return cost_of(price, usage, row.service_tier).nano


def _of_batch(price: Price, row: Any, lines: Sequence[CostLine]) -> int:
    """The lines at the price's rates; raises InvalidUsage where they leave out what was used.

    Which step of a rate applied to which request of a batch is not recorded.
    """
    into = sum(line.count for line in lines if line.meter in _INTO)
    out_of = sum(line.count for line in lines if line.meter in _OUT_OF)
    if lines and (into, out_of) != (row.input_tokens, row.output_tokens):
        raise InvalidUsage(
            f"its lines bill {into} tokens in and {out_of} out of the {row.input_tokens} and"
            f" {row.output_tokens} that were used"
        )
    for line in lines:
        rate = price.rate(row.service_tier, line.meter)
        if line.nano not in (rate.nano, *(nano for _, nano in rate.steps)):
            raise Unpriced(f"price row {price.id} has no {line.meter.value} rate of {line.nano}")
    return sum_lines(lines)
