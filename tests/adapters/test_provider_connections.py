from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.socket
import pytest

from gateway.adapters.provider_connections import SILENT_PEER_SECONDS, open_connections
from gateway.adapters.upstream import NotSent, Upstream
from gateway.settings import Settings
from tests.adapters.provider_socket import (
    PATIENCE,
    SocketProvider,
    answers,
    send,
    upstream,
)


def test_a_connection_that_was_idle_for_too_long_is_not_used(
    serve: Callable[..., SocketProvider],
) -> None:
    provider = serve(answers)
    to = upstream(provider.port, upstream_idle_seconds=0.0)
    for _ in range(3):
        assert send(to, b"x").body(PATIENCE) == b"x"
    assert [len(talk.requests) for talk in provider.talks] == [1, 1, 1]


def test_the_kernel_looks_after_connections(serve: Callable[..., SocketProvider]) -> None:
    to = upstream(serve(answers).port)
    send(to).body(PATIENCE)
    sock = to._pool._socket_queue.peek(block=False)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert found == SILENT_PEER_SECONDS * 1000


@contextmanager
def _silent_listener() -> Iterator[tuple[str, int]]:
    """An address where connections are neither taken nor refused."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    try:
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()
    finally:
        for sock in (*fillers, listener):
            sock.close()


def _addresses(*found: tuple[str, int]) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]


def test_a_name_that_is_not_resolved_in_time_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def never(*_: object) -> None:
        asked.append(True)
        gevent.sleep(3600)

    monkeypatch.setattr(gevent.socket, "getaddrinfo", never)
    settings = Settings(
        upstream_url="http://slow.example/v1", upstream_connect_timeout_seconds=0.05
    )
    with gevent.Timeout(10), pytest.raises(NotSent) as raised:
        send(Upstream(settings))
    assert (raised.value.timed_out, asked) == (True, [True])


def test_many_addresses_share_the_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    with _silent_listener() as address:
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_: _addresses(*[address] * 1000))
        settings = Settings(
            upstream_url="http://many.example/v1", upstream_connect_timeout_seconds=0.05
        )
        # A limit to each address instead would be 50 seconds.
        with gevent.Timeout(25), pytest.raises(NotSent) as raised:
            send(Upstream(settings))
        assert raised.value.timed_out


def test_an_address_that_is_silent_leaves_time_for_the_next(
    serve: Callable[..., SocketProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = serve(answers)
    with _silent_listener() as silent:
        found = _addresses(silent, ("127.0.0.1", provider.port))
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_: found)
        settings = Settings(
            upstream_url="http://two.example/v1", upstream_connect_timeout_seconds=2
        )
        assert send(Upstream(settings), b"x").body(PATIENCE) == b"x"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://api.example/v1", "api.example", 443),
        ("http://api.example/v1", "api.example", 80),
        ("https://[::1]:8443/v1", "::1", 8443),
    ],
)
def test_where_connections_go(url: str, host: str, port: int) -> None:
    pool = open_connections(Settings(upstream_url=url))
    assert (pool._connection_host, pool._connection_port) == (host, port)
