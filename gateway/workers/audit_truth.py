"""Holds the records against what the provider says it charged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.adapters.price_rows import stored_prices
from gateway.core.events import UsageEvent
from gateway.core.prices import CostLine, cost_of, sum_lines
from gateway.core.usage import Certainty
from gateway.workers.audit_report import Charge, Check


def compare_with_truth(
    connection: Connection,
    rows: Iterable[Any],
    waiting: Iterable[UsageEvent],
    truth: Sequence[Charge],
) -> Check:
    """Each charge of the provider is recorded once: exactly, or above and labelled."""
    cost: dict[str, int] = defaultdict(int)
    price_of: dict[str, int] = {}
    certain: dict[str, str] = {}
    recorded = [(r.request_id, r.kind, r.cost_nano, r.price_id, r.certainty) for r in rows] + [
        (
            e.row["request_id"],
            e.row["kind"],
            e.row["cost_nano"],
            e.row["price_id"],
            e.row["certainty"],
        )
        for e in waiting
    ]
    for request_id, kind, nano, price_id, certainty in recorded:
        cost[request_id] += nano
        if price_id is not None:
            price_of[request_id] = price_id
        if kind == "correction" or request_id not in certain:
            certain[request_id] = certainty
    prices = {price.id: price for price in stored_prices(connection)}
    lines: dict[str, list[CostLine]] = defaultdict(list)
    differences = []
    for charge in truth:
        price = prices.get(price_of.get(charge.request_id, -1))
        if price is None:
            differences.append(
                f"request {charge.request_id}: charged by the provider, not recorded"
            )
            continue
        tier = charge.service_tier if charge.service_tier in price.tiers else "default"
        # A batch has many charges, which are one bill: rounded up once.
        lines[charge.request_id] += cost_of(price, charge.usage, tier).lines
    for request_id, nano in cost.items():
        true = sum_lines(lines[request_id]) if lines.get(request_id) else 0
        exact = certain[request_id] == Certainty.EXACT
        if (exact and nano != true) or (not exact and nano < true):
            differences.append(
                f"request {request_id}: recorded {nano} ({certain[request_id]}), the provider"
                f" charged {true} nano-dollars"
            )
    return Check(
        "I9",
        "records = provider's charges",
        "every charge of the provider is recorded: exactly, or as a labelled upper bound",
        len(truth),
        tuple(differences),
        "Compare the request with the provider's bill.",
    )
