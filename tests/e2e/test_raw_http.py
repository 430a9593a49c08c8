"""HTTP as no library sends it: nothing may reach the provider, break a worker or say 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import question

BODY = json.dumps(question("hi", max_completion_tokens=5)).encode()


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _request(
    tenant: Tenant,
    *lines: str,
    body: bytes = BODY,
    first: str = "POST /v1/chat/completions HTTP/1.1",
    host: str = "host: gateway",
    length: str | None = "",
) -> bytes:
    """A request's bytes; every part may be replaced by a wrong one."""
    if length == "":
        length = f"content-length: {len(body)}"
    head = [
        first,
        host,
        f"authorization: Bearer {tenant.key.secret}",
        "content-type: application/json",
        *([length] if length else []),
        "connection: close",
        *lines,
    ]
    return "\r\n".join(line for line in head if line).encode("latin-1") + b"\r\n\r\n" + body


def _status(reply: bytes) -> int | None:
    """The status of a raw reply; None where the connection was closed without one."""
    return int(reply.split(b" ", 2)[1]) if reply else None


def _alive(rig: Rig, tenant: Tenant) -> None:
    assert tenant.caller.chat("hi", max_completion_tokens=5).status == 200
    assert rig.gateway.process.poll() is None


def test_the_rig_of_these_tests_works(rig: Rig, tenant: Tenant) -> None:
    assert _status(tenant.caller.raw(_request(tenant))) == 200


ODD_REQUESTS: dict[str, dict[str, Any]] = {
    "no host": {"host": ""},
    "two hosts": {"host": "host: a\r\nhost: b"},
    "http/1.0": {"first": "POST /v1/chat/completions HTTP/1.0"},
    "http/0.9": {"first": "POST /v1/chat/completions"},
    "http/2": {"first": "POST /v1/chat/completions HTTP/2.0"},
    "http/9.9": {"first": "POST /v1/chat/completions HTTP/9.9"},
    "no method": {"first": "/v1/chat/completions HTTP/1.1"},
    "odd method": {"first": "FROB /v1/chat/completions HTTP/1.1"},
    "lower-case method": {"first": "post /v1/chat/completions HTTP/1.1"},
    "nul in path": {"first": "POST /v1/chat/comp\x00letions HTTP/1.1"},
    "odd bytes in path": {"first": "POST /v1/\xff\xfe HTTP/1.1"},
    "absolute url": {"first": "POST http://evil.example/v1/chat/completions HTTP/1.1"},
    "asterisk": {"first": "OPTIONS * HTTP/1.1"},
    "connect": {"first": "CONNECT 127.0.0.1:80 HTTP/1.1"},
    "negative length": {"length": "content-length: -1"},
    "length of words": {"length": "content-length: ten"},
    "length with sign": {"length": f"content-length: +{len(BODY)}"},
    "two lengths": {"length": f"content-length: 3\r\ncontent-length: {len(BODY)}"},
    "length and chunks": {"length": f"content-length: {len(BODY)}\r\ntransfer-encoding: chunked"},
    "length beyond reason": {"length": "content-length: 99999999999999999999"},
    "unknown coding": {"length": "transfer-encoding: frobbed"},
    "chunked twice": {"length": "transfer-encoding: chunked, chunked"},
    "bad chunk size": {"length": "transfer-encoding: chunked", "body": b"zz\r\nhi\r\n0\r\n\r\n"},
    "negative chunk": {"length": "transfer-encoding: chunked", "body": b"-5\r\nhi\r\n0\r\n\r\n"},
    "chunk without end": {"length": "transfer-encoding: chunked", "body": b"5\r\nhi"},
    "huge chunk": {"length": "transfer-encoding: chunked", "body": b"f" * 20 + b"\r\nhi"},
    "space before colon": {"host": "host : gateway"},
    "folded header": {"host": "host: gateway\r\nx-a: b\r\n c"},
    "bare line feed": {"host": "host: gateway\nx-a: b"},
    "nul in header": {"host": "host: gateway\r\nx-a: b\x00c"},
    "header without colon": {"host": "host: gateway\r\nnonsense"},
    "header without name": {"host": "host: gateway\r\n: nothing"},
    "odd bytes in header": {"host": "host: gateway\r\nx-sim-latency-ms: \xff\xfe"},
    "expectation": {"host": "host: gateway\r\nexpect: miracles"},
}


@pytest.mark.parametrize("name", ODD_REQUESTS)
def test_an_odd_request_is_answered_or_dropped(rig: Rig, tenant: Tenant, name: str) -> None:
    reply = tenant.caller.raw(_request(tenant, **ODD_REQUESTS[name]), half_close=True)
    status = _status(reply)
    assert status is None or status < 500, reply[:500]
    _alive(rig, tenant)


