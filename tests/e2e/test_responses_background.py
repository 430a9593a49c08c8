"""Background responses: their hold waits with them, and the provider's figures settle it."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import Any

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano, usd
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import RESPONSES, Caller, Reply, data_of, prompted, sim, without_comments

SOON: dict[str, Any] = {"background_ms": 200}
LATE: dict[str, Any] = {"background_ms": 600_000}


@pytest.fixture
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def begin(tenant: Tenant, directed: dict[str, Any], **body: Any) -> Reply:
    reply = tenant.caller.post(prompted(background=True, **body), RESPONSES, **directed)
    assert reply.status == 200, reply.body
    return reply


def status_of(caller: Caller, response_id: str) -> str:
    return str(caller.get(f"{RESPONSES}/{response_id}").json["status"])


def check_exact(rig: Rig, request_id: str) -> None:
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (rig.truth_nano(request_id), "exact")
    assert record.rows[0].hold_nano >= record.cost_nano


def test_the_hold_waits_and_the_providers_figures_settle_it(rig: Rig, tenant: Tenant) -> None:
    reply = begin(tenant, {"background_ms": 1000})
    assert reply.json["status"] == "queued"
    assert "x-faregate-cost-usd" not in reply.headers
    held = rig.counters(tenant.budget)
    assert held["spent"] == 0
    assert reply.headers["x-faregate-held-usd"] == usd(held["held"])
    check_exact(rig, reply.request_id)
    assert rig.counters(tenant.budget) == {"spent": rig.truth_nano(reply.request_id), "held": 0}
    # Reading it, however often, is free.
    for _ in range(3):
        again = tenant.caller.get(f"{RESPONSES}/{reply.json['id']}")
        assert again.json["status"] == "completed"
        assert again.headers["x-faregate-cost-usd"] == usd(0)
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] == rig.truth_nano(reply.request_id)


def test_async(rig: Rig, tenant: Tenant) -> None:
    async def run() -> list[str]:
        async with tenant.caller.async_sdk() as sdk:
            begun = await asyncio.gather(
                *(
                    sdk.responses.with_raw_response.create(
                        **prompted(background=True), extra_headers={"x-sim-background-ms": "100"}
                    )
                    for _ in range(5)
                )
            )
            return [one.headers["x-faregate-request-id"] for one in begun]

    for request_id in asyncio.run(run()):
        check_exact(rig, request_id)


@pytest.mark.parametrize("fault", ["failed", None])
@pytest.mark.parametrize("maximum", [20, None])
def test_every_end_with_usage_is_exact(
    rig: Rig, tenant: Tenant, fault: str | None, maximum: int | None
) -> None:
    directed = {**SOON, **({"fault": fault} if fault else {}), "output_tokens": 100}
    rest = {} if maximum is None else {"max_output_tokens": maximum}
    reply = begin(tenant, directed, **rest)
    check_exact(rig, reply.request_id)
    ended = status_of(tenant.caller, reply.json["id"])
    assert ended == ("failed" if fault else "incomplete" if maximum else "completed")


def test_searches_in_the_background_are_charged(rig: Rig, tenant: Tenant) -> None:
    body = {"tools": [{"type": "web_search"}], "text": {"verbosity": "low"}}
    reply = begin(tenant, {**SOON, "tool_calls": 3}, **body, tool_choice={"type": "web_search"})
    check_exact(rig, reply.request_id)
    assert rig.record(reply.request_id).cost_nano > 3 * 10_000_000


@pytest.mark.parametrize("queued", [True, False])
def test_a_cancelled_response_costs_its_hold_for_nobody_says_what_ran(
    rig: Rig, tenant: Tenant, queued: bool
) -> None:
    directed = LATE if queued else {"background_ms": 20_000}
    with tenant.caller.sdk() as sdk:
        reply = begin(tenant, directed, max_output_tokens=1000)
        response_id = reply.json["id"]
        if not queued:
            until(lambda: status_of(tenant.caller, response_id) == "in_progress", 10, "it runs")
        assert sdk.responses.cancel(response_id).status == "cancelled"
    record = rig.record(reply.request_id)
    assert (record.cost_nano, record.certainty) == (record.rows[0].hold_nano, "unknown")
    assert record.rows[0].reason == "usage_not_reported_cancelled"
    assert record.cost_nano >= rig.truth_nano(reply.request_id)
    assert rig.counters(tenant.budget) == {"spent": record.cost_nano, "held": 0}


def test_a_running_response_is_not_deleted_before_its_cost_is_known(
    rig: Rig, tenant: Tenant
) -> None:
    reply = begin(tenant, LATE)
    path = f"{RESPONSES}/{reply.json['id']}"
    refused = tenant.caller.request("DELETE", path)
    assert (refused.status, refused.error["code"]) == (409, "response_not_settled")
    assert int(refused.headers["retry-after"]) >= 1
    tenant.caller.post({}, f"{path}/cancel")
    rig.drain()
    # That it is settled is written down after it is settled.
    deleted = until(
        lambda: r if (r := tenant.caller.request("DELETE", path)).status != 409 else None,
        20,
        "the end of the response to be written down",
    )
    assert deleted.json["deleted"] is True
    assert tenant.caller.get(path).status == 404


def test_only_what_the_budget_affords_is_begun(rig: Rig) -> None:
    probe = rig.tenant(10**12)
    begun = begin(probe, LATE, max_output_tokens=1000)
    hold = rig.counters(probe.budget)["held"]
    poor = rig.tenant(hold + hold // 2)
    first = begin(poor, LATE, max_output_tokens=1000)
    second = poor.caller.post(prompted(background=True, max_output_tokens=1000), RESPONSES)
    assert second.status == 429
    for caller, reply in ((probe.caller, begun), (poor.caller, first)):
        caller.post({}, f"{RESPONSES}/{reply.json['id']}/cancel")
    rig.drain()


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_with_its_key_begins_nothing_new(rig: Rig, tenant: Tenant, stream: bool) -> None:
    raw = json.dumps(prompted(background=True, stream=stream)).encode()
    headers = {"idempotency-key": f"begin-{tenant.name}", **sim(background_ms=200)}
    first, again = (tenant.caller.request("POST", RESPONSES, raw, headers) for _ in range(2))
    assert again.headers["x-faregate-idempotent-replay"] == "true"
    assert again.body == first.body
    check_exact(rig, first.request_id)
    truth = rig.truth_nano(first.request_id)
    assert rig.counters(tenant.budget) == {"spent": truth, "held": 0}


def test_a_gateway_that_dies_changes_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    tenant = rig.tenant(10**12)
    reply = begin(tenant, {"background_ms": 1500})
    rig.gateway.kill_group()
    check_exact(rig, reply.request_id)
    rig.restart_gateway()
    assert status_of(rig.again(tenant), reply.json["id"]) == "completed"


# Streams of what runs in the background


def test_its_events_pass_as_they_come(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        stream = sdk.responses.create(
            **prompted(), background=True, stream=True, extra_headers={"x-sim-background-ms": "300"}
        )
        request_id = stream.response.headers["x-faregate-request-id"]
        events = list(stream)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        last = events[-1]
        assert last.type == "response.completed"
        check_exact(rig, request_id)
        # They can be had again, from any of them on, as bytes of the provider's own.
        again = list(sdk.responses.retrieve(last.response.id, stream=True, starting_after=3))
    assert again == events[4:]
    path = f"{RESPONSES}/{last.response.id}?stream=true"
    bare = tenant.caller.events_of(path).all()
    assert b": faregate" not in bare
    assert len(data_of(bare)) == len(events)
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] == rig.truth_nano(request_id)


@pytest.mark.parametrize("events", [0, 1, 5])
def test_who_leaves_is_charged_what_it_cost(rig: Rig, tenant: Tenant, events: int) -> None:
    body = prompted(background=True)
    stream = tenant.caller.streamed(body, RESPONSES, background_ms=800, output_tokens=50)
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up()
    check_exact(rig, stream.request_id)
    (charge,) = rig.provider.charges()[stream.request_id]
    assert charge.finished
    assert rig.counters(tenant.budget) == {"spent": cost_nano(charge), "held": 0}


@pytest.mark.parametrize("fault", ["reset-mid-stream", "truncate-chunk", "error-event"])
def test_events_that_break_off_can_be_taken_up_again(rig: Rig, tenant: Tenant, fault: str) -> None:
    body = prompted(background=True)
    stream = tenant.caller.streamed(
        body, RESPONSES, fault=fault, background_ms=300, output_tokens=60
    )
    events = data_of(without_comments(stream.all()))
    assert events[-1]["type"] == "error"
    if fault != "error-event":
        assert "goes on" in events[-1]["message"]
    response_id = events[0]["response"]["id"]
    check_exact(rig, stream.request_id)
    assert status_of(tenant.caller, response_id) == "completed"


@pytest.mark.parametrize("fault", ["reset-after-headers", "reset-before-headers-charged"])
def test_what_was_never_named_costs_its_hold(rig: Rig, tenant: Tenant, fault: str) -> None:
    body = prompted(background=True, max_output_tokens=500)
    stream = tenant.caller.streamed(body, RESPONSES, fault=fault, background_ms=100)
    stream.all()
    record = rig.record(stream.request_id)
    assert record.cost_nano == record.rows[0].hold_nano
    assert record.certainty in ("estimated", "unknown")
    assert rig.counters(tenant.budget) == {"spent": record.cost_nano, "held": 0}


def test_all_of_it_adds_up(rig: Rig) -> None:
    assert rig.audit()["records"] >= 0
