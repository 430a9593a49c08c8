"""Which headers pass, either way: named ones alone, whatever the client and the provider send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from gateway.web import page_rules
from tests.e2e.conftest import MakeRig
from tests.e2e.media import send_form
from tests.e2e.provider import SimulatedProvider
from tests.e2e.rig import PROVIDER_KEY, Rig, Tenant
from tests.e2e.traffic import CHAT, Reply, question
from tests.e2e.witness import Witness, requests_in

SENT = {
    "host",
    "user-agent",
    "authorization",
    "accept",
    "accept-encoding",
    "content-type",
    "content-length",
    "openai-beta",
    "x-client-request-id",
}
"""All that the provider gets, besides what the SDK says of itself (X-Stainless-...)."""

RETURNED = {
    # Of the connection.
    "server",
    "date",
    "connection",
    "transfer-encoding",
    "content-type",
    "content-length",
    "allow",
    # Of the provider.
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "openai-model",
    "content-disposition",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    # Of the gateway.
    "x-faregate-request-id",
    "x-faregate-cost-usd",
    "x-faregate-budget-remaining-usd",
    "x-faregate-idempotent-replay",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "cache-control",
    "x-accel-buffering",
}


@pytest.fixture(scope="module")
def witness(provider: SimulatedProvider) -> Iterator[Witness]:
    found = Witness(provider.url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def rig(long_lived_rig: MakeRig, witness: Witness) -> Rig:
    # Every header that a client may name is let through by its prefix, and then some are not.
    return long_lived_rig(
        workers=1, upstream_url=witness.url, forward_header_prefixes="x-,o,a,c,f,p,t,k,u,e"
    )


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12, requests_per_minute=1000)


PRIVATE = {
    "cookie": "session=secret",
    "openai-organization": "org-evil",
    "openai-project": "proj-evil",
    "x-client-request-id": "evil",
    "x-faregate-tags": "project=secret",
    "x-api-key": "secret",
    "api-key": "secret",
    "proxy-authorization": "Basic secret",
    "x-forwarded-for": "10.1.2.3",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    "x-real-ip": "10.1.2.3",
    "forwarded": "for=10.1.2.3",
    "te": "trailers",
    "trailer": "x-a",
    "upgrade": "websocket",
    "keep-alive": "timeout=5",
    "accept-encoding": "br",
    "accept": "text/evil",
}


def headers_in(sent: bytes) -> dict[str, str]:
    """The headers of the one request in ``sent``."""
    assert len(requests_in(sent)) == 1
    lines = sent.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = [line.partition(": ") for line in lines]
    found = {name.lower(): value for name, _, value in pairs}
    assert len(found) == len(pairs), "a header goes out twice"
    return found


def test_only_named_headers_reach_the_provider(rig: Rig, tenant: Tenant, witness: Witness) -> None:
    mark = witness.mark()
    body = json.dumps(question("hi")).encode()
    reply = tenant.caller.request(
        "POST", CHAT, body, {**PRIVATE, "openai-beta": "assistants=v2", "x-trace": "1"}
    )
    assert reply.status == 200
    sent = headers_in(witness.sent(mark))
    others = {name for name in sent if not name.startswith("x-stainless-")} - SENT
    assert others == {"x-trace"}
    assert sent["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert sent["x-client-request-id"] == reply.request_id
    assert sent["host"] == witness.url.split("/")[2]
    assert sent["accept-encoding"] == "identity"
    for value in set(PRIVATE.values()) - {"https"}:
        assert value.encode() not in witness.sent(mark).partition(b"\r\n\r\n")[0]
    assert tenant.key.secret.encode() not in witness.sent(mark)


def test_a_header_cannot_become_two(rig: Rig, tenant: Tenant, witness: Witness) -> None:
    mark = witness.mark()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {tenant.key.secret}\r\n"
        "content-type: application/json\r\nopenai-beta: a\rx-evil: 1\r\nconnection: close\r\n"
    )
    body = json.dumps(question("hi")).encode()
    reply = tenant.caller.raw(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert b" 400 " in reply.split(b"\r\n")[0]
    assert witness.sent(mark) == b""


def _replies(rig: Rig, tenant: Tenant) -> Iterator[Reply]:
    caller = tenant.caller
    yield caller.chat("hi")
    yield caller.request(
        "POST", CHAT, json.dumps(question("hi")).encode(), {"idempotency-key": "one"}
    )
    yield caller.request(
        "POST", CHAT, json.dumps(question("hi")).encode(), {"idempotency-key": "one"}
    )
    streamed = caller.stream("hi")
    yield Reply(streamed.status, streamed.headers, streamed.all())
    yield caller.post({"model": "tts-1", "voice": "alloy", "input": "hi"}, "/v1/audio/speech")
    yield caller.post({"model": "text-embedding-3-small", "input": "hi"}, "/v1/embeddings")
    file = ("file", "a.jsonl", "application/jsonl", b'{"a": 1}\n')
    made = send_form(caller, "/v1/files", {"purpose": "user_data"}, [file])
    yield made
    name = json.loads(made.body)["id"]
    yield caller.get(f"/v1/files/{name}")
    yield caller.get(f"/v1/files/{name}/content")
    yield caller.get("/v1/files")
    yield caller.get("/v1/models")
    for status in (400, 401, 404, 429, 500, 503):
        yield caller.chat("hi", directed={"status": status})
    yield caller.chat("hi", directed={"fault": "gzip"})
    yield caller.chat("hi", directed={"fault": "bad-json"})
    yield caller.chat("hi", directed={"fault": "reset-before-headers"})
    yield caller.get("/v1/nothing")
    yield caller.request("DELETE", CHAT)
    yield caller.request("POST", CHAT, b"{}", {"authorization": ""})


def _probes(tenant: Tenant) -> Iterator[Reply]:
    yield tenant.caller.get("/healthz")
    yield tenant.caller.get("/readyz")
    yield tenant.caller.get("/metrics")


def test_only_named_headers_come_back(rig: Rig, tenant: Tenant) -> None:
    """The provider sends its organization, its project, a cookie and its own limits each time."""
    direct = rig.provider.caller().chat("hi")
    for name in ("set-cookie", "openai-organization", "openai-project"):
        assert name in direct.headers
    statuses = set()
    for reply in _replies(rig, tenant):
        assert set(reply.headers) <= RETURNED, set(reply.headers) - RETURNED
        limits = {reply.headers.get(f"x-ratelimit-limit-{what}") for what in ("requests", "tokens")}
        assert limits <= {None, "1000"}
        statuses.add(reply.status)
        assert not re.search(rb"org-simulated|proj_simulated|__cf_bm", reply.body)
    assert {200, 400, 401, 404, 405, 429, 500, 502, 503} <= statuses
    of_pages = {name.lower() for name in page_rules.HEADERS}
    for reply in _probes(tenant):
        assert set(reply.headers) <= RETURNED | of_pages
