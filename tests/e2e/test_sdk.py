"""The official SDK against the gateway: it must not notice that it is not the provider."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.money import cost_nano, usd
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import MODEL, question

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
        },
    },
}


class Step(BaseModel):
    explanation: str
    output: str


class Solution(BaseModel):
    steps: list[Step]
    final_answer: str


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def test_a_plain_answer_costs_tokens_times_price(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**question(model="gpt-3.5-turbo"))
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None
    nano = 500 * answer.usage.prompt_tokens + 1500 * answer.usage.completion_tokens
    assert raw.headers["x-faregate-cost-usd"] == usd(nano)
    record = rig.record(raw.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.certainty) == (nano, "exact")
    assert rig.truth_nano(raw.headers["x-faregate-request-id"]) == nano
    assert answer._request_id == record.rows[0].upstream_id


def test_the_remaining_budget_is_told(rig: Rig) -> None:
    tenant = rig.tenant(10**9)
    reply = tenant.caller.chat()
    cost = rig.truth_nano(reply.request_id)
    assert reply.headers["x-faregate-budget-remaining-usd"] == usd(10**9 - cost)
    for name in reply.headers:
        assert not name.startswith(("set-cookie", "openai-organization", "openai-project"))


def test_async_and_many_at_once(rig: Rig, tenant: Tenant) -> None:
    async def ask() -> list[Any]:
        async with tenant.caller.async_sdk() as sdk:
            calls = [sdk.chat.completions.create(**question()) for _ in range(20)]
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())
    assert len({answer.id for answer in answers}) == 20


@pytest.mark.parametrize("include_usage", [None, True, False])
def test_streaming(rig: Rig, tenant: Tenant, include_usage: bool | None) -> None:
    options: dict[str, Any] = {}
    if include_usage is not None:
        options["stream_options"] = {"include_usage": include_usage}
    with tenant.caller.sdk() as sdk:
        stream = sdk.chat.completions.create(**question(), stream=True, **options)
        request_id = stream.response.headers["x-faregate-request-id"]
        chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(usages) == (1 if include_usage else 0)
    assert [not chunk.choices for chunk in chunks].count(True) == len(usages)
    (charge,) = rig.provider.charges()[request_id]
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (cost_nano(charge), "exact")
    if usages:
        assert usages[0].completion_tokens == charge.completion_tokens


def test_async_streaming(rig: Rig, tenant: Tenant) -> None:
    async def read() -> int:
        async with tenant.caller.async_sdk() as sdk:
            stream = await sdk.chat.completions.create(**question(), stream=True)
            return len([chunk async for chunk in stream])

    assert asyncio.run(read()) > 10


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called(rig: Rig, tenant: Tenant, stream: bool) -> None:
    asked = question("Please call the tool.", tools=[WEATHER])
    with tenant.caller.sdk() as sdk:
        if stream:
            with sdk.chat.completions.stream(**asked) as events:
                final = events.get_final_completion()
        else:
            final = sdk.chat.completions.create(**asked)
    (call,) = final.choices[0].message.tool_calls or []
    assert final.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city", "unit"}


def test_structured_output_is_parsed(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        answer = sdk.chat.completions.parse(**question(), response_format=Solution)
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Solution)


def test_several_choices_are_all_charged(rig: Rig, tenant: Tenant) -> None:
    reply = tenant.caller.chat(n=3, max_completion_tokens=50)
    assert len(reply.json["choices"]) == 3
    record = rig.record(reply.request_id)
    assert record.cost_nano == rig.truth_nano(reply.request_id)
    assert record.rows[0].output_tokens == reply.json["usage"]["completion_tokens"]


def test_cached_and_reasoning_tokens_are_priced_apart(rig: Rig, tenant: Tenant) -> None:
    long = "The quick brown fox jumps over the lazy dog. " * 200
    for _ in range(2):
        reply = tenant.caller.chat(long, model="o4-mini", max_completion_tokens=3000)
    usage = reply.json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 1024
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert reply.headers["x-faregate-cost-usd"] == usd(rig.truth_nano(reply.request_id))


def test_an_image_is_passed_on_and_charged(rig: Rig, tenant: Tenant) -> None:
    png = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + struct.pack(">II", 512, 512)
        + b"\x08\x02\x00\x00\x00"
        + b"\x00\x00\x00\x00"
    )
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    reply = tenant.caller.post(body)
    assert reply.status == 200, reply.body
    record = rig.record(reply.request_id)
    assert record.cost_nano == rig.truth_nano(reply.request_id)
    assert record.rows[0].hold_nano >= record.cost_nano


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings(rig: Rig, tenant: Tenant, form: Any) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.embeddings.with_raw_response.create(
            model="text-embedding-3-small", input=["one", "two words"], encoding_format=form
        )
    answer = raw.parse()
    vector: Any = answer.data[1].embedding
    size = len(base64.b64decode(vector)) // 4 if isinstance(vector, str) else len(vector)
    assert size == 1536
    nano = rig.truth_nano(raw.headers["x-faregate-request-id"])
    assert nano == 20 * answer.usage.prompt_tokens > 0
    assert raw.headers["x-faregate-cost-usd"] == usd(nano)


def test_models_are_those_with_a_price(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        names = {model.id for model in sdk.models.list()}
        assert sdk.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("sim-unpriced-1")
    assert {"gpt-4o", "gpt-3.5-turbo", "text-embedding-3-small"} <= names
    assert "sim-unpriced-1" not in names


def test_an_answer_passes_byte_for_byte(rig: Rig, tenant: Tenant) -> None:
    # The length limit is what a request without one is granted, so both ask for the same.
    body = question("Same question", max_completion_tokens=60, seed=7)
    direct = rig.provider.caller().post(body)
    through = tenant.caller.post(body)
    normal = [
        {**reply.json, "id": "", "created": 0, "usage": reply.json["usage"]["completion_tokens"]}
        for reply in (direct, through)
    ]
    assert normal[0] == normal[1]
    assert list(direct.json) == list(through.json)


def test_searches_that_nobody_reports_are_charged_and_said_to_be_assumed(
    rig: Rig, tenant: Tenant
) -> None:
    with tenant.caller.sdk() as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**question(web_search_options={}))
    request_id = raw.headers["x-faregate-request-id"]
    record = rig.record(request_id)
    (charge,) = rig.provider.charges()[request_id]
    assert charge.units == {"web_search_calls": 1}
    assert (record.cost_nano, record.certainty) == (cost_nano(charge), "estimated")
    assert record.rows[0].reason == "searches_not_reported"
