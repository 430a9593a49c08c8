"""Holds the records against what the provider says it charged.

For rigs and the demo, whose provider says so: all its charges are in memory, and a sum for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from gateway.adapters.price_rows import stored_prices
from gateway.core.prices import CostLine, cost_of, sum_lines
from gateway.core.usage import Certainty
from gateway.workers.audit_report import Charge, Check, Found, check
from gateway.workers.audit_waiting import Event


def compare_with_truth(
    connection: Connection,
    rows: Iterable[Any],
    waiting: Iterable[Event],
    truth: Sequence[Charge],
) -> Check:
    """Each charge of the provider is recorded once: exactly, or above and labelled."""
    cost: dict[str, int] = defaultdict(int)
    price_of: dict[str, int] = {}
    certain: dict[str, str] = {}
    for row in chain(rows, waiting):
        cost[row.request_id] += row.cost_nano
        if row.price_id is not None:
            price_of[row.request_id] = row.price_id
        if row.kind == "correction" or row.request_id not in certain:
            certain[row.request_id] = row.certainty
    prices = {price.id: price for price in stored_prices(connection)}
    lines: dict[str, list[CostLine]] = defaultdict(list)
    found = Found()
    for charge in truth:
        price = prices.get(price_of.get(charge.request_id, -1))
        if price is None:
            found.request(
                charge.request_id,
                "a record with a price",
                None,
                "The provider charged it, and it is not recorded. The provider is right.",
            )
            continue
        tier = charge.service_tier if charge.service_tier in price.tiers else "default"
        # A batch has many charges, which are one bill: rounded up once.
        lines[charge.request_id] += cost_of(price, charge.usage, tier).lines
    for request_id, nano in cost.items():
        true = sum_lines(lines[request_id]) if lines.get(request_id) else 0
        exact = certain[request_id] == Certainty.EXACT
        if (exact and nano != true) or (not exact and nano < true):
            found.request(
                request_id,
                true if exact else f"at least {true}",
                nano,
                f"It is recorded as {certain[request_id]}. The provider's charge is what is"
                " expected, and right.",
            )
    says = "every charge of the provider is recorded: exactly, or as a labelled upper bound"
    return check("I9", "records = provider's charges", says, len(truth), found)
