"""What a record tells by itself: whether its cost is what it says it was computed from (I9).

The computation is done again: from the counts of the record, at the price row that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.core.prices import CostLine, Price, Unpriced, sum_lines
from gateway.core.recorded_cost import (
    BATCHES,
    check_batch,
    cost_at,
    final_cost,
    lines_of,
)
from gateway.core.usage import Certainty, InvalidUsage
from gateway.workers.audit_report import Check, Found, check

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
            lines = lines_of(row)
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
            if row.endpoint == BATCHES:
                check_batch(price, row, lines)
                expected = sum_lines(lines)
            else:
                expected = cost_at(price, row, lines).nano
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
