from __future__ import annotations

import json
from datetime import UTC, datetime

from gateway.core.price_facts import price_facts
from gateway.core.prices import Meter, Price, Rate


def test_all_of_a_row_is_told_in_decimal_dollars() -> None:
    rates = {
        Meter.OUTPUT: Rate(10_000_000_000),
        Meter.INPUT: Rate(1_250_000_000, steps=((272_000, 2_500_000_000),)),
        Meter.AUDIO_SECONDS: Rate(6_000_000, 60),
    }
    at = datetime(2026, 1, 1, tzinfo=UTC)
    price = Price(7, "m", (), "override", at, {"default": rates}, 400_000, None, is_override=True)
    facts = price_facts(price)
    assert facts == {
        "id": 7,
        "model": "m",
        "names": ["m"],
        "source": "override",
        "is_override": True,
        "valid_from": "2026-01-01T00:00:00Z",
        "context_window": 400_000,
        "output_tokens_max": None,
        "tiers": {
            "default": {
                "audio_seconds": {"usd": "0.006", "per": 60, "steps": []},
                "input": {
                    "usd": "1.25",
                    "per": 1_000_000,
                    "steps": [{"above": 272_000, "usd": "2.50"}],
                },
                "output": {"usd": "10.00", "per": 1_000_000, "steps": []},
            }
        },
    }
    assert json.loads(json.dumps(facts)) == facts
