"""Clients that stop in the middle: of their request, or of reading the answer."""

from __future__ import annotations

import http.client
import json
import select
import socket

import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, question


@pytest.fixture(scope="module")
def rig(long_lived_rig: MakeRig) -> Rig:
    return long_lived_rig(workers=1, client_timeout_seconds=0.5)


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def _connected(rig: Rig) -> socket.socket:
    sock = socket.socket()
    # Small, so that little is on its way when nobody reads.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", rig.port))
    return sock


def _head(tenant: Tenant, *lines: str) -> bytes:
    head = [
        f"POST {CHAT} HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {tenant.key.secret}",
        "content-type: application/json",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def _to_the_end(sock: socket.socket) -> bytes:
    received = b""
    while more := sock.recv(65_536):
        received += more
    return received


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("content-length: 100", b'{"model":'),
        ("content-length: 100", b""),
        ("transfer-encoding: chunked", b'9\r\n{"model":\r\n'),
        ("transfer-encoding: chunked", b"9\r\n"),
    ],
)
def test_a_body_that_stops(rig: Rig, tenant: Tenant, line: str, part: bytes) -> None:
    with _connected(rig) as sock:
        sock.sendall(_head(tenant, line) + part)
        head, _, body = _to_the_end(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    error = json.loads(body)["error"]
    assert error["code"] == "request_timeout"
    assert "FAREGATE_CLIENT_TIMEOUT_SECONDS" in error["message"]
    assert "Traceback" not in rig.output()


def test_a_pause_between_requests_is_no_silence(rig: Rig, tenant: Tenant) -> None:
    body = json.dumps(question("hi", max_completion_tokens=5))
    headers = {
        "authorization": f"Bearer {tenant.key.secret}",
        "content-type": "application/json",
    }
    connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=20)
    connection.connect()
    sock = connection.sock
    for _ in range(2):
        connection.request("POST", CHAT, body, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        # Twice the timeout; what is awaited is that nothing happens.
        assert select.select([sock], [], [], 1.0)[0] == []
    assert connection.sock is sock
    connection.close()


def test_a_stream_that_nobody_reads_is_settled(rig: Rig) -> None:
    reader = rig.tenant(10**12)
    body = json.dumps(question("hi", stream=True, n=4)).encode()
    lines = [f"content-length: {len(body)}", "x-sim-output-tokens: 16000"]
    with _connected(rig) as sock:
        sock.sendall(_head(reader, *lines) + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        until(lambda: "client.does_not_read" in rig.output(), 60, "the client to be given up")
        rig.drain(60)
    (record,) = [r for r in rig.records().values() if r.rows[0].client_id == reader.id]
    request_id = record.rows[0].request_id
    assert (record.cost_nano, record.certainty) == (rig.truth_nano(request_id), "exact")
    assert "Traceback" not in rig.output()
