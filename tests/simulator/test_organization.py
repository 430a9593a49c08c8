from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai import BadRequestError, OpenAI, PermissionDeniedError

from gateway.simulator.truth import Charge, read_truth
from tests.e2e.money import cost_nano
from tests.simulator.conftest import KEY, Simulated, question, start_simulator

DAY = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp())
HOUR = 3_600
MODEL = "gpt-4o-mini-2024-07-18"


def charge(at: int, model: str = MODEL, endpoint: str = "chat/completions", **rest: Any) -> Charge:
    counts: dict[str, Any] = {
        "prompt_tokens": 2_000,
        "cached_tokens": 1_024,
        "completion_tokens": 10,
        **rest,
    }
    return Charge(endpoint, model, time=float(at), api_key_id="key_1", **{**counts, **rest})


def admin(simulated: Simulated) -> OpenAI:
    return OpenAI(admin_api_key="sk-admin-1", base_url=simulated.url, max_retries=0, timeout=20)


def write(path: Path, *charges: Charge) -> None:
    path.write_bytes(b"".join(orjson.dumps(item) + b"\n" for item in charges))


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Simulated]:
    """A provider whose log has three days of work, and whose bill has faults."""
    path = tmp_path / "truth"
    searched = Charge("responses", MODEL, time=DAY + 5.0, units={"web_search_calls": 3})
    spoken = Charge("audio/speech", "tts-1", time=DAY + 7.0, units={"characters": 100})
    write(
        path,
        charge(DAY + 10),
        charge(DAY + HOUR, "gpt-4o-2024-08-06"),
        searched,
        spoken,
        charge(DAY + 86_400 + 5 * HOUR),
        charge(DAY + 86_400 + 6 * HOUR + 59),
        charge(DAY + 2 * 86_400),
    )
    faults = (
        *("--bill-cached-percent", "8.5", "--bill-omit-hour", "2026-05-02T06"),
        *("--bill-price-change", "2026-05-03:gpt-4o-mini*:20"),
    )
    yield from start_simulator(path, *faults)


def test_costs_by_line_item_have_the_faults_that_were_planted(past: Simulated) -> None:
    page = admin(past).admin.organization.usage.costs(
        start_time=DAY, end_time=DAY + 3 * 86_400, group_by=["line_item"]
    )
    assert [bucket.start_time for bucket in page.data] == [DAY + n * 86_400 for n in range(3)]
    assert not page.has_more
    found = {
        (number, result.line_item): (result.amount.value, result.quantity, result.quantity_unit)
        for number, bucket in enumerate(page.data)
        for result in bucket.results
        if result.object == "organization.costs.result" and result.amount
    }
    assert found == {
        (0, f"{MODEL}, input"): (0.0001464, 976.0, "tokens"),
        (0, f"{MODEL}, cached input"): (0.000083328, 1024.0, "tokens"),
        (0, f"{MODEL}, output"): (0.000006, 10.0, "tokens"),
        (0, "gpt-4o-2024-08-06, input"): (0.00244, 976.0, "tokens"),
        (0, "gpt-4o-2024-08-06, cached input"): (0.0013888, 1024.0, "tokens"),
        (0, "gpt-4o-2024-08-06, output"): (0.0001, 10.0, "tokens"),
        (0, "web search tool calls"): (0.03, 3.0, None),
        (0, "tts-1, characters"): (0.0015, 100.0, "characters"),
        (1, f"{MODEL}, input"): (0.0001464, 976.0, "tokens"),
        (1, f"{MODEL}, cached input"): (0.000083328, 1024.0, "tokens"),
        (1, f"{MODEL}, output"): (0.000006, 10.0, "tokens"),
        (2, f"{MODEL}, input"): (0.00017568, 976.0, "tokens"),
        (2, f"{MODEL}, cached input"): (0.0000999936, 1024.0, "tokens"),
        (2, f"{MODEL}, output"): (0.0000072, 10.0, "tokens"),
    }


