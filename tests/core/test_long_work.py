from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.holds import Hold, RateState
from gateway.core.long_work import Work, work_from

HOLD = Hold(
    request_id="frq_1",
    client_id=3,
    model="m",
    budget_windows=((1, 0), (7, 1_780_000_000_000)),
    granted_output_tokens=5,
    amount_nano=2**53,
    reserved_at_ms=1_780_000_000_123,
    left_nano=77,
    rates=RateState(1, 2, 3, 4),
    placed_on="1:0:9:10:strict,7:1780000000000:9:10:soft",
    context=b'{"client_id":3,"model":"m","name":"\xc3\xa9"}',
)


def test_work_survives_being_written_down() -> None:
    work = Work(HOLD, 12, "batch", {"lines": 3, "nested": {"a": [1]}})
    read = work_from(json.loads(json.dumps(work.as_fields())))
    # What is left of budgets and limits is of the moment, and not kept.
    assert replace(read.hold, context=b"") == replace(
        HOLD, left_nano=-1, rates=RateState(), context=b""
    )
    assert json.loads(read.hold.context) == json.loads(HOLD.context)
    assert (read.price_id, read.tier, read.details) == (12, "batch", work.details)


def test_work_without_a_price_or_a_budget_is_work() -> None:
    work = Work(replace(HOLD, budget_windows=(), placed_on=""), None, "default")
    read = work_from(work.as_fields())
    assert read.hold.budget_windows == ()
    assert (read.price_id, read.details) == (None, {})


OPTIONAL = {"epoch", "drawn_from"}


@pytest.mark.parametrize("missing", sorted(set(Work(HOLD, 1, "t").as_fields()) - OPTIONAL))
def test_what_is_no_work_is_told(missing: str) -> None:
    fields = Work(HOLD, 1, "t").as_fields()
    del fields[missing]
    with pytest.raises(KeyError):
        work_from(fields)
