"""The cost of a recorded request, computed again from what its record says was used.

At the price row that the record names this must give what was recorded, which the audit checks; at
another it is what the request would cost, which repricing posts. A record is anything with the
columns of ``usage_records``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gateway.core.events import USAGE_COLUMNS
from gateway.core.prices import Cost, CostLine, Meter, Price, Rate, Unpriced, cost_of, sum_lines
from gateway.core.usage import InvalidUsage, Usage

BATCHES = "batches"
"""The endpoint whose records are the bill of many requests: each was priced by itself."""

TRAINING = "fine_tuning/jobs"
"""The endpoint whose models are priced under another name."""

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


def lines_of(row: Any) -> list[CostLine]:
    """The lines that a record's cost was summed from. Raises ValueError and TypeError."""
    return [CostLine(Meter(name), *rest) for name, *rest in json.loads(row.cost_lines)]


def final_cost(row: Any) -> int:
    """What a request has cost after this record, in nano-dollars: a correction says by how much
    the hold that was charged is wrong."""
    return int(row.cost_nano + (row.hold_nano if row.kind == "correction" else 0))


def priced_name(row: Any) -> str:
    """The name that a record's model is priced under."""
    return f"fine-tuning/{row.model}" if row.endpoint == TRAINING else str(row.model)


def cost_at(price: Price, row: Any, lines: Sequence[CostLine]) -> Cost:
    """What was used, at ``price``; not for batches. Raises Unpriced and InvalidUsage."""
    counts = {name: getattr(row, name) for name in USAGE_COLUMNS}
    for line in lines:
        if line.meter in _BESIDES:
            counts[_BESIDES[line.meter]] = line.count
    usage = Usage(**counts)
    if usage == Usage() and not lines:
        return Cost(0, ())
    return cost_of(price, usage, row.service_tier)


def check_batch(price: Price, row: Any, lines: Sequence[CostLine]) -> None:
    """Raise Unpriced where lines are not at the price's rates, and InvalidUsage where they leave
    out what was used.

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
        _step_of(price, row.service_tier, line)


def lines_at(old: Price, new: Price, tier: str, lines: Sequence[CostLine]) -> Cost:
    """Lines that were priced by ``old``, at ``new``: each at the same step of its rate.

    For what is known by its lines alone: batches, and estimates. Raises Unpriced.
    """
    found = []
    for line in lines:
        step = _step_of(old, tier, line)
        rate = new.rate(tier, line.meter)
        found.append(CostLine(line.meter, line.count, _at(rate, step), rate.counted(line.meter)))
    return Cost(sum_lines(found), tuple(found))


def _step_of(price: Price, tier: str, line: CostLine) -> int:
    """Which step of the price's rate a line is at; 0 is below all of them. Raises Unpriced."""
    rate = price.rate(tier, line.meter)
    amounts = [rate.nano, *(nano for _, nano in rate.steps)]
    if line.nano not in amounts:
        raise Unpriced(f"price row {price.id} has no {line.meter.value} rate of {line.nano}")
    return amounts.index(line.nano)


def _at(rate: Rate, step: int) -> int:
    return [rate.nano, *(nano for _, nano in rate.steps)][: step + 1][-1]
