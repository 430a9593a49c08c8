from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.batch_progress import follow_batch
from gateway.core.holds import Hold, RateState
from gateway.core.long_work import Work
from gateway.core.objects import Kind, OwnedObject
from gateway.core.outcomes import Outcome
from gateway.core.prices import CostLine, Meter, Price, Rate
from gateway.core.progress import Gone, Progress
from gateway.core.usage import Usage

BATCH_ID = "batch_1"
HELD = 1_000_000
CHAT = "/v1/chat/completions"


@dataclass
class Provider:
    """Answers as a provider does that has one batch and one output file."""

    batch: dict[str, Any]
    output: list[Any] | None = None
    asked: list[str] = field(default_factory=list)

    def json(self, path: str) -> Mapping[str, Any]:
        assert path == f"/batches/{BATCH_ID}"
        return self.batch

    def lines(self, path: str) -> Iterator[bytes]:
        self.asked.append(path)
        if self.output is None:
            raise Gone(path)
        for row in self.output:
            yield row if isinstance(row, bytes) else json.dumps(row).encode()


RATES = {Meter.INPUT: Rate(1, per=1), Meter.CACHED_INPUT: Rate(1, per=2), Meter.OUTPUT: Rate(4, 1)}


def price(**more: Rate) -> Price:
    rates = {**RATES, **{Meter(name): rate for name, rate in more.items()}}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(5, "m", (), "test", start, {"default": RATES, "batch": rates})


def work(tier: str = "batch", endpoint: str = CHAT) -> Work:
    hold = Hold("frq_1", 1, "m", (), 0, HELD, 1, -1, RateState(), "", b"{}")
    return Work(hold, 5, tier, {"endpoint": endpoint})


ONE = OwnedObject(Kind.BATCH, BATCH_ID, 1, 1, 1, 1)


