"""Moderations are free: recorded at zero cost, and nothing that is billed passes for one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.money import usd
from tests.e2e.rig import Rig, Tenant

PATH = "/v1/moderations"


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(1)


@pytest.mark.parametrize(
    "body",
    [
        {"input": "hello"},
        {"input": ["hello", "I will kill you"]},
        {"input": "hello", "model": "text-moderation-latest"},
        {
            "input": [
                {"type": "text", "text": "hello"},
                {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
            ],
            "model": "omni-moderation-latest",
        },
    ],
)
def test_a_moderation_is_free_and_recorded(rig: Rig, tenant: Tenant, body: dict[str, Any]) -> None:
    """The client's budget is a nano-dollar."""
    with tenant.caller.sdk() as sdk:
        raw = sdk.moderations.with_raw_response.create(**body)
    assert raw.parse().results
    assert raw.headers["x-faregate-cost-usd"] == usd(0)
    record = rig.record(raw.headers["x-faregate-request-id"])
    assert (record.cost_nano, record.certainty, record.status) == (0, "exact", 200)
    assert record.rows[0].endpoint == "moderations"
    assert record.rows[0].model == body.get("model", "omni-moderation-latest")
    assert rig.truth_nano(raw.headers["x-faregate-request-id"]) == 0


def test_async(tenant: Tenant) -> None:
    async def ask() -> list[bool]:
        async with tenant.caller.async_sdk() as sdk:
            texts = ("hello", "I will kill you")
            answers = await asyncio.gather(*(sdk.moderations.create(input=t) for t in texts))
            return [answer.results[0].flagged for answer in answers]

    assert asyncio.run(ask()) == [False, True]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": "x", "model": "gpt-4o"}, "model"),
        ({"input": "x", "model": ["omni-moderation-latest"]}, "model"),
        ({"input": "x", "model": ""}, "model"),
        ({"input": "x", "extra_body": {"model": "gpt-4o"}}, "extra_body"),
        ({"input": "x", "model": "m" * 129}, "model"),
    ],
)
def test_what_is_no_moderation_is_refused(
    rig: Rig, tenant: Tenant, body: dict[str, Any], param: str
) -> None:
    refused = tenant.caller.post(body, PATH)
    assert (refused.status, refused.error["param"]) == (400, param)


def test_a_model_that_the_client_may_not_use(rig: Rig) -> None:
    narrow = rig.tenant(allowed_models=["gpt-4o-mini"])
    refused = narrow.caller.post({"input": "x"}, PATH)
    assert (refused.status, refused.error["code"]) == (403, "model_not_allowed")
