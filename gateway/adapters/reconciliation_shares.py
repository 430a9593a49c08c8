"""Whose a difference from the bill is: those pay for a dearer price who used what it is for.

What only the bill has is nobody's that we know; what was an upper bound is corrected where it was
recorded; everything else is shared as the recorded costs of its line item are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from gateway.adapters.adjustments import ADJUSTED, Adjustment
from gateway.adapters.rollup_tables import daily_costs
from gateway.core.bill_lines import BillNames
from gateway.core.reconciling import Cause
from gateway.core.shares import shares
from gateway.core.usage import Certainty

ANY_MODEL = "*"
"""Stands for all models, where the bill has a line item under none."""

_NOBODYS = (Cause.UNEXPLAINED,)
_GUESSED = (Certainty.ESTIMATED.value, Certainty.UNKNOWN.value)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one key was charged for a line item of a day."""

    line_item: str
    certainty: str
    cost_nano: int
    who: dict[str, Any]


def compared_model(line: Any) -> str:
    """The model of a stored line, ANY_MODEL where the bill names none for it."""
    return ANY_MODEL if not line.model and line.theirs_nano else str(line.model)


def attributed(
    connection: Connection, lines: Sequence[Any], names: BillNames
) -> Iterator[Adjustment]:
    """The adjustments that post ``lines``, the stored rows of one reconciliation."""
    by_key: dict[tuple[Any, ...], list[Any]] = {}
    for line in lines:
        by_key.setdefault((line.day, compared_model(line), line.line_item, line.cause), []).append(
            line
        )
    loaded: datetime | None = None
    by_model: dict[str, list[_Cost]] = {}
    for (day, model, item, cause), rows in sorted(by_key.items()):
        if loaded != day:
            by_model, loaded = _costs(connection, day, names), day
        costs = by_model.get(model, [])
        amount = sum(int(row.cause_nano) for row in rows)
        explained = " ".join(dict.fromkeys(row.explanation for row in rows))
        whole = Adjustment(day, rows[0].model, item, amount, cause, explained)
        yield from _shared(whole, Cause(cause), costs)


def _shared(whole: Adjustment, cause: Cause, costs: Sequence[_Cost]) -> Iterator[Adjustment]:
    def of(*certainties: str, any_item: bool = False) -> list[_Cost]:
        return [
            cost
            for cost in costs
            if cost.certainty in certainties and (any_item or cost.line_item == whole.line_item)
        ]

    if cause is Cause.ADJUSTED:
        for cost in of(ADJUSTED):
            yield _part(whole, cost, -cost.cost_nano)
        return
    if cause is Cause.ESTIMATE:
        weighed = of(*_GUESSED) or of(*_GUESSED, any_item=True)
    elif cause in _NOBODYS or (cause is Cause.MISSING and whole.cost_nano > 0):
        weighed = []
    else:
        weighed = of(Certainty.EXACT.value)
    weighed = _merged(weighed)
    if not weighed:
        yield whole
        return
    divided = shares(whole.cost_nano, [cost.cost_nano for cost in weighed])
    for cost, nano in zip(weighed, divided, strict=True):
        yield _part(whole, cost, nano)


def _merged(costs: Sequence[_Cost]) -> list[_Cost]:
    """One cost above zero for each that was charged, whatever its certainties."""
    found: dict[tuple[Any, ...], _Cost] = {}
    for cost in costs:
        key = tuple(cost.who.values())
        before = found[key].cost_nano if key in found else 0
        found[key] = _Cost(cost.line_item, cost.certainty, before + cost.cost_nano, cost.who)
    return [cost for cost in found.values() if cost.cost_nano > 0]


def _part(whole: Adjustment, cost: _Cost, nano: int) -> Adjustment:
    return Adjustment(
        whole.day,
        line_item=whole.line_item,
        cost_nano=nano,
        reason=whole.reason,
        note=whole.note,
        **cost.who,
    )


_WHO = ("model", "team_id", "client_id", "key_id", "endpoint", "service_tier")


def _costs(connection: Connection, day: datetime, names: BillNames) -> dict[str, list[_Cost]]:
    """What was charged on one day, by model and for all of them, in one order."""
    c = daily_costs.c
    query = select(daily_costs).where(c.day == day).order_by(*daily_costs.primary_key.columns)
    found: dict[str, list[_Cost]] = {}
    for row in connection.execute(query):
        who = {name: row._mapping[name] for name in _WHO}
        cost = _Cost(row.line_item, row.certainty, int(row.cost_nano), who)
        for model in (names.name(row.model), ANY_MODEL):
            found.setdefault(model, []).append(cost)
    return found
