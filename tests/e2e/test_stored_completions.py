"""Stored chat completions: each client lists, reads and changes its own, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.money import usd
from tests.e2e.provider import report
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, data_of

MADE = 5


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def store(tenant: Tenant, number: int, **rest: Any) -> str:
    metadata = {"number": str(number), "parity": "odd" if number % 2 else "even"}
    reply = tenant.caller.chat(store=True, metadata=metadata, max_completion_tokens=5, **rest)
    return str(reply.json["id"])


@pytest.fixture(scope="module")
def stored(rig: Rig, tenant: Tenant) -> list[str]:
    other = rig.tenant(10**12)
    made = []
    for number in range(MADE):
        made.append(store(tenant, number, **({"model": "gpt-4o"} if number == 2 else {})))
        store(other, number)
        tenant.caller.chat(max_completion_tokens=5)
    return made


def listed(tenant: Tenant, query: str = "") -> dict[str, Any]:
    reply = tenant.caller.get(f"{CHAT}{query}")
    assert reply.status == 200, reply.body
    assert reply.headers["x-faregate-cost-usd"] == usd(0)
    found: dict[str, Any] = reply.json
    assert found["object"] == "list"
    ids = [entry["id"] for entry in found["data"]]
    assert (found["first_id"], found["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return found


def ids(tenant: Tenant, query: str = "") -> list[str]:
    return [entry["id"] for entry in listed(tenant, query)["data"]]


def test_a_list_has_ones_own_and_nothing_else(tenant: Tenant, stored: list[str]) -> None:
    found = listed(tenant)
    assert sorted(entry["id"] for entry in found["data"]) == sorted(stored)
    assert found["has_more"] is False
    assert {entry["object"] for entry in found["data"]} == {"chat.completion"}
    assert all(entry["metadata"]["number"] for entry in found["data"])


def test_pages_meet_without_a_gap(tenant: Tenant, stored: list[str]) -> None:
    whole = ids(tenant)
    assert ids(tenant, "?order=desc") == whole[::-1]
    page = listed(tenant, "?limit=2")
    assert page["has_more"] is True
    assert [e["id"] for e in page["data"]] == whole[:2]
    assert ids(tenant, f"?limit=2&after={page['last_id']}") == whole[2:4]
    last = listed(tenant, f"?limit=2&after={whole[3]}")
    assert ([e["id"] for e in last["data"]], last["has_more"]) == (whole[4:], False)
    with tenant.caller.sdk() as sdk:
        assert [one.id for one in sdk.chat.completions.list(limit=2)] == whole


def test_filters(tenant: Tenant, stored: list[str]) -> None:
    whole = ids(tenant)
    assert ids(tenant, "?model=gpt-4o") == [stored[2]]
    assert ids(tenant, "?model=gpt-4o-2024-08-06") == [stored[2]]
    assert len(ids(tenant, "?model=gpt-4o-mini")) == MADE - 1
    assert ids(tenant, "?model=gpt-5") == []
    with tenant.caller.sdk() as sdk:
        odd = [one.id for one in sdk.chat.completions.list(metadata={"parity": "odd"}, limit=1)]
    assert odd == [one for one in whole if one in (stored[1], stored[3])]
    page = listed(tenant, "?metadata[parity]=even&limit=2")
    assert page["has_more"] is True
    assert len(page["data"]) == 2
    rest = listed(tenant, f"?metadata[parity]=even&limit=2&after={page['last_id']}")
    assert ([e["metadata"]["parity"] for e in rest["data"]], rest["has_more"]) == (["even"], False)
    assert ids(tenant, "?metadata[parity]=even&metadata[number]=1") == []


def test_async(tenant: Tenant, stored: list[str]) -> None:
    async def read() -> list[str]:
        async with tenant.caller.async_sdk() as sdk:
            listed = [one.id async for one in sdk.chat.completions.list(limit=3)]
            return [(await sdk.chat.completions.retrieve(one)).id for one in listed]

    assert sorted(asyncio.run(read())) == sorted(stored)


@pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?limit=x", "?order=up"])
def test_arguments_that_make_no_sense(tenant: Tenant, query: str) -> None:
    refused = tenant.caller.get(f"{CHAT}{query}")
    assert refused.status == 400
    assert refused.error["param"] in query


def test_one_is_read_changed_and_deleted(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    name = store(tenant, 1)
    rig.drain()
    spent = rig.counters(tenant.budget)["spent"]
    with tenant.caller.sdk() as sdk:
        assert sdk.chat.completions.retrieve(name).id == name
        messages = list(sdk.chat.completions.messages.list(name))
        assert [message.role for message in messages] == ["user"]
        sdk.chat.completions.update(name, metadata={"parity": "changed"})
        assert ids(tenant, "?metadata[parity]=changed") == [name]
        assert sdk.chat.completions.delete(name).deleted
        assert ids(tenant) == []
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.retrieve(name)
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] == spent, "nothing of it is billed"


def test_a_streamed_one_is_stored_too(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    chunks = data_of(tenant.caller.stream(store=True, max_completion_tokens=5).all())
    assert ids(tenant) == [chunks[0]["id"]]


def test_what_the_provider_has_no_more_leaves_the_list(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    gone, kept = store(tenant, 0), store(tenant, 1)
    assert rig.provider.caller().request("DELETE", f"{CHAT}/{gone}").status == 200
    assert ids(tenant) == [kept]
    assert tenant.caller.get(f"{CHAT}/{gone}").status == 404


def test_anothers_is_unknown_in_every_way(rig: Rig, tenant: Tenant, stored: list[str]) -> None:
    others = [rig.tenant(10**12) for _ in range(2)]
    before = rig.provider.totals()["requests"]
    refused = 0
    for other in others:
        for method, rest in (("GET", ""), ("POST", ""), ("DELETE", ""), ("GET", "/messages")):
            told = []
            for name in (stored[0], "chatcmpl-unknown"):
                body = json.dumps({"metadata": {}}).encode() if method == "POST" else None
                reply = other.caller.request(method, f"{CHAT}/{name}{rest}", body)
                assert reply.status == 404
                told.append(json.dumps(reply.error).replace(name, "*"))
            assert told[0] == told[1]
            refused += 1
        assert ids(other) == []
        assert ids(other, f"?after={stored[0]}") == []
    rig.drain()
    assert rig.provider.totals()["requests"] == before
    assert sorted(ids(tenant)) == sorted(stored)
    report(f"{refused} requests for what is another's, 0 answered")


def test_what_cannot_be_read_is_an_error_and_not_left_out(
    make_own_rig: MakeRig, shared_redis_url: str
) -> None:
    rig = make_own_rig(shared_redis_url, workers=1)
    tenant = rig.tenant(10**12)
    store(tenant, 1)
    rig.provider.process.kill_group()
    failed = tenant.caller.get(CHAT)
    assert (failed.status, failed.error["code"]) == (502, "upstream_unreachable")
