from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.holds import Hold, RateState
from gateway.core.long_work import Work
from gateway.core.objects import Found, Kind, OwnedObject
from gateway.core.prices import Meter, Price, Rate
from gateway.core.progress import Progress
from gateway.core.response_progress import follow_response
from gateway.core.usage import Certainty

HOLD = Hold("frq_1", 1, "m", ((1, 0),), 100, 5_000_000, 0, -1, RateState())
WORK = Work(HOLD, 7, "flex")
ONE = OwnedObject(Kind.RESPONSE, "resp_1", 1, 1, 1, 100)
TIERS = {
    "default": {
        Meter.INPUT: Rate(2_000_000_000),
        Meter.OUTPUT: Rate(8_000_000_000),
        Meter.WEB_SEARCH_CALLS: Rate(10_000_000_000, 1_000),
    },
    "flex": {Meter.INPUT: Rate(1_000_000_000), Meter.OUTPUT: Rate(4_000_000_000)},
}
PRICE = Price(7, "m", (), "test", datetime(2026, 1, 1, tzinfo=UTC), TIERS)
USAGE = {"input_tokens": 100, "output_tokens": 30, "total_tokens": 130}


class Provider:
    """Answers with one response."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"id": "resp_1", "created_at": 100.0, **answer}
        self.paths: list[str] = []

    def json(self, path: str) -> Mapping[str, Any]:
        self.paths.append(path)
        return self.answer

    def lines(self, path: str) -> Iterator[bytes]:
        raise NotImplementedError(path)


def progress(work: Work = WORK, **answer: Any) -> Progress:
    provider = Provider(**answer)
    found = follow_response(provider, ONE, work, {7: PRICE, None: None}.get)
    assert provider.paths == ["/responses/resp_1"]
    return found


@pytest.mark.parametrize("status", ["queued", "in_progress", None, "of_tomorrow", ["completed"]])
def test_what_has_not_ended_costs_nothing_yet(status: object) -> None:
    assert progress(status=status, usage=USAGE, output=[]) == Progress()


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled"])
def test_what_has_ended_costs_what_the_provider_says(status: str) -> None:
    message = {"type": "message", "id": "msg_1"}
    found = progress(status=status, usage=USAGE, output=[message], completed_at=103.5)
    assert found.found == [Found(Kind.RESPONSE_ITEM, "msg_1")]
    assert found.data is None
    outcome = found.outcome
    assert outcome is not None
    # 100 tokens in and 30 out, at the tier that was held for.
    assert (outcome.cost_nano, outcome.certainty) == (100_000 + 120_000, Certainty.EXACT)
    assert (outcome.service_tier, outcome.status, outcome.duration_ms) == ("flex", 200, 3_500)


def test_the_tier_that_served_it_decides() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}}
    found = progress(status="completed", usage=USAGE, service_tier="default", output=[search])
    assert found.outcome is not None
    assert found.outcome.cost_nano == 200_000 + 240_000 + 10_000_000
    assert found.outcome.service_tier == "default"


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete", "completed"])
def test_an_end_without_usage_costs_the_hold(status: str) -> None:
    outcome = progress(status=status, usage=None, output=[]).outcome
    assert outcome is not None
    assert (outcome.cost_nano, outcome.certainty) == (5_000_000, Certainty.UNKNOWN)
    assert outcome.reason == f"usage_not_reported_{status}"
    assert outcome.duration_ms is None


@pytest.mark.parametrize(
    ("work", "tier"), [(WORK, "priority"), (Work(HOLD, None, "default"), "default")]
)
def test_usage_without_a_price_costs_the_hold(work: Work, tier: str) -> None:
    outcome = progress(work, status="completed", usage=USAGE, service_tier=tier).outcome
    assert outcome is not None
    assert (outcome.cost_nano, outcome.certainty) == (5_000_000, Certainty.ESTIMATED)
    assert outcome.usage is not None
    assert outcome.reason == "not_priced"
