"""Responses through the gateway: the official SDK sees the provider, the record the truth."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.money import SEARCH_NANO, cost_nano, usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import RESPONSES, data_of, prompted, without_comments

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SEARCH: dict[str, Any] = {"tools": [{"type": "web_search"}]}


class Answer(BaseModel):
    reason: str
    answer: str


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def check_exact(rig: Rig, request_id: str) -> int:
    """The cost that is recorded, which must be what the provider charged, and held."""
    record = rig.record(request_id)
    truth = rig.truth_nano(request_id)
    assert (record.cost_nano, record.certainty) == (truth, "exact")
    assert record.rows[0].hold_nano >= truth
    return truth


def test_a_response_costs_what_the_provider_charged(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.responses.with_raw_response.create(**prompted(), instructions="Be brief.")
    answer = raw.parse()
    assert answer.output_text
    assert answer.usage is not None
    request_id = raw.headers["x-faregate-request-id"]
    truth = check_exact(rig, request_id)
    assert raw.headers["x-faregate-cost-usd"] == usd(truth)
    assert truth == 150 * answer.usage.input_tokens + 600 * answer.usage.output_tokens
    assert answer._request_id == rig.record(request_id).rows[0].upstream_id


def test_async_and_many_at_once(rig: Rig, tenant: Tenant) -> None:
    async def ask() -> list[Any]:
        async with tenant.caller.async_sdk() as sdk:
            calls = [sdk.responses.with_raw_response.create(**prompted()) for _ in range(12)]
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())
    assert len({answer.parse().id for answer in answers}) == 12
    for answer in answers:
        check_exact(rig, answer.headers["x-faregate-request-id"])


def test_streaming(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        stream = sdk.responses.create(**prompted(), stream=True)
        request_id = stream.response.headers["x-faregate-request-id"]
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text
    (charge,) = rig.provider.charges()[request_id]
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == charge.completion_tokens
    check_exact(rig, request_id)


def test_async_streaming(rig: Rig, tenant: Tenant) -> None:
    async def read() -> str:
        async with tenant.caller.async_sdk() as sdk, sdk.responses.stream(**prompted()) as stream:
            return (await stream.get_final_response()).output_text

    async def read_plain() -> int:
        async with tenant.caller.async_sdk() as sdk:
            return len([e async for e in await sdk.responses.create(**prompted(), stream=True)])

    assert asyncio.run(read_plain()) > 10
    assert asyncio.run(read())


def test_the_bytes_of_a_stream_are_the_providers_own(rig: Rig, tenant: Tenant) -> None:
    stream = tenant.caller.streamed(prompted(), RESPONSES)
    data = stream.all()
    comment = data.index(b": faregate ")
    assert comment < data.index(b"event: response.completed")
    assert b"certainty=exact" in data[comment:]
    bare = without_comments(data)
    events = data_of(bare)
    assert (
        b"".join(
            b"event: %b\ndata: %b\n\n" % (event["type"].encode(), raw)
            for event, raw in zip(
                events,
                [part.partition(b"data: ")[2] for part in bare.split(b"\n\n") if part],
                strict=True,
            )
        )
        == bare
    )
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_answered(rig: Rig, tenant: Tenant, stream: bool) -> None:
    asked = prompted("Please call the tool.", tools=[WEATHER])
    with tenant.caller.sdk() as sdk:
        if stream:
            with sdk.responses.stream(**asked) as events:
                first: Any = events.get_final_response()
        else:
            first = sdk.responses.create(**asked)
        (call,) = [item for item in first.output if item.type == "function_call"]
        assert set(json.loads(call.arguments)) == {"city"}
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        raw = sdk.responses.with_raw_response.create(
            model=asked["model"], previous_response_id=first.id, input=[result], tools=[WEATHER]
        )
        assert raw.parse().output_text
        check_exact(rig, raw.headers["x-faregate-request-id"])
        # The same without the provider's memory.
        items: Any = [{"role": "user", "content": asked["input"]}, call.model_dump(), result]
        raw = sdk.responses.with_raw_response.create(model=asked["model"], input=items, store=False)
        check_exact(rig, raw.headers["x-faregate-request-id"])


def test_structured_output_is_parsed(tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        answer = sdk.responses.parse(**prompted(), text_format=Answer)
    assert isinstance(answer.output_parsed, Answer)


def test_cached_and_reasoning_tokens_are_priced_apart(rig: Rig, tenant: Tenant) -> None:
    long = "The quick brown fox jumps over the lazy dog. " * 200
    for _ in range(2):
        reply = tenant.caller.post(
            prompted(long, model="o4-mini", max_output_tokens=3000), RESPONSES
        )
    usage = reply.json["usage"]
    cached = usage["input_tokens_details"]["cached_tokens"]
    assert cached >= 1024
    assert usage["output_tokens_details"]["reasoning_tokens"] > 0
    # $1.10, $0.275 and $4.40 per million.
    assert check_exact(rig, reply.request_id) == (
        (usage["input_tokens"] - cached) * 1100 + cached * 275 + usage["output_tokens"] * 4400
    )


# What a response can cost at most


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("calls", [1, 3])
def test_searches_are_counted_and_charged(
    rig: Rig, tenant: Tenant, calls: int, stream: bool
) -> None:
    body = prompted("Please search the web for budgets.", **SEARCH)
    if stream:
        streamed = tenant.caller.streamed(body, RESPONSES, tool_calls=calls)
        answer = data_of(streamed.all())[-1]["response"]
        request_id = streamed.request_id
    else:
        reply = tenant.caller.post(body, RESPONSES, tool_calls=calls)
        answer, request_id = reply.json, reply.request_id
    assert answer["max_tool_calls"] == 5
    found = [item["type"] for item in answer["output"]]
    assert found.count("web_search_call") == calls
    cost = check_exact(rig, request_id)
    usage = answer["usage"]
    tokens = usage["input_tokens"] * 150 + usage["output_tokens"] * 600
    assert cost == tokens + calls * SEARCH_NANO
    assert rig.record(request_id).rows[0].hold_nano > 6 * 128_000 * 150 + 5 * SEARCH_NANO


def test_the_clients_own_limit_of_calls_is_held_for(rig: Rig, tenant: Tenant) -> None:
    body = prompted("Search the web.", **SEARCH, max_tool_calls=2, max_output_tokens=100)
    reply = tenant.caller.post(body, RESPONSES, tool_calls=9)
    assert [item["type"] for item in reply.json["output"]].count("web_search_call") == 2
    check_exact(rig, reply.request_id)
    hold = rig.record(reply.request_id).rows[0].hold_nano
    assert hold == 3 * 128_000 * 150 + 2 * SEARCH_NANO + 100 * 600


def test_over_budget_is_refused_and_nothing_is_sent(rig: Rig) -> None:
    poor = rig.tenant(50_000)
    before = rig.provider.totals()["requests"]
    refused = poor.caller.post(prompted(max_output_tokens=1000), RESPONSES)
    assert refused.status == 429
    assert refused.error["code"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    with poor.caller.sdk() as sdk, pytest.raises(openai.RateLimitError):
        sdk.responses.create(**prompted(max_output_tokens=1000), stream=True)
    assert rig.provider.totals()["requests"] == before
    assert rig.counters(poor.budget) == {"spent": 0, "held": 0}


def test_a_tight_budget_shortens_the_answer(rig: Rig) -> None:
    body = prompted("Tell me all about budgets.")
    probe = rig.tenant().caller.post({**body, "max_output_tokens": 16}, RESPONSES)
    fixed = rig.record(probe.request_id).rows[0].hold_nano - 16 * 600
    tenant = rig.tenant(fixed + 300 * 600)
    reply = tenant.caller.post(body, RESPONSES, output_tokens=2000)
    assert reply.json["status"] == "incomplete"
    assert reply.json["max_output_tokens"] == 300
    assert reply.json["usage"]["output_tokens"] == 300
    check_exact(rig, reply.request_id)
    # All of what is asked for, or a refusal.
    again = rig.tenant(fixed + 300 * 600)
    assert again.caller.post({**body, "max_output_tokens": 301}, RESPONSES).status == 429
    clamped = rig.tenant(fixed + 300 * 600, clamp_output=True)
    reply = clamped.caller.post({**body, "max_output_tokens": 9000}, RESPONSES)
    assert reply.json["max_output_tokens"] == 300


@pytest.mark.parametrize("priced", ["priority", "default"])
def test_the_tier_that_served_it_decides(rig: Rig, tenant: Tenant, priced: str) -> None:
    body = prompted(model="gpt-4o", service_tier="priority", max_output_tokens=50)
    reply = tenant.caller.post(body, RESPONSES, service_tier=priced)
    usage = reply.json["usage"]
    rates = {"priority": (4250, 17_000), "default": (2500, 10_000)}[priced]
    record = rig.record(reply.request_id)
    cost = usage["input_tokens"] * rates[0] + usage["output_tokens"] * rates[1]
    assert (record.cost_nano, record.certainty) == (cost, "exact")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs"]}]}, 400, "tools[0].type"),
        ({"tools": [{"type": "code_interpreter"}]}, 400, "tools[0].type"),
        ({"tools": [{"type": "image_generation"}]}, 400, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, 400, "tools[0].type"),
        ({"prompt": {"id": "pmpt_1"}}, 404, "prompt"),
        ({"conversation": "conv_1"}, 404, "conversation"),
        ({"input": [{"type": "additional_tools", "tools": []}]}, 400, "input[0].type"),
        ({"background": "yes"}, 400, "background"),
        ({"stream_options": {}}, 400, "stream_options"),
        ({"max_output_tokens": 0}, 400, "max_output_tokens"),
        ({"model": "sim-unpriced-1"}, 400, "model"),
    ],
)
@pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/input_tokens", f"{RESPONSES}/compact"])
def test_what_has_no_bound_is_refused_before_it_is_sent(
    rig: Rig, tenant: Tenant, path: str, body: dict[str, Any], status: int, param: str
) -> None:
    if path != RESPONSES and param in ("stream_options", "max_output_tokens"):
        pytest.skip("no field of this endpoint")
    refused = tenant.caller.post(prompted(**body), path)
    assert (refused.status, refused.error["param"]) == (status, param)
    if "x-faregate-request-id" in refused.headers:
        assert refused.request_id not in rig.provider.charges()


# Counting and compacting


def test_input_tokens_are_counted_for_free(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.responses.input_tokens.with_raw_response.count(**prompted())
        counted = raw.parse().input_tokens
        assert sdk.responses.input_tokens.count(input="no model").input_tokens > 0
    assert counted > 5
    record = rig.record(raw.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.certainty) == (0, "exact")
    assert rig.truth_nano(raw.headers["x-faregate-request-id"]) == 0


def test_a_compaction_is_billed(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        first = sdk.responses.create(**prompted())
        raw = sdk.responses.with_raw_response.compact(
            model="gpt-4o-mini", previous_response_id=first.id
        )
        compacted = raw.parse()
        cost = check_exact(rig, raw.headers["x-faregate-request-id"])
        usage = compacted.usage
        assert cost == usage.input_tokens * 150 + usage.output_tokens * 600
        assert rig.record(raw.headers["x-faregate-request-id"]).rows[0].hold_nano == (
            128_000 * 150 + 16_384 * 600
        )
        output = [item.model_dump(exclude_unset=True, warnings=False) for item in compacted.output]
        items: Any = [*output, {"role": "user", "content": "Go on."}]
        more = sdk.responses.with_raw_response.create(model="gpt-4o-mini", input=items)
        check_exact(rig, more.headers["x-faregate-request-id"])


def test_a_poor_client_compacts_nothing(rig: Rig) -> None:
    refused = rig.tenant(10**6).caller.post(prompted(), f"{RESPONSES}/compact")
    assert refused.status == 429


def test_all_of_it_adds_up(rig: Rig, tenant: Tenant) -> None:
    rig.drain()
    rig.provider.quiet()
    charges = rig.provider.charges()
    spent = sum(
        cost_nano(charge)
        for record in rig.records().values()
        if record.rows[0].client_id == tenant.id and record.rows[0].model != "gpt-4o"
        for charge in charges.get(record.rows[0].request_id, [])
    )
    dearer = sum(
        record.cost_nano
        for record in rig.records().values()
        if record.rows[0].client_id == tenant.id and record.rows[0].model == "gpt-4o"
    )
    assert rig.counters(tenant.budget) == {"spent": spent + dearer, "held": 0}
    rig.audit()
