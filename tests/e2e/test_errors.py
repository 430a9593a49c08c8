"""What a client is told when something is wrong: with it, with its request, or behind us."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.rig import PROVIDER_KEY, Rig, Tenant
from tests.e2e.traffic import CHAT, EMBEDDINGS, MODEL, Caller, Reply, question
from tests.processes import find_free_port

DEEP = b"[" * 100 + b"]" * 100
ASKED = b'"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _refused(reply: Reply, status: int, code: str | None) -> dict[str, Any]:
    """The error of a reply that must be one, in the envelope."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    error = reply.error
    assert error["message"]
    assert error["code"] == code
    return error


# Keys


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer fg-nobody"},
        {"authorization": "Bearer sk-canary-provider-key-of-the-rig"},
        {"authorization": "Basic Zm9vOmJhcg=="},
        {"authorization": "Bearer \xff\xfe"},
        {"authorization": "Bearer " + "x" * 5000},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models")])
def test_without_a_good_key(rig: Rig, headers: dict[str, str], method: str, path: str) -> None:
    body = b'{"model":"gpt-4o-mini","messages":[]}' if method == "POST" else None
    _refused(Caller(rig.port, "").request(method, path, body, headers), 401, "invalid_api_key")


def test_the_hash_of_a_key_is_not_a_key(rig: Rig, tenant: Tenant) -> None:
    from gateway.core.policy import hash_key

    hashed = Caller(rig.port, hash_key(tenant.key.secret))
    _refused(hashed.chat(), 401, "invalid_api_key")


@pytest.mark.parametrize("path", [CHAT, "/v1/models"])
def test_a_revoked_key_stops_within_a_second(rig: Rig, path: str) -> None:
    tenant = rig.tenant()

    def ask() -> Reply:
        return tenant.caller.chat() if path == CHAT else tenant.caller.get(path)

    assert ask().status == 200
    rig.directory.revoke_key(tenant.key.id)
    rig.publish()
    revoked = time.monotonic()
    replies = [ask() for _ in range(6)]
    assert time.monotonic() - revoked < 1.0 or replies[-1].status == 401
    # Both workers must know: the very first request after the change is refused already.
    for reply in replies:
        _refused(reply, 401, "key_revoked")


def test_a_new_key_works_at_once(rig: Rig, tenant: Tenant) -> None:
    for _ in range(4):
        key = rig.directory.create_key(tenant.name)
        rig.publish()
        assert Caller(rig.port, key.secret).chat().status == 200


def test_an_expired_key(rig: Rig, tenant: Tenant) -> None:
    key = rig.directory.create_key(tenant.name, expires_in=timedelta(seconds=-1))
    rig.publish()
    error = _refused(Caller(rig.port, key.secret).chat(), 401, "key_expired")
    assert key.secret not in str(error)


def test_rotation_overlaps_and_keeps_the_budget(rig: Rig) -> None:
    tenant = rig.tenant(10**9)
    assert tenant.caller.chat().status == 200
    rig.drain()
    spent = rig.counters(tenant.budget)
    new = rig.directory.rotate_key(tenant.key.id, timedelta(hours=1))
    rig.publish()
    assert tenant.caller.chat().status == 200
    assert Caller(rig.port, new.secret).chat().status == 200
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] > spent["spent"] > 0


def test_a_model_that_is_not_allowed(rig: Rig) -> None:
    tenant = rig.tenant(allowed_models=["gpt-4o-mini", "text-embedding*"])
    error = _refused(tenant.caller.chat(model="gpt-4o"), 403, "model_not_allowed")
    assert "gpt-4o-mini" in error["message"]
    assert tenant.caller.chat().status == 200
    assert {model["id"] for model in tenant.caller.get("/v1/models").json["data"]} == {
        "gpt-4o-mini",
        "text-embedding-3-small",
        "text-embedding-3-large",
        "text-embedding-ada-002",
    }
    _refused(tenant.caller.get("/v1/models/gpt-4o"), 404, "model_not_found")


