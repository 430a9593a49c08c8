"""Clients that leave: the provider's charge is recorded all the same, to the nano-dollar."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano, usd
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig
from tests.e2e.traffic import CHAT, Caller, question


def _leave_after(caller: Caller, events: int, *, reset: bool = False, **directed: Any) -> str:
    stream = caller.stream(directed=directed)
    assert stream.status == 200
    for _ in islice(stream.events(), events):
        pass
    stream.hang_up(reset=reset)
    return stream.request_id


def test_100_clients_hang_up_after_three_chunks(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    directed: dict[str, Any] = {"token_interval_ms": 10, "output_tokens": 120}
    with ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(lambda _: _leave_after(tenant.caller, 3, **directed), range(100)))
    rig.drain()
    rig.provider.quiet()
    records, charges = rig.records(), rig.provider.charges()
    for request_id in ids:
        (charge,) = charges[request_id]
        assert charge.finished, "the answer was not read to its end"
        assert records[request_id].certainty == "exact"
        assert records[request_id].cost_nano == cost_nano(charge)
    recorded = sum(records[request_id].cost_nano for request_id in ids)
    truth = sum(cost_nano(charges[request_id][0]) for request_id in ids)
    report(f"recorded ${usd(recorded)}, truth ${usd(truth)}, difference {recorded - truth}")
    assert rig.counters(tenant.budget) == {"spent": truth, "held": 0}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("events", [0, 1, 20])
def test_a_client_leaves_at_any_time(rig: Rig, events: int, reset: bool) -> None:
    tenant = rig.tenant(10**12)
    directed: dict[str, Any] = {"token_interval_ms": 5, "output_tokens": 40}
    request_id = _leave_after(tenant.caller, events, reset=reset, **directed)
    record = rig.record(request_id)
    assert (record.cost_nano, record.certainty) == (rig.truth_nano(request_id), "exact")


def _send_and_leave(caller: Caller, **body: Any) -> None:
    raw = json.dumps(question(**body)).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {caller.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n"
        "x-sim-latency-ms: 300\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", caller.port)) as sock:
        sock.sendall(head.encode() + raw)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_leaves_before_the_first_byte(rig: Rig, stream: bool) -> None:
    tenant = rig.tenant(10**12)
    _send_and_leave(tenant.caller, stream=stream)
    mine = f"what {tenant.name} spent"
    until(lambda: rig.counters(tenant.budget)["spent"], 10, mine)
    rig.drain()
    (record,) = [r for r in rig.records().values() if r.rows[0].client_id == tenant.id]
    request_id = record.rows[0].request_id
    assert (record.cost_nano, record.certainty) == (rig.truth_nano(request_id), "exact")


@pytest.mark.parametrize("tokens", [100, 3000])
@pytest.mark.parametrize("interval", [0, 2])
def test_over_the_drain_cap_it_is_estimated_and_not_too_low(
    impatient_rig: Rig, tokens: int, interval: int
) -> None:
    """The cap is 0.2 s there; an answer that is faster than that is read to its end."""
    tenant = impatient_rig.tenant(10**12)
    directed: dict[str, Any] = {"token_interval_ms": interval, "output_tokens": tokens}
    request_id = _leave_after(tenant.caller, 3, **directed)
    record = impatient_rig.record(request_id)
    truth = impatient_rig.truth_nano(request_id)
    if record.certainty == "exact":
        assert record.cost_nano == truth
    else:
        assert record.certainty == "estimated"
        assert record.rows[0].hold_nano >= record.cost_nano >= truth


def test_without_any_drain_it_is_not_too_low_either(make_rig: MakeRig) -> None:
    """A provider may be a thousand tokens ahead of what a client has read."""
    rig = make_rig(workers=1, drain_streams_max=0)
    tenant = rig.tenant(10**12)
    for interval in (0, 1):
        directed: dict[str, Any] = {"token_interval_ms": interval, "output_tokens": 1500}
        request_id = _leave_after(tenant.caller, 3, **directed)
        record = rig.record(request_id)
        # What the provider has sent at once is read at once: to its end, where it had come.
        assert record.certainty == "estimated" or not interval
        assert record.rows[0].hold_nano >= record.cost_nano >= rig.truth_nano(request_id)