def test_too_many_and_too_large_headers(rig: Rig, tenant: Tenant) -> None:
    many = [f"x-a-{number}: b" for number in range(5000)]
    large = ["x-a: " + "b" * 1_000_000]
    for lines in (many, large):
        status = _status(tenant.caller.raw(_request(tenant, *lines), half_close=True))
        assert status in (None, 431)
    path = "POST /v1/" + "a" * 100_000 + " HTTP/1.1"
    status = _status(tenant.caller.raw(_request(tenant, first=path)))
    assert status in (None, 414)
    _alive(rig, tenant)


def test_a_body_shorter_than_announced(rig: Rig, tenant: Tenant) -> None:
    before = rig.provider.totals()["requests"]
    reply = tenant.caller.raw(
        _request(tenant, length=f"content-length: {len(BODY) + 50}"), half_close=True
    )
    assert _status(reply) in (None, 400)
    assert rig.provider.totals()["requests"] == before
    _alive(rig, tenant)


def test_a_chunked_body_is_read(rig: Rig, tenant: Tenant) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    sent = _request(tenant, length="transfer-encoding: chunked", body=chunks + b"0\r\n\r\n")
    assert _status(tenant.caller.raw(sent)) == 200


def test_pipelined_requests_are_answered_in_turn(rig: Rig, tenant: Tenant) -> None:
    one = _request(tenant).replace(b"connection: close\r\n", b"")
    reply = tenant.caller.raw(one + one + _request(tenant))
    assert reply.count(b"HTTP/1.1 200 ") == 3
    assert reply.count(b"HTTP/1.1 ") == 3


def test_an_expected_continue_comes(rig: Rig, tenant: Tenant) -> None:
    reply = tenant.caller.raw(_request(tenant, "expect: 100-continue"))
    assert reply.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in reply


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat//completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/V1/CHAT/COMPLETIONS",
        "/v1/chat/Completions",
        "/v1/chat/%2e%2e/embeddings",
        "/v1/models/../chat/completions",
        "/v1/models/%2e%2e/chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions%00",
        "/v1/chat/completions;x",
        "/v1/responses",
        "/v1/images/generations",
        "/v1/audio/speech",
        "/v1/completions",
        "/v1/moderations",
        "/v1/threads",
        "/v1",
        "/",
        "/admin",
        "/v1/realtime",
        "/v1/vector_stores",
        "/v1/chat/completions/x",
        "/chat/completions",
        "/metrics/../v1/chat/completions",
    ],
)
def test_only_exact_paths_are_served(rig: Rig, tenant: Tenant, path: str) -> None:
    before = rig.provider.totals()["requests"]
    reply = tenant.caller.raw(_request(tenant, first=f"POST {path} HTTP/1.1"))
    assert _status(reply) in (400, 404, 405), reply[:300]
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "invalid_request_error"
    assert rig.provider.totals()["requests"] == before


def test_a_path_with_a_query_is_the_same_path(rig: Rig, tenant: Tenant) -> None:
    first = "POST /v1/chat/completions?api-version=1&model=gpt-4o HTTP/1.1"
    reply = tenant.caller.raw(_request(tenant, first=first))
    assert _status(reply) == 200
    assert b'"model":"gpt-4o-mini-2024-07-18"' in reply


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/v1/chat/completions", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/models/gpt-4o", 405),
        ("PUT", "/v1/models/gpt-4o", 405),
        ("DELETE", "/v1/models/gpt-4o", 404),
        ("HEAD", "/v1/models", 200),
        ("HEAD", "/v1/nothing", 404),
        ("OPTIONS", "/v1/chat/completions", 200),
        ("TRACE", "/v1/chat/completions", 405),
        ("GET", "/v1/models/%2e%2e", 404),
        ("GET", "/v1/models/..%2f..%2fchat", 404),
        ("GET", "/v1/models/" + "x" * 3000, 404),
        ("GET", "/v1/models/ft:gpt-4o:acme::1", 404),
    ],
)
def test_methods(rig: Rig, tenant: Tenant, method: str, path: str, status: int) -> None:
    reply = tenant.caller.request(method, path)
    assert reply.status == status, reply.body
    if status == 405:
        assert reply.error["code"] == "method_not_supported"
        assert reply.headers["allow"]
    if method == "HEAD":
        assert reply.body == b""


def test_headers_of_the_client_do_not_reach_the_provider(rig: Rig, tenant: Tenant) -> None:
    # Were the caller's id passed on, its charge would be filed under it.
    reply = tenant.caller.request(
        "POST",
        "/v1/chat/completions",
        BODY,
        {"x-client-request-id": "mine", "openai-organization": "org-evil", "cookie": "a=b"},
    )
    assert reply.status == 200
    charges = rig.provider.charges()
    assert "mine" not in charges
    assert len(charges[reply.request_id]) == 1
