"""The verdict finds each thing that it is there to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.simulator.truth import Charge
from tests.e2e.money import cost_nano
from tests.faults.verdict import Found, Limit, Row, Verdict, judge

CHARGE = Charge("chat/completions", "gpt-4o-mini-2024-07-18", completion_tokens=100)
COST = cost_nano(CHARGE)
WINDOW = (1, 0)
ROW = Row("a", "request", COST, 2 * COST, "exact", "chat/completions", (WINDOW,))
GOOD = Found(
    charges={"a": [CHARGE]},
    rows=[ROW],
    limits={1: Limit("small", 2 * COST)},
    spent={WINDOW: COST},
    held={WINDOW: 0},
)

Change = Callable[[], Found]


def rows(*found: Row) -> Found:
    """As good, with these records and counters that agree with them."""
    return replace(GOOD, rows=found, spent={WINDOW: sum(row.cost_nano for row in found)})


def test_what_agrees_is_right() -> None:
    verdict = judge(GOOD)
    assert verdict.wrong == {}
    assert verdict.ok
    assert (verdict.requests, verdict.charged, verdict.exact, verdict.labelled) == (1, 1, 1, 0)


def test_an_upper_bound_with_a_label_is_right() -> None:
    verdict = judge(rows(replace(ROW, cost_nano=COST + 1, certainty="unknown")))
    assert verdict.ok
    assert (verdict.exact, verdict.labelled) == (0, 1)


def test_an_expired_hold_that_is_corrected_is_right() -> None:
    expired = replace(ROW, cost_nano=2 * COST, certainty="unknown")
    correction = replace(ROW, kind="correction", cost_nano=-COST)
    verdict = judge(rows(correction, expired))
    assert verdict.ok
    assert verdict.exact == 1


def test_a_batch_is_charged_many_times() -> None:
    batch = replace(ROW, endpoint="batches", cost_nano=2 * COST)
    assert judge(replace(rows(batch), charges={"a": [CHARGE, CHARGE]})).ok


WRONG: Sequence[tuple[str, Found]] = [
    ("lost", rows()),
    ("lost", replace(GOOD, charges={"a": [CHARGE], "b": [CHARGE]})),
    ("lost", replace(GOOD, spent={WINDOW: COST - 1})),
    ("doubled", rows(ROW, ROW)),
    ("doubled", rows(ROW, *[replace(ROW, kind="correction", cost_nano=0)] * 2)),
    ("doubled", replace(GOOD, charges={"a": [CHARGE, CHARGE]})),
    ("doubled", replace(GOOD, spent={WINDOW: 2 * COST})),
    ("not labelled", rows(replace(ROW, cost_nano=COST - 1))),
    ("not labelled", rows(replace(ROW, cost_nano=COST + 1))),
    ("not labelled", rows(replace(ROW, cost_nano=COST - 1, certainty="unknown"))),
    ("not labelled", rows(replace(ROW, certainty="perhaps"))),
    ("not labelled", replace(GOOD, charges={})),
    ("above its hold", rows(replace(ROW, hold_nano=COST - 1))),
    ("above its hold", rows(replace(ROW, cost_nano=3 * COST, certainty="unknown"))),
    ("over budget", replace(GOOD, limits={1: Limit("tiny", COST - 1)})),
    ("over budget", replace(GOOD, spent={WINDOW: 3 * COST})),
    ("over budget", replace(GOOD, held={WINDOW: 2 * COST})),
    ("over budget", replace(GOOD, over_seen=["budget 1"])),
    ("not settled", replace(GOOD, held={WINDOW: 1})),
    ("not settled", replace(GOOD, open_holds=1)),
    ("not settled", replace(GOOD, waiting=1)),
    ("audit", replace(GOOD, audit=["something differs"])),
]


@pytest.mark.parametrize(("what", "given"), WRONG)
def test_what_is_wrong_is_found(what: str, given: Found) -> None:
    verdict = judge(given)
    assert not verdict.ok
    assert what in verdict.wrong


def test_what_the_provider_charged_alone_can_be_over_budget() -> None:
    """Records and counters that agree on too little do not hide it."""
    given = replace(
        rows(replace(ROW, cost_nano=1)),
        charges={"a": [CHARGE]},
        limits={1: Limit("tiny", COST - 1)},
    )
    assert "over budget" in judge(given).wrong


def test_after_a_power_loss_the_provider_s_charges_decide_whether_a_budget_is_over() -> None:
    """A settled cost was lost with all who knew it: its hold is charged, and says so."""
    row = replace(ROW, cost_nano=2 * COST, certainty="unknown")
    lost = replace(rows(row), limits={1: Limit("tiny", COST)}, over_seen=["budget 1"])
    assert "over budget" in judge(lost).wrong
    verdict = judge(replace(lost, power_lost=True))
    assert verdict.ok
    assert len(verdict.above_by_labels) == 2
    truly = replace(lost, power_lost=True, limits={1: Limit("tiny", COST - 1)})
    assert "over budget" in judge(truly).wrong


def test_what_is_right_is_not_called_wrong() -> None:
    assert Verdict().ok
