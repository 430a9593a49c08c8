"""Pooled keep-alive connections to the provider: made in time, and used while they are fresh.

``geventhttpclient`` keeps connections for ever. Proxies and NAT gateways drop idle ones after
a while, some without a word: a request on such a connection is lost after it may have been
sent, and then its whole hold is charged. So a connection is used again for a short time only,
and the kernel is asked to notice a peer that is gone.
"""

from __future__ import annotations

import select
import socket
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import gevent
import gevent.monkey
from gevent.lock import BoundedSemaphore
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

from gateway.settings import Settings

SILENT_PEER_SECONDS = 60
"""How long sent bytes or probes may stay unacknowledged before the connection counts as dead."""

TRUSTED_CERTIFICATES: str = SSLConnectionPool.default_options["ca_certs"]
"""File of the authorities whose certificates are trusted: the system's (SSL_CERT_FILE names
another), or certifi's where it has none."""

_ADDRESS_SECONDS_MIN = 1.0
"""The least share of the time to connect that each of several addresses gets."""

_OPTIONS = (
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", SILENT_PEER_SECONDS // 2),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", SILENT_PEER_SECONDS // 6),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", SILENT_PEER_SECONDS * 1000),
)
"""Socket options, each set where the platform has it."""

_poll = gevent.monkey.get_original("select", "poll")


def is_silent(sock: Any) -> bool:
    """Whether a pooled connection is open and silent, as an unused one must be.

    By poll(2): select(2), which the library uses, cannot watch a descriptor above 1023, and a
    process with thousands of streams has those.
    """
    if sock is None or sock.fileno() < 0:
        return False
    watch = _poll()
    watch.register(sock.fileno(), select.POLLIN | select.POLLPRI)
    return not watch.poll(0)


class _Careful:
    """What both kinds of pools do otherwise than the library's."""

    _semaphore: BoundedSemaphore
    connection_timeout: float

    def __init__(self, *args: Any, idle_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle_seconds = idle_seconds
        self._free_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._address_seconds = self.connection_timeout

    def get_socket(self) -> Any:
        """A free connection, waited for no longer than for a new one. Raises TimeoutError."""
        if not self._semaphore.acquire(timeout=self.connection_timeout):
            raise TimeoutError("all connections are in use")
        # Nothing else runs before the library takes it again.
        self._semaphore.release()
        return super().get_socket()  # type: ignore[misc]

    def return_socket(self, sock: Any) -> None:
        """Keep a connection whose answer was read to its end."""
        self._free_since[sock] = monotonic()
        super().return_socket(sock)  # type: ignore[misc]

    def _is_socket_alive(self, sock: Any) -> bool:
        idle = monotonic() - self._free_since.pop(sock, 0.0)
        return idle < self._idle_seconds and is_silent(sock)

    def _create_socket(self) -> Any:
        """A new connection. The limit is on the whole: name look-up, every address, TLS."""
        limit = gevent.Timeout(self.connection_timeout)
        try:
            with limit:
                return super()._create_socket()  # type: ignore[misc]
        except gevent.Timeout as error:
            if error is not limit:
                raise
            raise TimeoutError("no connection in time") from None

    def _resolve(self) -> Any:
        found = super()._resolve()  # type: ignore[misc]
        # The first of several addresses must not use up the time of the others.
        share = self.connection_timeout / max(len(found), 1)
        self._address_seconds = min(max(share, _ADDRESS_SECONDS_MIN), self.connection_timeout)
        return found

    def _connect_socket(self, sock: Any, address: Any) -> Any:
        sock.settimeout(self._address_seconds)
        return super()._connect_socket(sock, address)  # type: ignore[misc]

    def after_connect(self, sock: Any) -> None:
        for level, name, value in _OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)


class _Pool(_Careful, ConnectionPool):
    pass


class _TlsPool(_Careful, SSLConnectionPool):
    pass


Connections = ConnectionPool
"""The connections of one process to the provider."""


def open_connections(settings: Settings) -> Connections:
    """The pool of connections to the provider that ``settings`` name; opens none yet."""
    url = urlsplit(settings.upstream_url)
    tls, host = url.scheme == "https", str(url.hostname)
    port = url.port or (443 if tls else 80)
    kind = _TlsPool if tls else _Pool
    options: dict[str, Any] = {"ssl_options": {}} if tls else {}
    return kind(
        host,
        port,
        host,
        port,
        size=settings.upstream_connections_max,
        connection_timeout=settings.upstream_connect_timeout_seconds,
        network_timeout=settings.upstream_read_timeout_seconds,
        idle_seconds=settings.upstream_idle_seconds,
        **options,
    )
