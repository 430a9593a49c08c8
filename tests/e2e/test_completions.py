"""Legacy completions: every form of prompt, and every answer that is made for it."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest

from gateway.simulator.faults import Fault
from tests.e2e.money import usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import data_of, without_comments

PATH = "/v1/completions"
MODEL = "gpt-3.5-turbo-instruct"


def asked(prompt: object = None, **rest: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": prompt or f"Once upon a time {uuid4().hex}", **rest}


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def check_exact(rig: Rig, request_id: str) -> int:
    record = rig.record(request_id)
    truth = rig.truth_nano(request_id)
    assert (record.cost_nano, record.certainty) == (truth, "exact")
    assert record.rows[0].hold_nano >= truth
    return truth


def test_a_completion_costs_tokens_times_price(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.completions.with_raw_response.create(**asked(max_tokens=40))
    answer = raw.parse()
    assert answer.choices[0].text
    assert answer.usage is not None
    cost = check_exact(rig, raw.headers["x-faregate-request-id"])
    assert cost == answer.usage.prompt_tokens * 1500 + answer.usage.completion_tokens * 2000
    assert raw.headers["x-faregate-cost-usd"] == usd(cost)


def test_async(rig: Rig, tenant: Tenant) -> None:
    async def ask() -> list[str]:
        async with tenant.caller.async_sdk() as sdk:
            calls = (sdk.completions.with_raw_response.create(**asked()) for _ in range(8))
            return [raw.headers["x-faregate-request-id"] for raw in await asyncio.gather(*calls)]

    for request_id in asyncio.run(ask()):
        check_exact(rig, request_id)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("Say this is a test", 1),
        (["Say this", "is a test", "예산은"], 3),
        ([9906, 1917, 374], 1),
        ([[9906, 1917], [374]], 2),
    ],
)
@pytest.mark.parametrize(
    ("rest", "answers", "shown"),
    [
        ({}, 1, 1),
        ({"n": 2}, 2, 2),
        ({"n": 1, "best_of": 3}, 3, 1),
        ({"echo": True, "n": 2}, 2, 2),
        ({"echo": True, "max_tokens": 0}, 1, 1),
    ],
)
def test_every_prompt_has_every_answer(
    rig: Rig,
    tenant: Tenant,
    prompt: object,
    prompts: int,
    rest: dict[str, Any],
    answers: int,
    shown: int,
) -> None:
    body = asked(prompt, **{"max_tokens": 20, **rest})
    reply = tenant.caller.post(body, PATH, output_tokens=500)
    assert reply.status == 200, reply.body
    assert len(reply.json["choices"]) == prompts * shown
    usage = reply.json["usage"]
    # Each answer has its maximum, so the bound is met as nearly as it can be.
    assert usage["completion_tokens"] == prompts * answers * body["max_tokens"]
    check_exact(rig, reply.request_id)


def test_the_default_is_sixteen_tokens(rig: Rig, tenant: Tenant) -> None:
    reply = tenant.caller.post(asked(), PATH, output_tokens=500)
    assert reply.json["usage"]["completion_tokens"] == 16
    hold = rig.record(reply.request_id).rows[0].hold_nano
    assert hold == check_exact(rig, reply.request_id)


@pytest.mark.parametrize("include_usage", [None, True])
def test_streaming(rig: Rig, tenant: Tenant, include_usage: bool | None) -> None:
    options: dict[str, Any] = {}
    if include_usage:
        options["stream_options"] = {"include_usage": True}
    with tenant.caller.sdk() as sdk:
        stream = sdk.completions.create(**asked(n=2, max_tokens=30), stream=True, **options)
        request_id = stream.response.headers["x-faregate-request-id"]
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert [c.usage is not None for c in chunks].count(True) == (1 if include_usage else 0)
    check_exact(rig, request_id)


def test_nothing_of_usage_is_left_where_it_was_not_asked_for(rig: Rig, tenant: Tenant) -> None:
    body = asked("Say the same", seed=7, max_tokens=30)
    direct = rig.provider.caller().streamed(body, PATH).all()
    through = tenant.caller.streamed(body, PATH).all()
    assert b"usage" not in through
    assert through.endswith(b"data: [DONE]\n\n")
    ours, theirs = (
        [event["choices"] for event in data_of(without_comments(data))]
        for data in (through, direct)
    )
    assert ours == theirs


def test_a_tight_budget_refuses_and_a_clamping_client_gets_less(rig: Rig) -> None:
    body = asked("Say this is a test", max_tokens=1)
    probe = rig.tenant().caller.post(body, PATH)
    fixed = rig.record(probe.request_id).rows[0].hold_nano - 2000
    poor = rig.tenant(fixed + 300 * 2000)
    refused = poor.caller.post({**body, "max_tokens": 301}, PATH)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    many = poor.caller.post({**body, "max_tokens": 150, "n": 1, "best_of": 3}, PATH)
    assert many.status == 429
    clamped = rig.tenant(fixed + 300 * 2000, clamp_output=True)
    reply = clamped.caller.post({**body, "max_tokens": 2000}, PATH, output_tokens=3000)
    assert reply.json["usage"]["completion_tokens"] == 300
    assert check_exact(rig, reply.request_id) <= fixed + 300 * 2000


@pytest.mark.parametrize("events", [0, 3])
def test_a_client_that_leaves_is_charged_to_the_nano_dollar(rig: Rig, events: int) -> None:
    tenant = rig.tenant(10**12)
    body = asked(max_tokens=60)
    stream = tenant.caller.streamed(body, PATH, token_interval_ms=5, output_tokens=60)
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up()
    check_exact(rig, stream.request_id)


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK, Fault.HANG])
def test_a_broken_stream_is_never_charged_too_little(impatient_rig: Rig, fault: Fault) -> None:
    tenant = impatient_rig.tenant(10**12)
    body = asked(max_tokens=1000, n=2)
    stream = tenant.caller.streamed(body, PATH, fault=fault.value, output_tokens=900)
    told = data_of(without_comments(stream.all()))[-1]
    assert told["error"]["code"] == "upstream_stream_broken"
    record = impatient_rig.record(stream.request_id)
    assert record.certainty == "estimated"
    truth = impatient_rig.truth_nano(stream.request_id)
    assert record.rows[0].hold_nano >= record.cost_nano >= truth


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": ["x", [1]]}, "prompt[1]"),
        ({"n": 0}, "n"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"suffix": 5}, "suffix"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"models": ["x"]}, "models"),
    ],
)
def test_what_has_no_bound_is_refused(tenant: Tenant, body: dict[str, Any], param: str) -> None:
    refused = tenant.caller.post({**asked(), **body}, PATH)
    assert (refused.status, refused.error["param"]) == (400, param)


def test_the_providers_own_refusals_cost_nothing(rig: Rig, tenant: Tenant) -> None:
    refused = tenant.caller.post({**asked(), "model": "gpt-4o-mini"}, PATH)
    assert refused.status == 404
    record = rig.record(refused.request_id)
    assert (record.cost_nano, record.outcome) == (0, "released")


def test_all_of_it_adds_up(rig: Rig, impatient_rig: Rig) -> None:
    for one in (rig, impatient_rig):
        assert one.audit()["records"] >= 0
