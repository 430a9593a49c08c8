from __future__ import annotations

import errno
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader, InvalidRequestLine

from gateway import green_worker
from gateway.green_worker import GreenWorker, _discard, _Idle, _Patient

Pair = tuple[Any, Any]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    yield ours, theirs
    ours.close()
    theirs.close()


class Request:
    """What the worker touches of gunicorn's request."""

    def __init__(self, sock: Any) -> None:
        self.unreader = SimpleNamespace(sock=sock)
        self.body: Any = None
        self.closed = False

    def force_close(self) -> None:
        self.closed = True


# Stopping


def test_an_idle_connection_is_cut() -> None:
    waiting: set[_Idle] = set()

    def connection() -> str:
        with _Idle(waiting, 60):
            Event().wait()
            return "a request"
        return "cut"

    task = gevent.spawn(connection)
    gevent.idle()
    (idle,) = waiting
    idle.cut()
    assert task.get(timeout=10) == "cut"
    assert waiting == set()


def test_a_request_that_comes_at_the_last_moment_is_served() -> None:
    waiting: set[_Idle] = set()
    arrived, served = Event(), Event()

    def connection() -> str:
        with _Idle(waiting, 60):
            arrived.wait()
        served.wait()
        return "served"

    task = gevent.spawn(connection)
    gevent.idle()
    (idle,) = waiting
    # In one turn of the event loop: the bytes first, then the cut.
    arrived.set()
    idle.cut()
    gevent.idle()
    gevent.idle()
    served.set()
    assert task.get(timeout=10) == "served"


# Clients that stop


def test_a_client_that_does_not_read_is_as_good_as_gone(pair: Pair) -> None:
    ours, _ = pair
    with gevent.Timeout(10), _Patient(ours, Request(ours), 0.05) as patient:
        with pytest.raises(BrokenPipeError) as raised:
            patient.sendall(b"x" * 1_000_000)
        assert raised.value.errno == errno.EPIPE


def test_a_client_that_reads_slowly_gets_everything(pair: Pair) -> None:
    """The limit is on each wait, so the whole may take many times as long."""
    ours, theirs = pair
    sent = bytes(range(256)) * 400
    received = b""

    def read_slowly() -> bytes:
        nonlocal received
        while len(received) < len(sent):
            gevent.sleep(0.02)
            received += theirs.recv(2048)
        return received

    reader = gevent.spawn(read_slowly)
    with gevent.Timeout(30), _Patient(ours, Request(ours), 0.5) as patient:
        patient.sendall(sent)
    assert reader.get(timeout=10) == sent


def test_a_client_that_sends_nothing_is_not_served_on(pair: Pair) -> None:
    ours, theirs = pair
    request = Request(ours)
    with gevent.Timeout(10), _Patient(ours, request, 0.02) as patient:
        assert request.unreader.sock is patient
        theirs.sendall(b"some")
        assert patient.recv(100) == b"some"
        assert not request.closed
        with pytest.raises(TimeoutError):
            patient.recv(100)
        assert request.closed
    assert request.unreader.sock is ours
    # The wait for the next request is as long as the worker says.
    assert ours.gettimeout() is None


def test_a_client_that_sends_one_byte_now_and_then_is_not_served_on(pair: Pair) -> None:
    ours, theirs = pair

    def drip() -> None:
        while True:
            gevent.sleep(0.01)
            theirs.sendall(b"x")

    dripping = gevent.spawn(drip)
    request = Request(ours)
    received = []

    def read_on(patient: _Patient) -> None:
        while True:
            received.append(patient.recv(100))

    with gevent.Timeout(10), _Patient(ours, request, 0.1) as patient:
        with pytest.raises(TimeoutError):
            read_on(patient)
        assert request.closed
    # Never was it silent for as long as the limit.
    assert len(received) > 1
    dripping.kill()


def test_a_client_that_reads_one_byte_now_and_then_is_as_good_as_gone(pair: Pair) -> None:
    ours, theirs = pair

    def sip() -> None:
        while True:
            gevent.sleep(0.01)
            theirs.recv(1)

    sipping = gevent.spawn(sip)
    with (
        gevent.Timeout(30),
        _Patient(ours, Request(ours), 0.5) as patient,
        pytest.raises(BrokenPipeError),
    ):
        patient.sendall(b"x" * 1_000_000)
    sipping.kill()


def test_a_client_that_never_pauses_leaves_others_their_turn(pair: Pair) -> None:
    ours, theirs = pair
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    counting = gevent.spawn(count)
    theirs.sendall(b"x" * 2000)
    with gevent.Timeout(10), _Patient(ours, Request(ours), 1) as patient:
        for _ in range(200):
            assert patient.recv(10) == b"x" * 10
    counting.kill()
    assert turns >= 200


# Bodies that nobody wants


class Body:
    """A body in pieces, the last of which may be an error."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = iter(pieces)

    def read(self, _size: int) -> bytes:
        piece = next(self._pieces, b"")
        if isinstance(piece, Exception):
            raise piece
        return piece


def discarded(body: Any) -> bool:
    """Whether the connection can be used again after what was left of ``body``."""
    request = Request(None)
    request.body = body
    _discard(request)
    return not request.closed


def test_the_rest_of_a_body_is_read_so_that_the_answer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(green_worker, "_LINGER_PAUSE_SECONDS", 0)
    assert discarded(Body())
    assert discarded(Body(b"x" * 100, b"x"))
    assert not discarded(Body(b"x", TimeoutError()))
    assert not discarded(Body(b"x", ConnectionResetError()))
    assert not discarded(Body(b"x", InvalidChunkSize(b"zz")))


def test_a_body_without_end_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(green_worker, "LINGER_SECONDS", 0.05)
    with gevent.Timeout(10):
        assert not discarded(SimpleNamespace(read=lambda size: b"x" * size))


def test_everything_else_is_the_sockets_own(pair: Pair) -> None:
    ours, theirs = pair
    with _Patient(ours, Request(ours), 1) as patient:
        assert patient.fileno() == ours.fileno()
        assert patient.send(b"100") == 3
    assert theirs.recv(10) == b"100"


@pytest.mark.parametrize("error", [InvalidHeader("fg-a-key"), InvalidRequestLine("a prompt")])
def test_what_cannot_be_parsed_is_not_quoted(pair: Pair, error: Exception) -> None:
    ours, theirs = pair
    GreenWorker.handle_error(GreenWorker.__new__(GreenWorker), None, ours, None, error)
    answer = theirs.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Invalid HTTP" in answer
    assert b"fg-a-key" not in answer
    assert b"a prompt" not in answer
