"""A preflight says what the request itself then does: granted tokens, costs, who refuses."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import uuid4

import pytest

from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.money import usd_from_nano
from gateway.simulator.sound import wav
from gateway.web.preflight import ENDPOINTS
from tests.e2e.jsonl import CHAT, chat_lines
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import Reply, prompted, question

PREFLIGHT = "/v1/faregate/preflight"

Body = dict[str, Any]


def asked(tenant: Tenant, endpoint: str, body: object) -> Reply:
    return tenant.caller.post({"endpoint": endpoint, "request": body}, PREFLIGHT)


def told(tenant: Tenant, endpoint: str, body: object) -> Any:
    reply = asked(tenant, endpoint, body)
    assert reply.status == 200, reply.body
    return reply.json


def everything(rig: Rig) -> dict[bytes, Any]:
    """All that this deployment has in Redis, but for what comes and goes by itself: signs of
    life, and owners on their way to SQL."""
    client, passing = rig.redis(), (rig.keys.present, rig.keys.objects_waiting)
    found: dict[bytes, Any] = {}
    for name in client.scan_iter(match=f"*{rig.prefix}*", count=1000):
        if name.decode() == rig.keys.events:
            found[name] = client.xrange(name)
        elif name.decode() not in passing:
            found[name] = client.dump(name)
    return found


def some_request(pick: random.Random) -> tuple[str, Body]:
    """A request that one of the endpoints may get: most are right, some are not."""
    text = " ".join([uuid4().hex] * pick.randrange(1, 30))
    kind = pick.choice(("chat", "chat", "chat", "response", "embedding", "image", "speech", "odd"))
    if kind == "chat":
        body = question(text, model=pick.choice(("gpt-4o-mini", "gpt-4o", "gpt-3.5-turbo")))
        if pick.random() < 0.5:
            body["max_tokens"] = pick.choice((5, 300, 3_000))
        if pick.random() < 0.3:
            body["n"] = 2
        return "chat/completions", body
    if kind == "response":
        body = prompted(text)
        if pick.random() < 0.5:
            body["max_output_tokens"] = pick.choice((20, 300, 3_000))
        return "responses", body
    if kind == "embedding":
        return "embeddings", {"model": "text-embedding-3-small", "input": text}
    if kind == "image":
        size = pick.choice(("1024x1024", "1792x1024"))
        return "images/generations", {"model": "dall-e-3", "prompt": text, "size": size}
    if kind == "speech":
        return "audio/speech", {"model": "tts-1", "input": text, "voice": "alloy"}
    return "chat/completions", pick.choice(
        (
            {**question(text), "model": "no-such-model"},
            {"model": "gpt-4o-mini"},
            {**question(text), "max_tokens": -1},
            {**question(text), "service_tier": "scale"},
        )
    )


def some_tenant(rig: Rig, pick: random.Random) -> Tenant:
    """A client with any limits, under budgets of any kind that are about as large as requests."""
    limit = pick.choice((50_000, 500_000, 3_000_000, 20_000_000, 10**12))
    limits: dict[str, Any] = {}
    if pick.random() < 0.25:
        limits["requests_per_minute"] = 1
    if pick.random() < 0.25:
        limits["tokens_per_minute"] = pick.choice((20, 400))
    if pick.random() < 0.3:
        limits["clamp_output"] = True
    kinds = (Enforcement.STRICT, Enforcement.STRICT, Enforcement.EXPECTED, Enforcement.SOFT)
    tenant = rig.tenant(limit, enforcement=pick.choice(kinds), **limits)
    if pick.random() < 0.6:
        rig.directory.create_budget(
            f"team {tenant.team}",
            limit_nano=pick.choice((200_000, 2_000_000, 10**12)),
            window=WindowKind.MONTH,
            team=tenant.team,
        )
        rig.publish()
    return tenant


def agree(rig: Rig, tenant: Tenant, endpoint: str, body: Body) -> str:
    """Ask, then send; what was said is what is done. Returns how it ended."""
    before = everything(rig)
    preflight = asked(tenant, endpoint, body)
    assert everything(rig) == before
    reply = tenant.caller.post(body, f"/v1/{endpoint}")
    if preflight.status != 200:
        # What is wrong with the request is said in the same words.
        assert (preflight.status, preflight.error["code"]) == (reply.status, reply.error["code"])
        if preflight.status != 429:
            assert preflight.error == reply.error
        return "wrong" if preflight.status != 429 else "told to wait"
    said = preflight.json
    if not said["admitted"]:
        refusal = said["refusal"]
        assert (reply.status, reply.error["code"]) == (refusal["status"], refusal["code"])
        if "budget" in refusal:
            assert reply.error == {name: refusal[name] for name in reply.error}
            assert said["decided_by"] == refusal["budget"]["name"]
            return "refused by a budget"
        return "refused by a limit"
    assert reply.status == 200, (said, reply.body)
    hold = rig.record(reply.request_id).rows[0].hold_nano
    assert said["cost"]["at_most_usd"] == usd_from_nano(hold)
    tokens = said["output_tokens"]
    assert (said["decided_by"] is not None) == (tokens["granted"] < tokens["wanted"])
    return "shortened" if said["decided_by"] else "granted"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_is_what_is_done(rig: Rig, seed: int) -> None:
    pick = random.Random(seed)
    ends: dict[str, int] = {}
    for _ in range(9):
        tenant = some_tenant(rig, pick)
        for _ in range(3):
            end = agree(rig, tenant, *some_request(pick))
            ends[end] = ends.get(end, 0) + 1
            rig.drain()
    assert ends.get("granted", 0) > 2, ends
    assert ends.get("refused by a budget", 0) > 1, ends


def test_every_way_to_end_is_agreed_on(rig: Rig) -> None:
    text = "Tell me all about budgets."
    body = question(text, model="gpt-3.5-turbo", max_tokens=1_000)
    tight = rig.tenant(600_000)
    assert agree(rig, tight, "chat/completions", body) == "refused by a budget"
    clamped = rig.tenant(600_000, clamp_output=True)
    said = told(clamped, "chat/completions", body)
    reply = clamped.caller.chat(
        text, model="gpt-3.5-turbo", max_tokens=1_000, directed={"output_tokens": 2_000}
    )
    assert reply.json["usage"]["completion_tokens"] == said["output_tokens"]["granted"] < 1_000
    once = rig.tenant(10**12, requests_per_minute=1)
    assert agree(rig, once, "chat/completions", body) == "granted"
    rig.drain()
    assert agree(rig, once, "chat/completions", body) == "refused by a limit"
    few = rig.tenant(10**12, tokens_per_minute=5)
    assert agree(rig, few, "chat/completions", body) == "refused by a limit"
    nobody = question(model="no-such-model")
    assert agree(rig, few, "chat/completions", nobody) == "wrong"


def test_a_request_in_flight_takes_its_place(rig: Rig) -> None:
    tenant = rig.tenant(10**9, concurrent_requests=1)
    stream = tenant.caller.stream(directed={"token_interval_ms": 300, "output_tokens": 40})
    said = told(tenant, "chat/completions", question())
    assert said["rate_limits"]["concurrent_requests"] == {"limit": 1, "in_flight": 1}
    assert (said["admitted"], said["refusal"]["code"]) == (False, "rate_limit_exceeded")
    (budget,) = said["budgets"]
    assert budget["held_usd"] != "0.000000000"
    stream.hang_up()


def test_what_is_usual_comes_from_earlier_requests(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    assert told(tenant, "chat/completions", question())["cost"]["expected"] is None
    for _ in range(3):
        assert tenant.caller.chat(directed={"output_tokens": 50}).status == 200
    rig.drain()
    expected = told(tenant, "chat/completions", question())["cost"]["expected"]
    assert expected["output_tokens"] == 50


def test_forms_are_asked_about_as_they_are(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    mark = uuid4().hex
    body = b""
    for name, head, value in (
        ("model", "", b"whisper-1"),
        ("file", '; filename="a.wav"\r\nContent-Type: audio/wav', wav(3_700)),
    ):
        disposition = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{head}\r\n\r\n'
        body += disposition.encode() + value + b"\r\n"
    body += f"--{mark}--\r\n".encode()
    kind = {"content-type": f"multipart/form-data; boundary={mark}"}
    named = {**kind, "x-faregate-endpoint": "audio/transcriptions"}
    said = tenant.caller.request("POST", PREFLIGHT, body, named).json
    reply = tenant.caller.request("POST", "/v1/audio/transcriptions", body, kind)
    assert reply.status == 200, reply.body
    hold = rig.record(reply.request_id).rows[0].hold_nano
    assert said["cost"]["at_most_usd"] == usd_from_nano(hold)
    assert said["endpoint"] == "audio/transcriptions"


def test_batches_are_bounded_by_their_files(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk:
        lines = sdk.files.create(file=("lines.jsonl", chat_lines(5)), purpose="batch")
    body = {"input_file_id": lines.id, "endpoint": CHAT, "completion_window": "24h"}
    said = told(tenant, "batches", body)
    made = tenant.caller.post(body, "/v1/batches", batch_ms=100)
    assert made.headers["x-faregate-held-usd"] == said["cost"]["at_most_usd"]
    assert said["service_tier"] == "batch"


def test_the_header_names_the_endpoint_of_a_json_body_too(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    body = question("The same question.")
    raw = json.dumps(body).encode()
    named = {"x-faregate-endpoint": "/v1/chat/completions"}
    reply = tenant.caller.request("POST", PREFLIGHT, raw, named)
    assert reply.json == told(tenant, "chat/completions", body)


def test_nothing_is_recorded(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    rig.drain()
    before, charges = rig.rows(), rig.provider.charges()
    for _ in range(3):
        assert told(tenant, "chat/completions", question())["admitted"]
    assert (rig.rows(), rig.provider.charges()) == (before, charges)
    assert rig.counters(tenant.budget) == {"spent": 0, "held": 0}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "request"),
        ({"endpoint": "chat/completions"}, "request"),
        ({"endpoint": "chat/completions", "request": "hi"}, "request"),
        ({"endpoint": "files", "request": {}}, "endpoint"),
        ({"request": {}}, "endpoint"),
        ({"endpoint": "chat/completions", "request": {}, "requests": {}}, "requests"),
        ({"endpoint": "chat/completions", "request": {"model": 5}}, "model"),
    ],
)
def test_a_body_that_is_wrong_is_named(rig: Rig, body: Body, param: str) -> None:
    reply = rig.tenant(10**12).caller.post(body, PREFLIGHT)
    assert (reply.status, reply.error["param"]) == (400, param)


def test_nobody_is_told_anything_without_a_key(rig: Rig) -> None:
    reply = rig.tenant().caller.request("POST", PREFLIGHT, b"{", {"authorization": ""})
    assert reply.status == 401
    assert len(ENDPOINTS) == 14
