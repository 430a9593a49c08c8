from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.provider_bill import BillUnavailable, ProviderBill
from gateway.core.bill_lines import BillLine, BillNames
from gateway.core.prices import Meter, Price, PriceBook, Rate
from gateway.core.reconciling import HourlyUse
from gateway.settings import load_settings
from gateway.simulator.truth import Charge
from tests.e2e.replayed import write_truth
from tests.simulator.conftest import Simulated, start_simulator

DAY = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = BillNames(
    PriceBook(
        [
            Price(
                1,
                "gpt-4o",
                ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
                "list",
                DAY,
                {"default": {Meter.INPUT: Rate(1)}},
            )
        ]
    ),
    DAY,
)


def at(day: int, hour: int) -> float:
    return (DAY + timedelta(days=day, hours=hour)).timestamp()


def chat(day: int, hour: int, model: str = "gpt-4o-2024-08-06") -> Charge:
    counts = {"prompt_tokens": 3_000, "cached_tokens": 1_024, "completion_tokens": 10}
    return Charge("chat/completions", model, time=at(day, hour), **counts)  # type: ignore[arg-type]


@pytest.fixture
def bill(tmp_path: Path) -> Iterator[ProviderBill]:
    charges = [
        chat(0, 5),
        chat(0, 5),
        chat(200, 7),
        Charge("audio/transcriptions", "whisper-1", time=at(200, 7), units={"audio_ms": 4_000}),
        Charge(
            "images/generations",
            "dall-e-3",
            time=at(3, 0),
            units={"images": 2},
            variant="1024x1024",
        ),
        Charge("embeddings", "text-embedding-3-small", time=at(4, 0), prompt_tokens=9),
        Charge("audio/speech", "tts-1", time=at(4, 1), units={"characters": 12}),
    ]
    write_truth(tmp_path / "truth", charges)
    for simulated in start_simulator(tmp_path / "truth"):
        yield opened(simulated)


def opened(simulated: Simulated) -> ProviderBill:
    settings = load_settings(upstream_url=simulated.url, openai_admin_key="sk-admin-1")
    return ProviderBill(settings)


def test_lines_of_every_page_are_read(bill: ProviderBill) -> None:
    found = bill.lines(DAY, DAY + timedelta(days=201), NAMES)
    assert [(line.day - DAY).days for line in found] == [0, 0, 0, 3, 4, 4, 200, 200, 200, 200]
    assert found[:3] == [
        BillLine(DAY, "gpt-4o", "input", 3_952, 9_880_000),
        BillLine(DAY, "gpt-4o", "cached_input", 2_048, 2_560_000),
        BillLine(DAY, "gpt-4o", "output", 20, 200_000),
    ]
    last = DAY + timedelta(days=200)
    assert BillLine(last, "whisper-1", "audio_seconds", 4_000, 400_000) in found
    assert BillLine(DAY + timedelta(days=3), "dall-e-3", "images", 2, 80_000_000) in found
    assert bill.lines(DAY + timedelta(days=1), DAY + timedelta(days=3), NAMES) == []
    assert bill.provider.startswith("127.0.0.1:")


def test_hours_are_of_the_days_that_are_asked_for(bill: ProviderBill) -> None:
    days = [DAY, DAY + timedelta(days=3), DAY + timedelta(days=4), DAY + timedelta(days=200)]
    found = {(use.hour, use.model): use for use in bill.hours(days, NAMES)}
    assert len(found) == 6
    five = found[DAY + timedelta(hours=5), "gpt-4o"]
    assert five.requests == 2
    assert {item: count for item, count in five.counts.items() if count} == {
        "input": 3_952,
        "cached_input": 2_048,
        "output": 20,
    }
    seven = DAY + timedelta(days=200, hours=7)
    assert found[seven, "whisper-1"] == HourlyUse(seven, "whisper-1", 1, {"audio_seconds": 4_000})
    assert found[days[1], "dall-e-3"].counts == {"images": 2}
    assert found[days[2], "text-embedding-3-small"].counts == {"input": 9}
    assert found[days[2] + timedelta(hours=1), "tts-1"].counts == {"characters": 12}
    assert list(bill.hours([], NAMES)) == []


def test_snapshots_of_one_model_are_one(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", [chat(0, 5)])
    for simulated in start_simulator(tmp_path / "truth"):
        # The simulator knows one snapshot of each model; its log can say another.
        (use,) = opened(simulated).hours([DAY], NAMES)
    assert use.model == "gpt-4o"


def test_a_provider_that_does_not_answer_is_said(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/v1"
    bill = ProviderBill(load_settings(upstream_url=url, openai_admin_key="sk-admin-1"))
    with pytest.raises(BillUnavailable, match="does not give its bill: APIConnectionError"):
        bill.lines(DAY, DAY + timedelta(days=1), NAMES)
