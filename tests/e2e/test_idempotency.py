"""``Idempotency-Key``: a client's retry neither runs nor bills twice."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import openai
import pytest

from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, EMBEDDINGS, EventStream, Reply, at_once, question, sim

REPLAY = "x-faregate-idempotent-replay"


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _post(tenant: Tenant, key: str, body: Any, path: str = CHAT, **directives: object) -> Reply:
    headers = {"idempotency-key": key, **sim(**directives)}
    return tenant.caller.request("POST", path, json.dumps(body).encode(), headers)


def _charges(rig: Rig, request_id: str) -> int:
    rig.provider.quiet()
    return len(rig.provider.charges().get(request_id, []))


def test_a_retry_gets_the_first_answer(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question()
    before = rig.provider.totals()["requests"]
    first = _post(tenant, key, body)
    again = _post(tenant, key, body)
    assert (again.status, again.body) == (first.status, first.body)
    assert REPLAY not in first.headers
    assert again.headers[REPLAY] == "true"
    for name in ("x-faregate-request-id", "x-faregate-cost-usd", "x-request-id", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert rig.provider.totals()["requests"] == before + 1
    assert _charges(rig, first.request_id) == 1


def test_another_body_or_path_is_refused(tenant: Tenant) -> None:
    key, body = uuid4().hex, question()
    assert _post(tenant, key, body).status == 200
    for reply in (
        _post(tenant, key, question()),
        _post(tenant, key, {"model": "text-embedding-3-small", "input": "x"}, EMBEDDINGS),
    ):
        assert reply.status == 409
        assert reply.error["code"] == "idempotency_key_reused"
        assert reply.headers["x-should-retry"] == "false"


def test_clients_do_not_share_keys(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question()
    other = rig.tenant(10**12)
    first, second = _post(tenant, key, body), _post(other, key, body)
    assert REPLAY not in second.headers
    assert first.request_id != second.request_id


def test_one_of_many_at_once_runs(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question()
    before = rig.provider.totals()["requests"]
    replies = at_once(12, lambda _: _post(tenant, key, body, latency_ms=500))
    assert {reply.status for reply in replies} <= {200, 409}
    answered = [reply for reply in replies if reply.status == 200]
    assert len({reply.body for reply in answered}) == 1
    for reply in replies:
        if reply.status == 409:
            assert reply.error["code"] == "idempotency_in_progress"
            assert reply.headers["retry-after"] == "1"
    assert rig.provider.totals()["requests"] == before + 1


def test_what_was_refused_runs_again(rig: Rig) -> None:
    tenant = rig.tenant(0)
    key, body = uuid4().hex, question()
    assert _post(tenant, key, body).status == 429
    rig.directory.change_budget(str(tenant.budget), limit_nano=10**12)
    rig.publish()
    assert _post(tenant, key, body).status == 200
    rejected = _post(tenant, key2 := uuid4().hex, body, status=500)
    assert rejected.status == 500
    assert _post(tenant, key2, body).status == 200


def test_what_may_have_been_billed_does_not(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question()
    first = _post(tenant, key, body, fault="reset-before-headers-charged")
    assert first.status == 502
    again = _post(tenant, key, body)
    assert (again.status, again.body) == (502, first.body)
    assert again.headers[REPLAY] == "true"
    assert _charges(rig, first.request_id) == 1


def test_a_stream_is_given_again(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question(stream=True, stream_options={"include_usage": True})
    first, again = _post(tenant, key, body), _post(tenant, key, body)
    assert again.headers[REPLAY] == "true"
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.body == first.body
    assert again.body.rstrip().endswith(b"data: [DONE]")
    assert _charges(rig, first.request_id) == 1


def test_a_stream_cut_off_by_its_client_is_there_for_the_retry(rig: Rig, tenant: Tenant) -> None:
    key, body = uuid4().hex, question(stream=True, max_completion_tokens=60)
    headers = {"idempotency-key": key, **sim(token_interval_ms=10)}
    raw = json.dumps(body).encode()
    stream = EventStream(tenant.caller._send("POST", CHAT, raw, headers))
    next(stream.events())
    request_id = stream.request_id
    stream.hang_up()
    again = until(
        lambda: reply if (reply := _post(tenant, key, body)).status == 200 else None,
        20,
        "the stream to be read to its end",
    )
    assert again.headers[REPLAY] == "true"
    assert again.request_id == request_id
    assert again.body.rstrip().endswith(b"data: [DONE]")
    assert _charges(rig, request_id) == 1


def test_the_sdk_retries_with_its_key(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        key = {"Idempotency-Key": uuid4().hex}
        body = question()
        first = sdk.chat.completions.create(**body, extra_headers=key)
        again = sdk.chat.completions.create(**body, extra_headers=key)
        assert again == first
        with pytest.raises(openai.ConflictError):
            sdk.chat.completions.create(**question(), extra_headers=key)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_bad_keys_are_refused(tenant: Tenant, key: str) -> None:
    reply = _post(tenant, key, question())
    assert reply.status == 400
    assert "Idempotency-Key" in reply.error["message"]
