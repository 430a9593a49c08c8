from __future__ import annotations

import json

import pytest

from gateway.core.endings import Ending, hold_fields, hold_from
from gateway.core.holds import Hold, RateState

HOLD = Hold(
    "frq_1",
    2,
    "m\u00fc",
    ((1, 0), (2, 86_400_000)),
    16,
    2**53 - 1,
    1_790_000_000_000,
    -1,
    RateState(),
    "1:0:5:10:strict,2:86400000:5:10:soft",
    b'{"client_id":2,"model":"m\\u00fc"}',
    1_790_000_000_001,
)


@pytest.mark.parametrize(
    "ending",
    [
        Ending(HOLD, b'{"status":200}', cost_nano=2**53 - 1, tokens=9, output_tokens=4),
        Ending(HOLD, b'{"status":502}', released=True),
    ],
)
def test_an_ending_is_read_as_it_was_written(ending: Ending) -> None:
    text = ending.as_json()
    assert b"\n" not in text
    assert Ending.from_json(text) == ending


def test_a_hold_without_an_epoch_is_of_none() -> None:
    fields = hold_fields(HOLD)
    del fields["epoch"]
    assert hold_from(fields).epoch == 0


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b'"x"', b'{"request_id":1}', b"\xff"])
def test_what_is_no_ending_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Ending.from_json(text)


def test_a_cost_that_is_no_number_is_refused() -> None:
    fields = json.loads(Ending(HOLD, b"{}").as_json())
    with pytest.raises(ValueError, match="invalid literal"):
        Ending.from_json(json.dumps({**fields, "cost": "x"}).encode())