# Bodies


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"{", "parse"),
        (b'{"model": "gpt-4o", "messages": [,]}', "parse"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b'{"model":"gpt-4o-mini","model":"gpt-4o","messages":[]}', "twice"),
        (
            b'{"model":"gpt-4o-mini","messages":[{"role":"user","role":"system","content":""}]}',
            "twice",
        ),
        (b'{"model":"gpt-4o-mini","messages":[],"temperature":NaN}', "NaN"),
        (b'{"model":"gpt-4o-mini","messages":[],"temperature":-Infinity}', "Infinity"),
        (b'{"model":"gpt-4o-mini","messages":[],"temperature":1e999}', "finite"),
        (b'{"model":"gpt-4o-mini","messages":[],"max_tokens":99999999999999999999}', "64 bits"),
        (b'{"model":"gpt-4o-mini","messages":[],"x":' + b"9" * 10_000 + b"}", "64 bits"),
        (b'{"model":"gpt-4o-mini","messages":' + DEEP + b"}", "deeper"),
        (b'{"a":' * 90_000 + b"1" + b"}" * 90_000, "deeper"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "100,000 values"),
        (b"[" * 1_000_000, ""),
        (b'\xff\xfe{"model":"gpt-4o-mini"}', "UTF-8"),
        (b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"\\ud800"}]}', ""),
        (b'{"model":"\\ud800","messages":[]}', ""),
        (b'{"messages":[]}', "model"),
        (b'{"model":7,"messages":[]}', "model"),
        (b'{"model":"gpt-4o-mini"}', "messages"),
        (b'{"model":"gpt-4o-mini","messages":"hi"}', "messages"),
        (b'{"model":"gpt-4o-mini","messages":[7]}', "messages"),
        (b'{"model":"gpt-4o-mini","messages":[],"stream":"yes"}', "stream"),
        (b'{"n":0,' + ASKED, "n "),
        (b'{"n":true,' + ASKED, "n "),
        (b'{"n":100000,' + ASKED, "n "),
        (b'{"max_tokens":-1,' + ASKED, "max_tokens"),
        (b'{"max_tokens":1.5,' + ASKED, "max_tokens"),
        (b'{"max_tokens":1,"max_completion_tokens":2,' + ASKED, "both"),
        (b'{"service_tier":["flex"],' + ASKED, "service_tier"),
    ],
    ids=lambda value: value[:60].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_bad_body(rig: Rig, tenant: Tenant, body: bytes, word: str) -> None:
    reply = tenant.caller.post(body)
    assert reply.status in (400, 404), reply.body
    error = reply.error
    assert error["type"] == "invalid_request_error"
    assert word in error["message"]
    rig.drain()


def test_a_body_that_is_too_large(impatient_rig: Rig) -> None:
    caller = impatient_rig.tenant().caller
    assert caller.chat("x " * 5000).status == 200
    _refused(caller.chat("x " * 60_000), 413, "request_too_large")
    chunked = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer " + caller.key.encode() + b"\r\nconnection: close\r\n"
        b"transfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n"
    )
    sent = chunked + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 30 + b"0\r\n\r\n"
    reply = caller.raw(sent)
    assert reply.startswith(b"HTTP/1.1 413 "), reply


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "text/plain"}, 400),
        ({"content-type": "multipart/form-data; boundary=x"}, 400),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_how_a_body_may_be_sent(
    rig: Rig, tenant: Tenant, headers: dict[str, str], status: int
) -> None:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
    assert tenant.caller.request("POST", CHAT, body, headers).status == status


def test_models_without_price_and_without_existence(rig: Rig, tenant: Tenant) -> None:
    error = _refused(tenant.caller.chat(model="sim-unpriced-1"), 400, "model_not_priced")
    assert "faregate price set sim-unpriced-1" in error["message"]
    _refused(tenant.caller.chat(model="gpt-99-nope"), 404, "model_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "text-embedding-3-small"},
        {"model": "text-embedding-3-small", "input": {}},
        {"model": "text-embedding-3-small", "input": [["a"], 3]},
        {"model": "text-embedding-3-small", "input": [[-1]]},
        {"model": "text-embedding-3-small", "input": []},
        {"model": "text-embedding-3-small", "input": "\ud800"},
    ],
)
def test_a_bad_embedding_request(rig: Rig, tenant: Tenant, body: Any) -> None:
    reply = tenant.caller.post(body, EMBEDDINGS)
    assert reply.status == 400, reply.body
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS])
@pytest.mark.parametrize("name", ["n_predict", "guidance"])
def test_a_field_that_a_server_may_take_for_a_maximum(
    rig: Rig, tenant: Tenant, path: str, name: str
) -> None:
    body = question() if path == CHAT else {"model": "text-embedding-3-small", "input": "hi"}
    error = _refused(tenant.caller.post({**body, name: 100_000}, path=path), 400, None)
    assert error["param"] == name


