from __future__ import annotations

from typing import Any

import pytest

from gateway.core.errors import BadRequest
from gateway.core.money import LIMIT_NANO_MAX
from gateway.core.spend_terms import CENTS_MAX, NANO_PER_CENT, alert_of, cents_of, limit_of

LIMIT: dict[str, Any] = {"currency": "USD", "interval": "month", "threshold_amount": 10_050}
CHANNEL: dict[str, Any] = {"type": "email", "recipients": ["a@acme.example"]}


def test_a_limit_is_in_cents() -> None:
    assert limit_of(LIMIT) == 100_500_000_000
    assert limit_of({**LIMIT, "threshold_amount": 1}) == NANO_PER_CENT
    assert limit_of({**LIMIT, "threshold_amount": CENTS_MAX}) <= LIMIT_NANO_MAX
    assert cents_of(100_500_000_000) == 10_050
    assert cents_of(NANO_PER_CENT * 3 - 1) == 2


def test_an_alert_goes_to_each_address_once() -> None:
    twice = {**CHANNEL, "recipients": ["a@acme.example", "b@acme.example", "a@acme.example"]}
    found = alert_of({**LIMIT, "notification_channel": {**twice, "subject_prefix": None}})
    assert found == (100_500_000_000, ["a@acme.example", "b@acme.example"])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"currency": "EUR"}, "currency"),
        ({"currency": None}, "currency"),
        ({"interval": "day"}, "interval"),
        ({"threshold_amount": 0}, "threshold_amount"),
        ({"threshold_amount": 1.5}, "threshold_amount"),
        ({"threshold_amount": True}, "threshold_amount"),
        ({"threshold_amount": "5"}, "threshold_amount"),
        ({"threshold_amount": CENTS_MAX + 1}, "threshold_amount"),
        ({"amount": 5}, "amount"),
    ],
)
def test_what_is_no_limit_is_named(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        limit_of({**LIMIT, **change})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("channel", "param"),
    [
        (None, "notification_channel"),
        ({**CHANNEL, "type": "webhook"}, "notification_channel.type"),
        ({**CHANNEL, "subject_prefix": "[budget]"}, "notification_channel.subject_prefix"),
        ({**CHANNEL, "url": "x"}, "notification_channel.url"),
        ({"type": "email"}, "notification_channel.recipients"),
        ({**CHANNEL, "recipients": []}, "notification_channel.recipients"),
        ({**CHANNEL, "recipients": [5]}, "notification_channel.recipients"),
        ({**CHANNEL, "recipients": ["a@b.c"] * 21}, "notification_channel.recipients"),
    ],
)
def test_what_is_no_channel_is_named(channel: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        alert_of({**LIMIT, "notification_channel": channel})
    assert caught.value.param == param
