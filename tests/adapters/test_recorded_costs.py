from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from gateway.adapters.adjustments import Adjustment, Source, post
from gateway.adapters.recorded_costs import recorded_costs, recorded_hours, requests_by_model
from gateway.adapters.usage_rows import record
from gateway.core.bill_lines import BillNames
from gateway.core.prices import PriceBook
from gateway.core.reconciling import HourlyUse, Recorded
from gateway.core.reports import day_of
from tests.adapters.recorded import AT, HOUR, event

NOW = datetime.fromtimestamp(AT / 1000, tz=UTC)
DAY = day_of(NOW)
NEXT = DAY + timedelta(days=1)
NAMES = BillNames(PriceBook([]), DAY)
LINES = [["input", 5, 10, 1], ["output", 3, 10, 1]]


def test_certainties_are_kept_apart(engine: Engine) -> None:
    record(
        engine,
        [
            event("frq_1", 80, lines=LINES),
            event("frq_2", 80, lines=LINES, client_id=2),
            event("frq_3", 90, lines=LINES, certainty="estimated"),
            event("frq_4", 500, outcome="expired", certainty="unknown"),
            event("frq_5", 80, lines=LINES, at=AT + 24 * HOUR),
        ],
    )
    with engine.begin() as connection:
        items = [Adjustment(DAY, "m", "input", 7, "price", "Dearer.")]
        post(connection, Source.RECONCILIATION, 1, items, "user:ann")
        found = recorded_costs(connection, DAY, NEXT, NAMES)
        requests = requests_by_model(connection, DAY, NEXT, NAMES)
    assert found == [
        Recorded(DAY, "m", "estimate", estimated_nano=10),
        Recorded(DAY, "m", "hold", estimated_nano=500),
        Recorded(DAY, "m", "input", 10, 100, 50, 7),
        Recorded(DAY, "m", "output", 6, 60, 30),
    ]
    assert requests == {(DAY, "m"): 4, (DAY, ""): 4}


def test_hours_are_of_what_the_provider_reports(engine: Engine) -> None:
    tokens = {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 3}
    spoken = {"characters": 12}
    record(
        engine,
        [
            event("frq_1", 1, usage=tokens),
            event("frq_2", 1, usage=tokens, endpoint="responses"),
            event("frq_3", 1, usage=tokens, certainty="estimated"),
            event("frq_4", 1, usage=spoken, endpoint="audio/speech", model="tts-1"),
            event("frq_5", 1, usage=tokens, endpoint="files"),
            event("frq_6", 1, usage=tokens, at=AT + 24 * HOUR),
        ],
    )
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    with engine.connect() as connection:
        found = list(recorded_hours(connection, [DAY], NAMES))
        assert list(recorded_hours(connection, [], NAMES)) == []
    speech = [use for use in found if use.model == "tts-1"]
    assert speech == [HourlyUse(hour, "tts-1", 1, {"characters": 12})]
    chats = [use for use in found if use.model == "m"]
    assert len(chats) == 2
    assert all(use.counts["input"] == 5 for use in chats)
    assert all(use.counts["cached_input"] == 4 for use in chats)
