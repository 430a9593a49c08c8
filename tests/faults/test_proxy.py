"""The fault proxy does each thing that it says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy, Mode


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self.more = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1000):
                with self.more:
                    self.received += data
                    self.more.notify_all()
                sock.sendall(data)

    def got(self, what: bytes) -> bool:
        with self.more:
            return self.more.wait_for(lambda: self.received == what, 10)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    found = Echo()
    yield found
    found.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    found = FaultProxy(("127.0.0.1", echo.port))
    yield found
    found.close()


def dial(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def exchange(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return sock.recv(1000)


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1000), b""))


def silent(sock: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    sock.settimeout(0.2)
    try:
        return bool(sock.recv(1000)) and False
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)


def test_it_passes_everything_on(proxy: FaultProxy) -> None:
    with dial(proxy) as sock:
        assert exchange(sock, b"one") == b"one"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_a_black_hole_delivers_late(proxy: FaultProxy, echo: Echo) -> None:
    with dial(proxy) as sock:
        proxy.set(Mode.BLACK_HOLE)
        sock.sendall(b"late")
        assert silent(sock)
        assert echo.received == b""
        proxy.set(Mode.PASS)
        assert sock.recv(1000) == b"late"


def test_resets_hit_open_and_new_connections(proxy: FaultProxy) -> None:
    with dial(proxy) as sock:
        assert exchange(sock, b"one") == b"one"
        proxy.set(Mode.RESET)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with pytest.raises(OSError, match=r"."), dial(proxy) as sock:  # noqa: PT012
        exchange(sock, b"two")
        raise AssertionError("it was not reset")
    proxy.set(Mode.PASS)
    with dial(proxy) as sock:
        assert exchange(sock, b"three") == b"three"


def test_half_open_lets_requests_through_and_loses_replies(proxy: FaultProxy, echo: Echo) -> None:
    with dial(proxy) as sock:
        assert exchange(sock, b"one") == b"one"
        proxy.set(Mode.HALF_OPEN)
        sock.sendall(b"two")
        assert echo.got(b"onetwo")
        assert silent(sock)
        # A stream with a gap cannot go on.
        proxy.set(Mode.PASS)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_request_is_cut_after_so_many_bytes(proxy: FaultProxy, echo: Echo) -> None:
    with dial(proxy) as sock:
        proxy.set(Mode.CUT_REQUEST, 4)
        sock.sendall(b"request")
        with pytest.raises(ConnectionResetError):
            read_all(sock)
        assert echo.got(b"requ")


def test_a_reply_is_cut_after_so_many_bytes(proxy: FaultProxy, echo: Echo) -> None:
    with dial(proxy) as sock:
        proxy.set(Mode.CUT_REPLY, 0)
        sock.sendall(b"request")
        with pytest.raises(ConnectionResetError):
            sock.recv(1000)
        assert echo.got(b"request")


def test_a_delay_lets_everything_through(proxy: FaultProxy) -> None:
    with dial(proxy) as sock:
        proxy.set(Mode.DELAY, 0.01)
        assert exchange(sock, b"one") == b"one"


def test_a_server_that_is_away_resets(proxy: FaultProxy, echo: Echo) -> None:
    echo.close()
    proxy.target = ("127.0.0.1", 1)
    with pytest.raises(OSError, match=r"."), dial(proxy) as sock:  # noqa: PT012
        if not exchange(sock, b"one"):
            raise ConnectionResetError("closed")
