"""A cost is computed again from its record: right ones pass whatever was used, others do not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.events import USAGE_COLUMNS
from gateway.core.outcomes import Outcome, exact
from gateway.core.prices import CostLine, Meter, Price, Rate, sum_lines
from gateway.core.usage import Certainty, Usage
from gateway.workers.audit_costs import Costs
from gateway.workers.audit_report import Difference

PRICE = Price(
    7,
    "m",
    (),
    "override",
    datetime(2026, 1, 1, tzinfo=UTC),
    {
        tier: {
            Meter.INPUT: Rate(1250 // part, 1_000, ((1_000, 2500 // part),)),
            Meter.CACHED_INPUT: Rate(125 // part, 1_000),
            Meter.OUTPUT: Rate(10_000 // part, 1_000),
            Meter.AUDIO_INPUT: Rate(40_000 // part, 1_000),
            Meter.AUDIO_SECONDS: Rate(6_000, 60),
            Meter.FILE_SEARCH_CALLS: Rate(2_500),
            Meter.WEB_SEARCH_CALLS: Rate(10_000, 1),
        }
        for tier, part in (("default", 1), ("batch", 2))
    },
)

USED = {
    "nothing": Usage(),
    "text": Usage(input_tokens=11, output_tokens=7, reasoning_tokens=3),
    "a long prompt": Usage(input_tokens=1_001, cached_input_tokens=900, output_tokens=1),
    "cached audio": Usage(input_tokens=10, cached_input_tokens=8, audio_input_tokens=6),
    "sound by time": Usage(audio_milliseconds=61_337),
    "fees beside tokens": Usage(
        input_tokens=5, web_search_calls=2, file_search_calls=3, output_tokens=1
    ),
}


def outcome_of(usage: Usage) -> Outcome:
    found = exact(PRICE, usage, "default", 0, status=200)
    assert found is not None
    return found


def row(end: Outcome, **changed: Any) -> SimpleNamespace:
    """A record as the recorder makes it of an outcome."""
    result = json.loads(end.as_json())
    used = asdict(end.usage or Usage())
    values: Mapping[str, Any] = {
        "request_id": "frq_1",
        "kind": "request",
        "outcome": "settled",
        "endpoint": "chat/completions",
        "certainty": end.certainty.value,
        "service_tier": result["tier"],
        "cost_nano": end.cost_nano,
        "hold_nano": 10**12,
        "price_id": PRICE.id,
        "cost_lines": json.dumps(result["lines"]),
        **{name: used[name] for name in USAGE_COLUMNS},
        **changed,
    }
    return SimpleNamespace(**values)


def judged(*rows: SimpleNamespace) -> tuple[Difference, ...]:
    costs = Costs([PRICE])
    for one in rows:
        costs.add(one)
    check = costs.check()
    assert (check.id, check.compared) == ("I9", len(rows))
    return check.differences


@pytest.mark.parametrize("usage", USED.values(), ids=USED)
def test_what_was_computed_is_computed_again(usage: Usage) -> None:
    assert judged(row(outcome_of(usage))) == ()


@pytest.mark.parametrize(
    "usage", [used for used in USED.values() if used != Usage()], ids=list(USED)[1:]
)
def test_a_cost_of_other_usage_is_found(usage: Usage) -> None:
    right = outcome_of(usage)
    dearer = outcome_of(Usage(input_tokens=1_000, output_tokens=1_000))
    lines = json.dumps([[line.meter, line.count, line.nano, line.per] for line in dearer.lines])
    (found,) = judged(row(right, cost_nano=dearer.cost_nano, cost_lines=lines))
    assert (found.request_id, found.expected, found.found) == (
        "frq_1",
        right.cost_nano,
        dearer.cost_nano,
    )
    assert "price row 7" in found.explanation


def test_lines_and_cost_must_be_one() -> None:
    right = outcome_of(USED["text"])
    (found,) = judged(row(right, cost_nano=right.cost_nano + 1))
    assert (found.expected, found.found) == (right.cost_nano, right.cost_nano + 1)
    (found,) = judged(row(right, cost_lines="[]"))
    assert judged(row(right, cost_lines="[]", certainty="estimated")) == ()
    assert len(judged(row(right, cost_lines='[["input", 1]]'))) == 1
    assert len(judged(row(right, cost_lines='[["gold", 1, 1, 1]]'))) == 1


def test_a_tier_or_a_price_that_is_not_there_is_found() -> None:
    right = outcome_of(USED["text"])
    (found,) = judged(row(right, service_tier="priority"))
    assert "priority" in found.explanation
    (found,) = judged(row(right, price_id=8))
    assert found.expected == "price 8"
    (found,) = judged(row(right, price_id=None))
    assert found.expected == 0


def test_counts_that_contradict_themselves_are_found() -> None:
    (found,) = judged(row(outcome_of(USED["text"]), cached_input_tokens=12))
    assert "exceed" in found.explanation


def test_a_correction_is_judged_by_what_it_ends_in() -> None:
    right = outcome_of(USED["text"])
    hold = 50_000
    change = {"kind": "correction", "hold_nano": hold, "cost_nano": right.cost_nano - hold}
    assert judged(row(right, **change)) == ()
    assert len(judged(row(right, **{**change, "cost_nano": -hold}))) == 1
    released = row(Outcome(200, Certainty.EXACT, 0), **{**change, "cost_nano": -hold})
    released.outcome = "released"
    assert judged(released) == ()


def test_what_is_not_billed_costs_nothing() -> None:
    free = row(Outcome(500, Certainty.EXACT, 0), outcome="released", price_id=None)
    assert judged(free) == ()
    free.cost_nano = 1
    assert len(judged(free)) == 1
    free.price_id = PRICE.id
    assert len(judged(free)) == 1


def test_an_estimate_is_within_its_hold() -> None:
    guessed = Outcome(200, Certainty.ESTIMATED, 900)
    assert judged(row(guessed, hold_nano=900)) == ()
    (found,) = judged(row(guessed, hold_nano=899))
    assert (found.expected, found.found) == ("at most 899", 900)


def test_what_expired_is_charged_its_hold_and_marked() -> None:
    expired = row(Outcome(0, Certainty.UNKNOWN, 900), outcome="expired", hold_nano=900)
    assert judged(expired) == ()
    expired.certainty = "exact"
    expired.hold_nano = 901
    label, charge = judged(expired)
    assert (label.expected, label.found) == ("unknown", "exact")
    assert (charge.expected, charge.found) == (901, 900)


def bill(*lines: CostLine, usage: Usage) -> SimpleNamespace:
    cost = Outcome(200, Certainty.EXACT, sum_lines(lines), usage, service_tier="batch", lines=lines)
    return row(cost, endpoint="batches")


def test_a_batch_is_a_bill_of_many_requests() -> None:
    # One of its requests was long, and priced so: no single computation has both rates.
    lines = (
        CostLine(Meter.INPUT, 500, 625, 1_000),
        CostLine(Meter.INPUT, 1_500, 1_250, 1_000),
        CostLine(Meter.OUTPUT, 80, 5_000, 1_000),
    )
    usage = Usage(input_tokens=2_000, output_tokens=80)
    assert judged(bill(*lines, usage=usage)) == ()
    (found,) = judged(bill(*lines[1:], usage=usage))
    assert "its lines bill 1500 tokens in" in found.explanation
    (found,) = judged(bill(CostLine(Meter.INPUT, 2_000, 1, 1_000), lines[2], usage=usage))
    assert "has no input rate of 1." in found.explanation
    (found,) = judged(bill(CostLine(Meter.IMAGES, 1, 5, 1), *lines, usage=usage))
    assert "has no images price" in found.explanation