def test_unknown_fields_pass_where_the_deployment_says_so(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, unknown_fields="pass")
    tenant = rig.tenant()
    assert tenant.caller.post(question(guidance=7)).status == 200
    _refused(tenant.caller.post(question(n_predict=7)), 400, None)


# The provider's own errors


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 404, 409, 422, 429, 500, 503])
def test_the_providers_errors_pass_intact(
    rig: Rig, tenant: Tenant, status: int, stream: bool
) -> None:
    direct = rig.provider.caller().post(question(stream=stream), status=status)
    through = tenant.caller.post(question(stream=stream), status=status)
    assert (through.status, through.body) == (direct.status, direct.body)
    for name in ("retry-after", "retry-after-ms", "content-type"):
        assert through.headers.get(name) == direct.headers.get(name)
    assert through.headers["x-faregate-cost-usd"] == "0.000000000"
    record = rig.record(through.request_id)
    assert (record.cost_nano, record.status, record.outcome) == (0, status, "released")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [408, 504])
def test_a_timeout_that_the_provider_reports_is_charged(
    rig: Rig, tenant: Tenant, status: int, stream: bool
) -> None:
    reply = tenant.caller.post(question(stream=stream, max_completion_tokens=50), status=status)
    assert reply.status == status
    assert reply.error["message"]
    record = rig.record(reply.request_id)
    assert (record.status, record.certainty) == (status, "unknown")
    assert record.cost_nano == record.rows[0].hold_nano > 0


def test_a_refusal_of_the_providers_own_making_passes_intact(rig: Rig, tenant: Tenant) -> None:
    body = question(messages=[{"role": "nobody", "content": "hi"}])
    direct, through = rig.provider.caller().post(body), tenant.caller.post(body)
    assert through.status == direct.status == 400
    assert through.body == direct.body


@pytest.mark.parametrize("stream", [False, True])
def test_the_providers_401_does_not_leak(rig: Rig, tenant: Tenant, stream: bool) -> None:
    reply = tenant.caller.post(question(stream=stream), status=401)
    _refused(reply, 502, "upstream_unauthorized")
    assert PROVIDER_KEY[:8].encode() not in reply.body
    assert "www-authenticate" not in reply.headers


def test_a_provider_that_is_not_there(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, upstream_url=f"http://127.0.0.1:{find_free_port()}/v1")
    tenant = rig.tenant(10**9)
    for stream in (False, True):
        reply = tenant.caller.post(question(stream=stream))
        _refused(reply, 502, "upstream_unreachable")
        record = rig.record(reply.request_id)
        assert (record.cost_nano, record.outcome) == (0, "released")
    assert rig.counters(tenant.budget) == {"spent": 0, "held": 0}
    assert tenant.caller.get("/v1/models").status == 502


def test_a_provider_that_stays_silent(impatient_rig: Rig) -> None:
    tenant = impatient_rig.tenant(10**9)
    reply = tenant.caller.chat(directed={"fault": "hang"}, max_completion_tokens=50)
    error = _refused(reply, 504, "upstream_timeout")
    record = impatient_rig.record(reply.request_id)
    assert record.certainty == "unknown"
    assert (
        record.cost_nano == record.rows[0].hold_nano >= impatient_rig.truth_nano(reply.request_id)
    )
    assert reply.headers["x-faregate-cost-usd"] in error["message"]


def test_a_provider_that_is_slow_but_not_silent(impatient_rig: Rig) -> None:
    tenant = impatient_rig.tenant()
    directed = {"token_interval_ms": 50, "output_tokens": 40}
    data = tenant.caller.stream(directed=directed).all()
    assert data.endswith(b"data: [DONE]\n\n")


# Probes


def test_probes_and_metrics(rig: Rig, tenant: Tenant) -> None:
    assert tenant.caller.chat().status == 200
    assert tenant.caller.chat(model="gpt-99-nope").status == 404
    for path in ("/healthz", "/readyz"):
        assert Caller(rig.port, "").get(path).status == 200
    body = Caller(rig.port, "").get("/metrics").body.decode()
    for name in (
        "faregate_requests_total{",
        "faregate_cost_nanodollars_total{",
        "faregate_tokens_total{",
        "faregate_holds_in_flight ",
        "faregate_hold_overruns_total 0.0",
        "faregate_added_seconds",
    ):
        assert name in body, name
    assert MODEL in body
