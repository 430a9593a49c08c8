"""Whatever the provider does wrong with a response: one record, never less than it charged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import openai
import pytest

from gateway.simulator.faults import Fault
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import RESPONSES, data_of, prompted, without_comments

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
    # The last event is the one with the usage.
    Fault.MISSING_DONE: Ending(200, "estimated"),
}
BROKEN = (
    Fault.RESET_AFTER_HEADERS,
    Fault.RESET_MID_STREAM,
    Fault.TRUNCATE_CHUNK,
    Fault.HANG,
    Fault.MISSING_DONE,
)


@pytest.fixture(scope="module")
def tenant(impatient_rig: Rig) -> Tenant:
    return impatient_rig.tenant(10**13)


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
    body = prompted(max_output_tokens=2000)
    reply = tenant.caller.post(body, RESPONSES, fault=fault.value, output_tokens=TOKENS)
    assert reply.status == WHOLE[fault].status, reply.body
    if reply.status >= 500:
        assert reply.error["message"]
    _check_record(impatient_rig, tenant, reply.request_id, WHOLE[fault].certainty)


@pytest.mark.parametrize("maximum", [2000, None])
@pytest.mark.parametrize("fault", list(Fault))
def test_a_stream(impatient_rig: Rig, tenant: Tenant, fault: Fault, maximum: int | None) -> None:
    rest = {} if maximum is None else {"max_output_tokens": maximum}
    stream = tenant.caller.streamed(
        prompted(**rest), RESPONSES, fault=fault.value, output_tokens=TOKENS
    )
    body = stream.all()
    assert stream.status == STREAMED[fault].status, body
    _check_record(impatient_rig, tenant, stream.request_id, STREAMED[fault].certainty)
    if fault in BROKEN:
        last = data_of(without_comments(body))[-1]
        assert (last["type"], last["code"]) == ("error", "upstream_stream_broken")
        assert last["message"] == last["error"]["message"]
        assert isinstance(last["sequence_number"], int)


def test_the_sdk_raises_where_a_stream_breaks(impatient_rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        stream = sdk.responses.create(
            **prompted(), stream=True, extra_headers={"x-sim-fault": "reset-mid-stream"}
        )
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)
    impatient_rig.drain()


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.HANG, Fault.NO_USAGE])
def test_hidden_reasoning_is_never_estimated_below_the_hold(
    impatient_rig: Rig, tenant: Tenant, fault: Fault
) -> None:
    body = prompted(model="o4-mini", max_output_tokens=6000)
    stream = tenant.caller.streamed(body, RESPONSES, fault=fault.value, output_tokens=TOKENS)
    stream.all()
    record = impatient_rig.record(stream.request_id)
    assert record.cost_nano == record.rows[0].hold_nano
    assert record.cost_nano >= impatient_rig.truth_nano(stream.request_id)


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.TRUNCATE_CHUNK])
@pytest.mark.parametrize(
    "rest",
    [
        {
            "input": "Please call the tool.",
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        },
        {"input": "Search the web.", "tools": [{"type": "web_search"}]},
    ],
    ids=["call", "search"],
)
def test_calls_and_searches_break_off(
    impatient_rig: Rig, tenant: Tenant, fault: Fault, rest: dict[str, Any]
) -> None:
    body = {**prompted(), **rest}
    stream = tenant.caller.streamed(body, RESPONSES, fault=fault.value, tool_calls=2)
    stream.all()
    _check_record(impatient_rig, tenant, stream.request_id, "estimated")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("events", [0, 1, 20])
def test_a_client_that_leaves_is_charged_to_the_nano_dollar(
    rig: Rig, events: int, reset: bool
) -> None:
    tenant = rig.tenant(10**12)
    stream = tenant.caller.streamed(prompted(), RESPONSES, token_interval_ms=5, output_tokens=40)
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up(reset=reset)
    record = rig.record(stream.request_id)
    assert (record.cost_nano, record.certainty) == (rig.truth_nano(stream.request_id), "exact")
    (charge,) = rig.provider.charges()[stream.request_id]
    assert charge.finished, "the answer was not read to its end"


def test_over_the_drain_cap_it_is_estimated_and_not_too_low(impatient_rig: Rig) -> None:
    """The cap is 0.2 s there."""
    tenant = impatient_rig.tenant(10**12)
    stream = tenant.caller.streamed(
        prompted(), RESPONSES, token_interval_ms=2, output_tokens=TOKENS
    )
    for _ in islice(stream.events(), 3):
        pass
    stream.hang_up()
    _check_record(impatient_rig, tenant, stream.request_id, "estimated")


def test_all_of_it_adds_up(impatient_rig: Rig, tenant: Tenant) -> None:
    assert impatient_rig.audit()["records"] > 0