def test_usage_by_hour_leaves_out_the_omitted_one(past: Simulated) -> None:
    usage = admin(past).admin.organization.usage
    start = DAY + 86_400
    first = usage.completions(
        start_time=start, end_time=start + 86_400, bucket_width="1h", limit=6, group_by=["model"]
    )
    assert first.has_more
    assert first.next_page is not None
    second = usage.completions(
        start_time=start,
        end_time=start + 86_400,
        bucket_width="1h",
        limit=168,
        group_by=["model"],
        page=first.next_page,
    )
    assert not second.has_more
    buckets = [*first.data, *second.data]
    assert [bucket.start_time for bucket in buckets] == list(range(start, start + 86_400, HOUR))
    (result,) = [result for bucket in buckets for result in bucket.results]
    assert buckets[5].results == [result]
    assert result.object == "organization.usage.completions.result"
    assert (result.model, result.input_tokens, result.input_cached_tokens) == (MODEL, 2_000, 1_024)
    assert (result.num_model_requests, result.output_tokens, result.user_id) == (1, 10, None)
    (day,) = usage.completions(start_time=start, end_time=start + 86_400).data
    assert len(day.results) == 1


def test_other_work_is_in_reports_of_its_own(past: Simulated) -> None:
    usage = admin(past).admin.organization.usage
    (bucket,) = usage.audio_speeches(start_time=DAY, end_time=DAY + 60, bucket_width="1m").data
    (result,) = bucket.results
    assert result.object == "organization.usage.audio_speeches.result"
    assert (result.characters, result.num_model_requests) == (100, 1)
    only = usage.completions(start_time=DAY, end_time=DAY + 86_400, models=["gpt-4o-2024-08-06"])
    assert sum(getattr(r, "num_model_requests", 0) for r in only.data[0].results) == 1


def test_amounts_can_be_rounded_to_cents(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    write(path, charge(DAY, prompt_tokens=1_000_000, cached_tokens=0))
    for simulated in start_simulator(path, "--bill-rounding", "cents"):
        page = admin(simulated).admin.organization.usage.costs(start_time=DAY, end_time=DAY + 1)
        (result,) = page.data[0].results
        assert result.object == "organization.costs.result"
        assert result.amount is not None
        assert (result.amount.value, result.quantity, result.line_item) == (0.15, None, None)


def test_only_an_administrator_sees_the_bill(simulated: Simulated) -> None:
    other = OpenAI(admin_api_key=KEY, base_url=simulated.url, max_retries=0)
    with pytest.raises(PermissionDeniedError, match="Missing scopes"):
        other.admin.organization.usage.costs(start_time=DAY)
    usage = admin(simulated).admin.organization.usage
    with pytest.raises(BadRequestError, match="limit"):
        usage.costs(start_time=DAY, limit=181)
    with pytest.raises(BadRequestError, match="Supported values"):
        usage.costs(start_time=DAY, group_by=["model"])  # type: ignore[list-item]


def test_the_bill_of_real_requests_is_what_the_truth_log_says(
    simulated: Simulated, client: OpenAI
) -> None:
    start = int(datetime.now(UTC).timestamp()) // 60 * 60
    # A key of its own: others use the same simulator.
    own = client.with_options(api_key="sk-whose-bill-this-is")
    for number in range(3):
        own.chat.completions.create(**question(f"Bill {number}", model="o4-mini"))
    own.embeddings.create(model="text-embedding-3-small", input="A bill")
    key_id = read_truth(simulated.truth_log)[-1].api_key_id
    page = admin(simulated).admin.organization.usage.costs(
        start_time=start, end_time=start + 3_600, group_by=["line_item", "api_key_id"]
    )
    charged: Counter[str] = Counter()
    for bucket in page.data:
        for result in bucket.results:
            assert result.object == "organization.costs.result"
            assert result.amount is not None
            assert result.line_item is not None
            if result.api_key_id != key_id:
                continue
            nano = Decimal(str(result.amount.value)) * 10**9
            charged[result.line_item.partition(",")[0]] += int(nano)
    for model in ("o4-mini-2025-04-16", "text-embedding-3-small"):
        truth = [c for c in read_truth(simulated.truth_log) if c.model == model]
        since = [c for c in truth if c.api_key_id == key_id]
        assert since
        expected = sum(cost_nano(item) for item in since)
        assert 0 <= expected - charged[model] <= len(since) + 2
        assert since[-1].api_key_id.startswith("key_")
