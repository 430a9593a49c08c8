"""Many clients that are slow on purpose, and some that are quick on purpose: others are served.

Slow in every part of a request: the head, the body, and reading the answer. Quick: a body without
end, from somebody who has no key. Neither holds more than a connection, and that for a time.
"""

from __future__ import annotations

import contextlib
import json
import resource
import selectors
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.media import send_form
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, at_once

EACH = 200
"""Slow clients of each kind."""
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def rig(long_lived_rig: MakeRig) -> Rig:
    return long_lived_rig(workers=1, client_timeout_seconds=3, keepalive_seconds=3)


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def head(key: str, *lines: str) -> bytes:
    found = [
        f"POST {CHAT} HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        *lines,
    ]
    return "\r\n".join(found).encode() + b"\r\n\r\n"


class Slow:
    """Sockets that send a byte now and then until they are closed at the other end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = contextlib.ExitStack()
        self._watched = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._dripping: list[socket.socket] = []
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self.open = 0

    def connect(self, begun: bytes, *, drips: bool, reads: bool = True) -> None:
        """One more, which has sent ``begun``; one that does not read is never found closed."""
        sock = self._stack.enter_context(contextlib.closing(socket.socket()))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", self._port))
        sock.sendall(begun)
        if drips:
            self._dripping.append(sock)
        if reads:
            self._watched.register(sock, selectors.EVENT_READ)
            self.open += 1

    def start(self) -> None:
        self._thread.start()

    def _drip(self) -> None:
        # Several times within the limit on silence.
        while not self._stop.wait(0.4):
            for sock in self._dripping:
                with contextlib.suppress(OSError):
                    sock.send(b"x")
            for key, _ in self._watched.select(0):
                gone = key.fileobj
                assert isinstance(gone, socket.socket)
                data = b""
                with contextlib.suppress(OSError):
                    data = gone.recv(65_536)
                if not data:
                    self._watched.unregister(gone)
                    self.open -= 1

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._watched.close()
        self._stack.close()


@pytest.fixture
def slow(rig: Rig) -> Iterator[Slow]:
    found = Slow(rig.port)
    yield found
    found.close()


def worker(rig: Rig) -> psutil.Process:
    (found,) = psutil.Process(rig.gateway.pid).children()
    return found


def test_hundreds_of_slow_clients_keep_nobody_waiting(rig: Rig, tenant: Tenant, slow: Slow) -> None:
    content = b'{"a": "' + b"x" * 8 * MEGABYTE + b'"}\n'
    form = [("file", "large.jsonl", "application/jsonl", content)]
    made = send_form(tenant.caller, "/v1/files", {"purpose": "fine-tune"}, form)
    key = tenant.key.secret
    lines = ["host: gateway", f"authorization: Bearer {key}", "", ""]
    download = "\r\n".join([f"GET /v1/files/{made.json['id']}/content HTTP/1.1", *lines]).encode()
    before = worker(rig).memory_info().rss
    for _ in range(EACH):
        slow.connect(b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\nx-slow: ", drips=True)
        slow.connect(head(key, "content-length: 100000") + b"{", drips=True)
        slow.connect(download, drips=False, reads=False)
    slow.start()
    caller = rig.tenant(10**12).caller
    # Each waits at most as long as its own client does.
    assert {reply.status for reply in at_once(40, lambda _: caller.chat("hi"), 4)} == {200}
    assert worker(rig).memory_info().rss - before < 300 * MEGABYTE
    # A head and a body that never end are not waited for, whatever trickles in.
    until(lambda: slow.open == 0, 60, "slow senders to be cut off")
    # Nor is an answer kept for who does not read it.
    until(lambda: rig.output().count("client.does_not_read") >= EACH, 60, "readers to be given up")
    assert caller.chat("hi").status == 200
    rig.drain(60)
    assert "Traceback" not in rig.output()


@pytest.mark.parametrize("framing", ["content-length: 100000000000", "transfer-encoding: chunked"])
def test_a_body_without_end_and_without_a_key_keeps_nobody_waiting(
    rig: Rig, tenant: Tenant, framing: str
) -> None:
    process, stop = worker(rig), threading.Event()
    piece = b"x" * MEGABYTE
    if "chunked" in framing:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    first_lines: list[bytes] = []

    def flood(_: int) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", rig.port), timeout=1) as sock,
        ):
            sock.sendall(head("fg-nobody", framing))
            sent_any = False
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    sock.sendall(piece)
                if not sent_any:
                    # The answer does not wait for the end of what nobody reads.
                    first_lines.append(sock.recv(65_536).split(b"\r\n")[0])
                    sent_any = True

    before = process.memory_info().rss
    flooding = threading.Thread(target=at_once, args=(4, flood))
    flooding.start()
    try:
        until(lambda: len(first_lines) == 4, 20, "all to be refused")
        assert {line[:12] for line in first_lines} == {b"HTTP/1.1 401"}
        replies = at_once(12, lambda _: tenant.caller.chat("hi"), 4)
        assert {reply.status for reply in replies} == {200}
        assert process.memory_info().rss - before < 100 * MEGABYTE
    finally:
        stop.set()
        flooding.join(20)
    assert worker(rig).pid == process.pid


def test_a_refusal_reaches_who_sends_all_before_reading(rig: Rig) -> None:
    """As most clients do. Were the connection closed under them they would see no answer."""
    body = b'{"model": "gpt-4o-mini", "input": "' + b"x" * 20 * MEGABYTE + b'"}'
    sent = head("fg-nobody", f"content-length: {len(body)}", "connection: close") + body
    with socket.create_connection(("127.0.0.1", rig.port), timeout=20) as sock:
        sock.sendall(sent)
        reply = b""
        while more := sock.recv(65_536):
            reply += more
    assert reply.startswith(b"HTTP/1.1 401 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_api_key"


def test_requests_without_pause_leave_others_their_turn(rig: Rig, tenant: Tenant) -> None:
    """Thousands of requests in one go, on one connection, by somebody without a key."""
    stop = threading.Event()
    many = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n" * 2000

    def pipeline(_: int) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", rig.port), timeout=1) as sock,
        ):
            sock.setblocking(False)
            while not stop.is_set():
                with contextlib.suppress(BlockingIOError):
                    sock.send(many)
                with contextlib.suppress(BlockingIOError):
                    sock.recv(MEGABYTE)

    flooding = threading.Thread(target=at_once, args=(2, pipeline))
    flooding.start()
    try:
        replies = at_once(12, lambda _: tenant.caller.chat("hi"), 4)
        assert {reply.status for reply in replies} == {200}
    finally:
        stop.set()
        flooding.join(20)
