"""Batches through the gateway: bounded line by line, and charged to the nano-dollar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.core.policy import Sharing
from tests.e2e.conftest import MakeRig
from tests.e2e.jsonl import CHAT, chat_line, chat_lines, lines
from tests.e2e.money import billed_nano
from tests.e2e.provider import report, until
from tests.e2e.rig import Recorded, Rig, Tenant
from tests.e2e.traffic import sim

ENDED = ("completed", "failed", "expired", "cancelled")
PATIENCE = 30.0


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def input_file(sdk: OpenAI, content: bytes) -> str:
    """The id of an uploaded input file."""
    return sdk.files.create(file=("lines.jsonl", content), purpose="batch").id


def begin(
    sdk: OpenAI, content: bytes, endpoint: str = CHAT, **directives: object
) -> tuple[str, str]:
    """The ids of a new batch and of the request that began it."""
    made = sdk.batches.with_raw_response.create(
        input_file_id=input_file(sdk, content),
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window="24h",
        extra_headers=sim(**{"batch_ms": 300, **directives}),
    )
    return made.parse().id, made.headers["x-faregate-request-id"]


def ended(sdk: OpenAI, batch_id: str) -> Any:
    """The batch once it has ended."""

    def asked() -> Any:
        batch = sdk.batches.retrieve(batch_id)
        return batch if batch.status in ENDED else None

    return until(asked, PATIENCE, f"{batch_id} to end")


def assert_billed_exactly(rig: Rig, request_id: str) -> Recorded:
    """The record of a batch costs what the provider charged for its lines."""
    record = rig.record(request_id)
    rig.provider.quiet()
    charges = rig.provider.charges().get(request_id, [])
    assert record.cost_nano == billed_nano(charges)
    assert record.certainty == "exact"
    assert record.cost_nano <= record.rows[0].hold_nano, "the hold was overrun"
    return record


def outputs(sdk: OpenAI, file_id: str | None) -> list[Mapping[str, Any]]:
    """The lines of an output file."""
    assert file_id is not None
    return [json.loads(line) for line in sdk.files.content(file_id).text.splitlines()]


# What is charged


def test_a_batch_costs_what_its_lines_cost(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, chat_lines(8))
        batch = ended(sdk, batch_id)
        assert batch.status == "completed"
        assert [row["custom_id"] for row in outputs(sdk, batch.output_file_id)] == [
            f"line-{number}" for number in range(8)
        ]
        # What follows the batch has the last word on it: it notes the files for lists.
        record = assert_billed_exactly(rig, request_id)
        listed = {file.id: file for file in sdk.files.list(purpose="batch_output")}
        assert listed[batch.output_file_id].bytes > 0
        assert sdk.files.retrieve(batch.output_file_id).purpose == "batch_output"
        assert batch_id in [one.id for one in sdk.batches.list()]
    assert record.cost_nano > 0
    assert (record.rows[0].endpoint, record.rows[0].model) == ("batches", "gpt-4o-mini")
    assert (record.rows[0].service_tier, record.status) == ("batch", 200)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["some words", "more"]}),
        ("/v1/responses", {"model": "gpt-4o-mini", "input": "hello", "max_output_tokens": 30}),
        ("/v1/completions", {"model": "babbage-002", "prompt": "Once", "max_tokens": 9}),
    ],
)
def test_every_endpoint_that_may_be_called_is_charged_exactly(
    rig: Rig, tenant: Tenant, endpoint: str, body: dict[str, Any]
) -> None:
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, _calls(endpoint, body), endpoint)
        assert ended(sdk, batch_id).request_counts.completed == 3
    assert assert_billed_exactly(rig, request_id).cost_nano > 0


def test_moderations_in_a_batch_are_free(rig: Rig) -> None:
    tenant = rig.tenant(0)
    body = {"model": "omni-moderation-latest", "input": "hello"}
    with tenant.caller.sdk() as sdk:
        content = _calls("/v1/moderations", body)
        batch_id, request_id = begin(sdk, content, "/v1/moderations")
        assert ended(sdk, batch_id).request_counts.completed == 3
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (0, "exact")


def _calls(endpoint: str, body: dict[str, Any]) -> bytes:
    rows = (
        {"custom_id": str(n), "method": "POST", "url": endpoint, "body": body} for n in range(3)
    )
    return lines(*rows)


def test_lines_that_fail_are_not_billed(rig: Rig, tenant: Tenant) -> None:
    # The provider refuses a temperature of 9, which a gateway need not know.
    rows = [chat_line(0), chat_line(1, temperature=9), chat_line(2)]
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, lines(*rows))
        batch = ended(sdk, batch_id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
        assert len(outputs(sdk, batch.error_file_id)) == 1
    assert_billed_exactly(rig, request_id)
    assert len(rig.provider.charges()[request_id]) == 2


def test_a_cancelled_batch_is_charged_for_what_has_run(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, chat_lines(100), batch_ms=20_000)
        until(
            lambda: len(rig.provider.charges().get(request_id, ())) >= 3, PATIENCE, "lines to run"
        )
        assert sdk.batches.cancel(batch_id).status == "cancelling"
        batch = ended(sdk, batch_id)
        assert batch.status == "cancelled"
        assert 3 <= len(outputs(sdk, batch.output_file_id)) < 100
    assert assert_billed_exactly(rig, request_id).cost_nano > 0


def test_an_expired_batch_is_charged_for_what_has_run(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        batch_id, request_id = begin(sdk, chat_lines(10), batch_expires_after=4)
        batch = ended(sdk, batch_id)
        assert batch.status == "expired"
        assert len(outputs(sdk, batch.error_file_id)) == 6
    assert_billed_exactly(rig, request_id)
    assert len(rig.provider.charges()[request_id]) == 4


def test_a_batch_that_fails_validation_costs_nothing(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        # It is priced here, and the simulated provider does not have it.
        batch_id, request_id = begin(sdk, lines(chat_line(0, model="gpt-4.5-preview")))
        batch = ended(sdk, batch_id)
        assert (batch.status, batch.output_file_id) == ("failed", None)
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (0, "exact")
    assert record.rows[0].reason == "batch_failed"


# What is held


def test_a_batch_is_held_at_its_worst_and_refused_beyond_the_budget(rig: Rig) -> None:
    tenant = rig.tenant(160_000)
    with tenant.caller.sdk() as sdk:
        # 40 tokens of answer at $0.30 a million: 12,000 nano-dollars a line, and its prompt.
        with pytest.raises(openai.RateLimitError) as refused:
            begin(sdk, chat_lines(20))
        assert refused.value.code == "insufficient_quota"
        batch_id, request_id = begin(sdk, chat_lines(10), batch_ms=1500)
        held = rig.counters(tenant.budget)["held"]
        assert 120_000 < held <= 160_000
        with pytest.raises(openai.RateLimitError):
            sdk.chat.completions.create(**chat_line(0)["body"])
        ended(sdk, batch_id)
    record = assert_billed_exactly(rig, request_id)
    assert record.rows[0].hold_nano == held
    assert rig.counters(tenant.budget) == {"spent": record.cost_nano, "held": 0}


def test_a_line_without_a_maximum_is_held_at_the_models(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk:
        batch_id, _ = begin(sdk, lines(chat_line(0, max_completion_tokens=None)), batch_ms=1500)
        # gpt-4o-mini answers with up to 16,384 tokens, here at $0.30 a million.
        assert rig.counters(tenant.budget)["held"] > 16_384 * 300
        sdk.batches.cancel(batch_id)


def test_a_batch_is_no_request_in_flight_and_no_rate(rig: Rig) -> None:
    tenant = rig.tenant(10**12, concurrent_requests=1, tokens_per_minute=2_000)
    with tenant.caller.sdk() as sdk:
        batch_id, _ = begin(sdk, chat_lines(200), batch_ms=400)
        assert sdk.chat.completions.create(**chat_line(0)["body"]).choices
        ended(sdk, batch_id)
        rig.drain()
        assert sdk.chat.completions.create(**chat_line(0)["body"]).choices


def test_others_are_served_while_a_large_input_is_counted(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    tenant = rig.tenant(10**15)
    text = "How much is counted while others ask? " * 40
    content = chat_lines(8_000, messages=[{"role": "user", "content": text}])
    with tenant.caller.sdk() as sdk, ThreadPoolExecutor(1) as pool:
        file_id = input_file(sdk, content)
        beginning = pool.submit(
            sdk.batches.create,
            input_file_id=file_id,
            endpoint=CHAT,
            completion_window="24h",
            extra_headers=sim(batch_ms=60_000),
        )
        served = 0
        while not beginning.done():
            assert tenant.caller.chat(max_completion_tokens=1).status == 200
            served += 1
        report(f"{served} requests were served while {len(content):,} bytes were counted")
        assert served >= 5
        sdk.batches.cancel(beginning.result().id)


# What is refused


def _line(**changes: Any) -> dict[str, Any]:
    return {**chat_line(1), **changes}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (_line(url="/v1/embeddings"), "url must be"),
        (_line(method="GET"), "method must be POST"),
        (_line(custom_id="line-0"), "that of an earlier line"),
        (_line(body=[]), "body must be an object"),
        (chat_line(1, model="gpt-4o"), "one model"),
        (chat_line(1, stream=True), "stream cannot be used"),
        (chat_line(1, store=True), "store cannot be used"),
        (chat_line(1, previous_response_id="resp_1"), "previous_response_id cannot be used"),
        (chat_line(1, background=True), "background cannot be used"),
        (chat_line(1, service_tier="priority"), "service_tier cannot be used"),
        (chat_line(1, web_search_options={"a": 1}), "web_search_options cannot be used"),
        (chat_line(1, n=1000), "n must be an integer"),
        (chat_line(1, messages=[]), "messages must be a non-empty list"),
    ],
)
def test_a_line_that_cannot_be_bounded_is_named(
    tenant: Tenant, row: dict[str, Any], told: str
) -> None:
    with (
        tenant.caller.sdk() as sdk,
        pytest.raises(openai.BadRequestError, match=f"Line 2 .*{told}") as refused,
    ):
        begin(sdk, lines(chat_line(0), row))
    assert refused.value.param == "input_file_id"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"custom_id": "a"\n', "Line 1 .*could not parse"),
        (b"\n \n", "no lines"),
        (chat_lines(1) + b'{"a": 1, "a": 2}', "Line 2 .*twice in one object"),
    ],
)
def test_a_file_that_has_another_meaning_is_refused(
    tenant: Tenant, content: bytes, told: str
) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError, match=told):
        begin(sdk, content)


def test_an_endpoint_that_cannot_be_bounded_is_refused(tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        begin(sdk, chat_lines(1), "/v1/videos")
    assert refused.value.param == "endpoint"


def test_a_model_that_is_not_allowed_is_refused(rig: Rig) -> None:
    tenant = rig.tenant(10**12, allowed_models=["gpt-3.5*"])
    with tenant.caller.sdk() as sdk, pytest.raises(openai.PermissionDeniedError):
        begin(sdk, chat_lines(1))


# Whose it is


def test_files_that_lines_name_must_be_the_clients(rig: Rig, tenant: Tenant) -> None:
    stranger = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk, stranger.caller.sdk() as other:
        theirs = input_file(other, b"{}")
        part = {"type": "file", "file": {"file_id": theirs}}
        row = chat_line(1, messages=[{"role": "user", "content": [part]}])
        with pytest.raises(openai.NotFoundError) as refused:
            begin(sdk, lines(chat_line(0), row))
        assert refused.value.param == "line 2: body.messages[0].content[0].file.file_id"


def test_another_clients_batch_is_as_unknown_as_any(rig: Rig, tenant: Tenant) -> None:
    stranger = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk, stranger.caller.sdk() as other:
        batch_id, _ = begin(sdk, chat_lines(1))
        batch = ended(sdk, batch_id)
        for ask in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError) as about_foreign:
                ask(batch_id)
            with pytest.raises(openai.NotFoundError) as about_nothing:
                ask("batch_nothing")
            said = str(about_nothing.value.body).replace("batch_nothing", batch_id)
            assert str(about_foreign.value.body) == said
        with pytest.raises(openai.NotFoundError):
            other.files.content(batch.output_file_id)
        assert other.batches.list().data == []
        assert other.files.list().data == []


def test_a_team_mate_who_asks_does_not_become_the_owner(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    mate = rig.mate(tenant)
    rig.share(tenant, Sharing.TEAM)
    with tenant.caller.sdk() as sdk, mate.caller.sdk() as other:
        batch_id, _ = begin(sdk, chat_lines(1))
        until(lambda: batch_id in [b.id for b in other.batches.list()], 10, "the team to share")
        batch = ended(other, batch_id)
        assert other.files.content(batch.output_file_id).text
        rig.share(tenant, Sharing.CLIENT)
        assert sdk.files.content(batch.output_file_id).text
        with pytest.raises(openai.NotFoundError):
            other.files.content(batch.output_file_id)
