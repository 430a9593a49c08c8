"""SIGTERM: what is in flight finishes and is settled, then the process ends."""

from __future__ import annotations

import signal
import socket
from itertools import islice

from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano
from tests.e2e.traffic import at_once


def test_streams_in_flight_finish_and_settle(make_rig: MakeRig) -> None:
    rig = make_rig()
    tenant = rig.tenant(10**12)
    directed = {"token_interval_ms": 25, "output_tokens": 60}
    streams = [tenant.caller.stream(directed=directed) for _ in range(10)]
    for stream in streams:
        list(islice(stream.events(), 2))
    left = tenant.caller.stream(directed=directed)
    left.hang_up()
    rig.gateway.send(signal.SIGTERM)
    ended = at_once(len(streams), lambda n: streams[n].all())
    assert all(data.endswith(b"data: [DONE]\n\n") for data in ended)
    assert rig.gateway.wait(30) == 0
    assert rig.redis().zcard(rig.keys.holds) == 0, "settled before the process ended"
    rig.drain()
    records, charges = rig.records(), rig.provider.charges()
    for stream in [*streams, left]:
        record = records[stream.request_id]
        (charge,) = charges[stream.request_id]
        assert (record.cost_nano, record.certainty) == (cost_nano(charge), "exact")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", rig.port)) != 0
    assert "Traceback" not in rig.output()
