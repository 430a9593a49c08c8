from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.events import USAGE_COLUMNS
from gateway.core.prices import CostLine, Meter, Price, Rate, Unpriced
from gateway.core.recorded_cost import (
    check_batch,
    cost_at,
    final_cost,
    lines_at,
    lines_of,
    priced_name,
)
from gateway.core.usage import InvalidUsage

START = datetime(2026, 1, 1, tzinfo=UTC)


def price(number: int, nano: int, *steps: tuple[int, int]) -> Price:
    rates = {
        Meter.INPUT: Rate(nano, 1_000, steps),
        Meter.OUTPUT: Rate(4 * nano, 1_000),
        Meter.FILE_SEARCH_CALLS: Rate(5, 1),
        Meter.AUDIO_SECONDS: Rate(60 * nano, 60),
    }
    return Price(number, "m", (), "list", START, {"default": rates})


def row(lines: list[tuple[Any, ...]] | None = None, **values: Any) -> Any:
    base: dict[str, Any] = {
        **dict.fromkeys(USAGE_COLUMNS, 0),
        "kind": "request",
        "endpoint": "chat/completions",
        "model": "m",
        "service_tier": "default",
        "cost_nano": 0,
        "hold_nano": 0,
        "cost_lines": json.dumps(lines or []),
    }
    return SimpleNamespace(**{**base, **values})


def test_a_request_costs_what_its_counts_cost() -> None:
    found = row([("file_search_calls", 2, 5, 1)], input_tokens=1_000, output_tokens=10)
    cost = cost_at(price(1, 7_000), found, lines_of(found))
    assert cost.nano == 7_000 + 280 + 10
    assert cost_at(price(1, 7_000), row(), []).nano == 0
    with pytest.raises(Unpriced):
        cost_at(price(1, 7), row(images=1), [])


def test_lines_keep_their_step_at_another_price() -> None:
    old, new = price(1, 10, (100, 30)), price(2, 20, (100, 50))
    lines = [CostLine(Meter.INPUT, 1_000, 30, 1_000), CostLine(Meter.OUTPUT, 500, 40, 1_000)]
    assert lines_at(old, new, "default", lines).lines == (
        CostLine(Meter.INPUT, 1_000, 50, 1_000),
        CostLine(Meter.OUTPUT, 500, 80, 1_000),
    )
    assert lines_at(old, price(3, 20), "default", lines[:1]).nano == 20
    sound = [CostLine(Meter.AUDIO_SECONDS, 1_500, 600, 60_000)]
    assert lines_at(old, new, "default", sound).nano == 30
    with pytest.raises(Unpriced, match="has no input rate of 31"):
        lines_at(old, new, "default", [CostLine(Meter.INPUT, 1, 31, 1_000)])


def test_a_batch_is_checked_by_its_lines() -> None:
    old, batch = price(1, 10, (100, 30)), row(endpoint="batches", input_tokens=3)
    lines = [CostLine(Meter.INPUT, 1, 10, 1_000), CostLine(Meter.INPUT, 2, 30, 1_000)]
    check_batch(old, batch, lines)
    with pytest.raises(InvalidUsage, match="bill 1 tokens in"):
        check_batch(old, batch, lines[:1])
    with pytest.raises(Unpriced):
        check_batch(price(1, 11), batch, lines)


def test_a_correction_says_by_how_much_the_hold_is_wrong() -> None:
    assert final_cost(row(kind="correction", cost_nano=-380, hold_nano=500)) == 120
    assert final_cost(row(cost_nano=120, hold_nano=500)) == 120


def test_training_is_priced_under_a_name_of_its_own() -> None:
    assert priced_name(row(endpoint="fine_tuning/jobs", model="gpt-4o")) == "fine-tuning/gpt-4o"
    assert priced_name(row()) == "m"
