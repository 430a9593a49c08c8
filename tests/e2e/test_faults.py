"""Whatever the provider does wrong: one attempt, one record, never less than it charged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.simulator.faults import Fault
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import Caller, data_of

TOKENS = 900
"""Far more than any margin that an estimate may add to what has arrived."""


@dataclass(frozen=True)
class Ending:
    """How a request with a fault must end: the client's status, and the record's certainty."""

    status: int
    certainty: str


WHOLE = {
    Fault.RESET_BEFORE_HEADERS: Ending(502, "unknown"),
    Fault.RESET_BEFORE_HEADERS_CHARGED: Ending(502, "unknown"),
    Fault.RESET_AFTER_HEADERS: Ending(502, "unknown"),
    Fault.RESET_MID_STREAM: Ending(502, "unknown"),
    Fault.TRUNCATE_CHUNK: Ending(502, "unknown"),
    Fault.HANG: Ending(504, "unknown"),
    Fault.BAD_JSON: Ending(200, "estimated"),
    Fault.NO_USAGE: Ending(200, "estimated"),
    Fault.ERROR_EVENT: Ending(500, "exact"),
    Fault.CLOSE_IDLE: Ending(200, "exact"),
    Fault.GZIP: Ending(200, "exact"),
    Fault.MISSING_DONE: Ending(200, "exact"),
    Fault.FAILED: Ending(200, "exact"),
}
STREAMED = {
    **WHOLE,
    Fault.RESET_AFTER_HEADERS: Ending(200, "estimated"),
    Fault.RESET_MID_STREAM: Ending(200, "estimated"),
    Fault.TRUNCATE_CHUNK: Ending(200, "estimated"),
    Fault.HANG: Ending(200, "estimated"),
    Fault.BAD_JSON: Ending(200, "exact"),
    Fault.ERROR_EVENT: Ending(200, "estimated"),
}


@pytest.fixture(scope="module")
def tenant(impatient_rig: Rig) -> Tenant:
    return impatient_rig.tenant(10**13)


def _ask(caller: Caller, fault: Fault, **rest: Any) -> tuple[int, str, bytes]:
    """Status, request id and body of a request that meets ``fault``."""
    directed = {"fault": fault.value, "output_tokens": TOKENS}
    stream = caller.stream(directed=directed, **rest)
    return stream.status, stream.request_id, stream.all()


def _check_record(rig: Rig, tenant: Tenant, request_id: str, certainty: str) -> None:
    record = rig.record(request_id)
    truth = rig.truth_nano(request_id)
    assert record.certainty == certainty
    if certainty == "exact":
        assert record.cost_nano == truth
    else:
        assert record.rows[0].hold_nano >= record.cost_nano >= truth
    assert rig.counters(tenant.budget)["held"] == 0


def test_every_fault_is_tested() -> None:
    assert set(WHOLE) == set(STREAMED) == set(Fault)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_whole_answer(impatient_rig: Rig, tenant: Tenant, fault: Fault) -> None:
    directed = {"fault": fault.value, "output_tokens": TOKENS}
    reply = tenant.caller.chat(directed=directed, max_completion_tokens=2000)
    assert reply.status == WHOLE[fault].status, reply.body
    if reply.status >= 500:
        assert reply.error["message"]
    _check_record(impatient_rig, tenant, reply.request_id, WHOLE[fault].certainty)
    told = reply.headers["x-faregate-cost-usd"]
    cost = impatient_rig.record(reply.request_id).cost_nano
    assert told == f"{cost // 10**9}.{cost % 10**9:09d}"


@pytest.mark.parametrize("limited", [True, False], ids=["own maximum", "no maximum"])
@pytest.mark.parametrize("fault", list(Fault))
def test_a_stream(impatient_rig: Rig, tenant: Tenant, fault: Fault, limited: bool) -> None:
    rest = {"max_completion_tokens": 2000} if limited else {}
    status, request_id, body = _ask(tenant.caller, fault, **rest)
    assert status == STREAMED[fault].status, body
    _check_record(impatient_rig, tenant, request_id, STREAMED[fault].certainty)
    if status == 200 and STREAMED[fault].certainty == "estimated" and fault is not Fault.NO_USAGE:
        last = data_of(body)[-1]
        assert last["error"]["message"], "a client must see that the stream broke"
        assert last["error"]["type"] == "server_error"
        assert not body.rstrip().endswith(b"[DONE]")


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.HANG, Fault.NO_USAGE])
def test_hidden_reasoning_is_never_estimated_below_the_hold(
    impatient_rig: Rig, tenant: Tenant, fault: Fault
) -> None:
    rest = {"model": "o4-mini", "max_completion_tokens": 6000}
    _, request_id, _ = _ask(tenant.caller, fault, **rest)
    record = impatient_rig.record(request_id)
    assert record.cost_nano == record.rows[0].hold_nano >= impatient_rig.truth_nano(request_id)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK])
def test_several_choices_break_off(
    impatient_rig: Rig, tenant: Tenant, fault: Fault, n: int
) -> None:
    _, request_id, _ = _ask(tenant.caller, fault, n=n, max_completion_tokens=2000)
    _check_record(impatient_rig, tenant, request_id, "estimated")


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_another_tier_than_the_one_asked_for(impatient_rig: Rig, tenant: Tenant, tier: str) -> None:
    reply = tenant.caller.chat(
        model="gpt-4o",
        service_tier="priority",
        max_completion_tokens=50,
        directed={"service_tier": tier},
    )
    record = impatient_rig.record(reply.request_id)
    rates = {"priority": (4250, 17_000)}
    if tier in rates:
        usage = reply.json["usage"]
        prompt, completion = rates[tier]
        cost = usage["prompt_tokens"] * prompt + usage["completion_tokens"] * completion
        assert (record.cost_nano, record.certainty) == (cost, "exact")
    else:
        # The model has no price for it: the whole hold, and said so.
        assert (record.cost_nano, record.certainty) == (record.rows[0].hold_nano, "estimated")


def test_after_an_idle_close_the_next_request_is_served(impatient_rig: Rig, tenant: Tenant) -> None:
    for number in range(15):
        directed = {"fault": "close-idle"} if number % 3 else {}
        assert tenant.caller.chat(directed=directed).status == 200
        # The provider closes after it has answered. A request that crosses with the close may
        # have reached it, and is not sent again: what is tested here is one that comes after.
        impatient_rig.provider.quiet()


def test_embeddings_meet_faults_too(impatient_rig: Rig, tenant: Tenant) -> None:
    body = {"model": "text-embedding-3-small", "input": "some words"}
    for fault in (Fault.RESET_BEFORE_HEADERS_CHARGED, Fault.NO_USAGE, Fault.BAD_JSON, Fault.HANG):
        reply = tenant.caller.post(body, "/v1/embeddings", fault=fault.value)
        _check_record(impatient_rig, tenant, reply.request_id, WHOLE[fault].certainty)


def test_all_of_it_adds_up(impatient_rig: Rig, tenant: Tenant) -> None:
    found = impatient_rig.audit()
    assert found["records"] > 0
    assert json.dumps(found)
