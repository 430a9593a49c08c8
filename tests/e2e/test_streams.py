"""Streams pass as they come: the provider's bytes, at the provider's pace."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import data_of, without_comments

SAME: dict[str, Any] = {"max_completion_tokens": 400, "seed": 11}
CHANGING = re.compile(rb'"id":"[^"]*"|"created":\d+|"cached_tokens":\d+')


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def test_the_bytes_are_the_providers_own(rig: Rig, tenant: Tenant) -> None:
    options = {"stream_options": {"include_usage": True}, **SAME}
    direct = rig.provider.caller().stream("Say the same", **options).all()
    through = tenant.caller.stream("Say the same", **options).all()
    assert CHANGING.sub(b"", without_comments(through)) == CHANGING.sub(b"", direct)
    assert through.count(b"\n\n: faregate ") == 1


@pytest.mark.parametrize("n", [1, 3])
def test_nothing_of_usage_is_left_where_it_was_not_asked_for(
    rig: Rig, tenant: Tenant, n: int
) -> None:
    direct = rig.provider.caller().stream("Say the same", n=n, **SAME).all()
    through = tenant.caller.stream("Say the same", n=n, **SAME).all()
    assert b"usage" not in through
    assert CHANGING.sub(b"", without_comments(through)) == CHANGING.sub(b"", direct)


def test_the_comment_tells_the_cost_before_the_end_mark(rig: Rig, tenant: Tenant) -> None:
    stream = tenant.caller.stream()
    data = stream.all()
    comment = data.index(b": faregate ")
    assert comment < data.index(b"data: [DONE]")
    cost = rig.truth_nano(stream.request_id)
    assert f"cost_usd=0.{cost:09d} certainty=exact".encode() in data[comment:]


def test_the_first_event_comes_before_the_last_is_made(rig: Rig, tenant: Tenant) -> None:
    stream = tenant.caller.stream(directed={"token_interval_ms": 20, "output_tokens": 60})
    events = stream.events()
    next(events)
    # The simulator charges when all events are made; at the first event it must not have.
    assert stream.request_id not in rig.provider.charges()
    assert sum(1 for _ in events) > 50
    assert rig.record(stream.request_id).cost_nano == rig.truth_nano(stream.request_id)


def test_a_silent_provider_is_bridged_by_comments(impatient_rig: Rig) -> None:
    tenant = impatient_rig.tenant()
    stream = tenant.caller.stream(directed={"first_byte_ms": 700, "output_tokens": 5})
    data = stream.all()
    assert data.count(b": waiting for the provider\n\n") >= 2
    assert data.endswith(b"data: [DONE]\n\n")


def test_many_streams_in_one_worker(impatient_rig: Rig) -> None:
    tenant = impatient_rig.tenant()
    directed = {"token_interval_ms": 5, "output_tokens": 60}
    streams = [tenant.caller.stream(directed=directed) for _ in range(100)]
    ended = [stream.all() for stream in streams]
    assert all(data.endswith(b"data: [DONE]\n\n") for data in ended)
    impatient_rig.drain()
    records = impatient_rig.records()
    for stream in streams:
        assert records[stream.request_id].cost_nano == impatient_rig.truth_nano(stream.request_id)


# A provider with habits of its own: line ends, and chunks that end anywhere.

_ODD = (
    b": hello\r\n\r\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"\xed\x95\x9c"}}],"usage":null}\r\n\r\n'
    b'event: message\r\ndata: {"choices":[{"index":0,\r\n'
    b'data: "delta":{"content":"b \\"usage\\" c"}}],"usage":null}\r\n\r\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\r\n\r\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}'
    b"\r\n\r\ndata: [DONE]\r\n\r\n"
)


class _OddHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        size = self.server.chunk_size  # type: ignore[attr-defined]
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(_ODD), size):
            piece = _ODD[start : start + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def odd_provider() -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OddHandler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_any_line_ends_and_any_chunks(
    make_rig: MakeRig, odd_provider: socketserver.ThreadingTCPServer, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{odd_provider.server_address[1]}/v1"
    rig = make_rig(upstream_url=url, workers=1)
    tenant = rig.tenant()
    for size in (1, 2, 3, 7, 64, 5000):
        odd_provider.chunk_size = size  # type: ignore[attr-defined]
        shown = tenant.caller.stream(stream_options={"include_usage": True}, model="gpt-4o")
        assert b"".join(e for e in shown.events() if b": faregate" not in e) == _ODD, size
        stream = tenant.caller.stream(model="gpt-4o")
        hidden = stream.all()
        assert b'"usage":' not in hidden
        assert b'b \\"usage\\" c' in hidden
        assert [chunk["choices"][0]["index"] for chunk in data_of(hidden)[:1]] == [0]
        record = rig.record(stream.request_id)
        assert (record.cost_nano, record.certainty) == (8 * 2500 + 2 * 10_000, "exact")