def batch(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {
        "id": BATCH_ID,
        "object": "batch",
        "status": status,
        "output_file_id": "file-out",
        "request_counts": {"total": 3, "completed": 2, "failed": 1},
        **fields,
    }


def usage(into: int, out: int, cached: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": into,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": into + out,
    }


def row(into: int, out: int, status: int = 200) -> dict[str, Any]:
    report = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    response = {"status_code": status, "body": {"usage": report}}
    return {"custom_id": "1", "response": response, "error": None}


def follow(provider: Provider, row_of: Price | None = None, tier: str = "batch") -> Progress:
    found = row_of or price()
    return follow_batch(provider, ONE, work(tier), lambda number: found if number == 5 else None)


def outcome(provider: Provider, row_of: Price | None = None, tier: str = "batch") -> Outcome:
    found = follow(provider, row_of, tier).outcome
    assert found is not None
    return found


# Going on


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_a_batch_that_goes_on_costs_nothing_yet(status: str) -> None:
    found = follow(Provider(batch(status, usage=usage(5, 5))))
    assert found.outcome is None
    assert found.data is not None
    assert found.data["status"] == status
    assert [one.id for one in found.found] == ["file-out"]


def test_an_answer_about_something_else_says_nothing() -> None:
    assert follow(Provider({})) == Progress()
    assert follow(Provider({**batch(), "id": "batch_2"})) == Progress()


# Usage of the batch itself


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
def test_the_sum_is_priced_at_the_batch_rates(status: str) -> None:
    provider = Provider(batch(status, usage=usage(101, 10, cached=51)))
    found = outcome(provider)
    # 50 at 1, 51 at a half and 10 at 4: rounded up once.
    assert (found.cost_nano, found.certainty, found.service_tier) == (116, "exact", "batch")
    assert found.usage == Usage(input_tokens=101, cached_input_tokens=51, output_tokens=10)
    assert found.lines == (
        CostLine(Meter.INPUT, 50, 1, 1),
        CostLine(Meter.CACHED_INPUT, 51, 1, 2),
        CostLine(Meter.OUTPUT, 10, 4, 1),
    )
    assert provider.asked == []
    # 51 at a half that would have been 1, rounded down.
    assert found.saved_nano == 25


def test_what_caching_saved_is_summed_over_the_lines_and_rounded_once() -> None:
    def cached(into: int, read: int) -> dict[str, Any]:
        report: dict[str, Any] = {"prompt_tokens": into, "completion_tokens": 0}
        report["prompt_tokens_details"] = {"cached_tokens": read}
        return {"response": {"status_code": 200, "body": {"usage": report}}}

    provider = Provider(batch(), output=[cached(10, 5), cached(3, 3), row(4, 1)])
    assert outcome(provider).saved_nano == 4


def test_a_tier_that_is_not_priced_as_a_batch_is_an_upper_bound() -> None:
    found = outcome(Provider(batch(usage=usage(10, 1))), tier="default")
    assert (found.cost_nano, found.certainty, found.reason) == (14, "estimated", "no_batch_price")


def test_a_batch_that_failed_validation_costs_nothing() -> None:
    failed = batch("failed", output_file_id=None, request_counts={"completed": 0})
    for report in (None, usage(0, 0)):
        found = outcome(Provider({**failed, "usage": report}))
        assert (found.cost_nano, found.certainty, found.reason) == (0, "exact", "batch_failed")


def test_a_batch_that_failed_without_counts_costs_nothing() -> None:
    found = outcome(Provider(batch("failed", output_file_id=None, request_counts=None)))
    assert (found.cost_nano, found.certainty, found.reason) == (0, "exact", "batch_failed")


def test_a_batch_cancelled_before_anything_ran_costs_nothing() -> None:
    cancelled = batch("cancelled", output_file_id=None, request_counts={"completed": 0})
    found = outcome(Provider(cancelled))
    assert (found.cost_nano, found.certainty, found.reason) == (0, "exact", None)


# Usage of its lines


LINES = [row(10, 1), b"", row(20, 2), row(99, 99, status=429), {"response": None}]


@pytest.mark.parametrize("report", [None, usage(0, 0), {"input_tokens": "many"}])
def test_without_a_sum_the_lines_that_succeeded_are_summed(report: Any) -> None:
    provider = Provider(batch(usage=report), LINES)
    found = outcome(provider)
    assert (found.cost_nano, found.certainty) == (30 + 4 * 3, "exact")
    assert found.usage == Usage(input_tokens=30, output_tokens=3)
    assert found.lines == (CostLine(Meter.INPUT, 30, 1, 1), CostLine(Meter.OUTPUT, 3, 4, 1))
    assert provider.asked == ["/files/file-out/content"]


def test_lines_are_read_as_their_endpoint_answers() -> None:
    response = {"status_code": 200, "body": {"usage": usage(10, 1)}}
    summed = Provider(batch(), [{"response": response}] * 2)
    found = follow_batch(summed, ONE, work(endpoint="/v1/responses"), lambda _: price()).outcome
    assert found is not None
    assert (found.cost_nano, found.certainty) == (28, "exact")
    silent = Provider(batch(), [{"response": {"status_code": 200, "body": {}}}])
    found = follow_batch(silent, ONE, work(endpoint="/v1/moderations"), lambda _: price()).outcome
    assert found is not None
    assert (found.cost_nano, found.certainty) == (0, "exact")


def test_a_price_that_depends_on_each_prompt_is_summed_line_by_line() -> None:
    stepped = price(input=Rate(1, 1, ((15, 3),)))
    summed = Provider(batch(usage=usage(30, 3)), LINES)
    # 10 at 1, and 20 at the price of a prompt above 15 tokens.
    assert outcome(summed, stepped).cost_nano == 10 + 20 * 3 + 12
    # A sum below the step has no line above it.
    low = Provider(batch(usage=usage(15, 3)))
    assert outcome(low, stepped).cost_nano == 15 + 12


@pytest.mark.parametrize("meter", ["cache_write", "audio_input", "image_input", "audio_output"])
def test_what_the_sum_does_not_tell_apart_is_read_from_the_lines(meter: str) -> None:
    apart = price(**{meter: Rate(9, 1)})
    assert outcome(Provider(batch(usage=usage(30, 3)), LINES), apart).cost_nano == 42
    same = price(**{meter: RATES[Meter.OUTPUT if "output" in meter else Meter.INPUT]})
    assert outcome(Provider(batch(usage=usage(30, 3))), same).cost_nano == 42


# What nobody can say


@pytest.mark.parametrize(
    "provider",
    [
        Provider(batch()),
        Provider(batch(output_file_id=None)),
        # Without counts, no output file does not say that nothing ran.
        Provider(batch("cancelled", output_file_id=None, request_counts=None)),
        Provider(batch("expired", output_file_id=None, request_counts={}, usage=usage(0, 0))),
        Provider(batch(), [b"{"]),
        Provider(batch(), [[]]),
        Provider(batch(), [{"response": {"status_code": 200, "body": {}}}]),
        Provider(batch(), [{"response": {"status_code": 200, "body": {"usage": {}}}}]),
        Provider(batch(), [{"response": {"status_code": 200, "body": None}}]),
        Provider(batch(), [row(-1, 0)]),
    ],
)
def test_where_nobody_can_say_the_hold_is_charged_and_marked(provider: Provider) -> None:
    found = outcome(provider)
    assert (found.cost_nano, found.certainty) == (HELD, "estimated")
    assert found.reason == "usage_not_reported"


def test_a_price_that_is_gone_charges_the_hold() -> None:
    provider = Provider(batch(usage=usage(1, 1)))
    found = follow_batch(provider, ONE, work(), lambda _: None).outcome
    assert found is not None
    assert (found.cost_nano, found.reason) == (HELD, "not_priced")
    no_output = Price(5, "m", (), "t", datetime(2026, 1, 1, tzinfo=UTC), {"batch": {}})
    assert outcome(provider, no_output).reason == "not_priced"
