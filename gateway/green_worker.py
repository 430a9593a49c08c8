"""gunicorn's gevent worker, which waits neither for idle connections nor for idle clients.

The stock worker counts a keep-alive connection that nobody is using as one to be waited for,
so that a restart would take as long as clients keep their connections open. It waits without
limit for a client that stops in the middle of its request or of its answer, which here holds a
part of somebody's budget. And a client that sends faster than it is read never makes the stock
worker wait, so that nobody else is served for as long as it goes on, with a key or without.
"""

from __future__ import annotations

import contextlib
import errno
from time import monotonic
from types import TracebackType
from typing import Any

import gevent
import orjson
import structlog
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.ggevent import GeventWorker

from gateway.app import services_of
from gateway.core.errors import BadRequest
from gateway.web.json_body import CLIENT_BYTES_PER_SECOND

_CUT_SECONDS = 0.2

LINGER_SECONDS = 30.0
"""How long the rest of a body that nobody wants is read on. A client that sends all before it
reads would else see a broken connection, and not the error that it was answered with."""
_LINGER_BYTES = 1024 * 1024
_LINGER_PAUSE_SECONDS = 0.01
"""Between reads of so many bytes: throwing bytes away must not take time from serving others."""

_OUR_FAULT = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)
"""What gunicorn files under parsing although the client did nothing wrong."""
_STATUSES = {
    LimitRequestLine: "414 URI Too Long",
    LimitRequestHeaders: "431 Request Header Fields Too Large",
}
"""Statuses of what cannot be parsed (RFC 9110 and 6585), where it is not a plain 400."""

_log = structlog.get_logger(__name__)


class _Idle:
    """The wait of one connection for its next request, at most the keep-alive time."""

    def __init__(self, waiting: set[_Idle], seconds: float) -> None:
        self._waiting = waiting
        self._timeout = gevent.Timeout(seconds)
        self._greenlet = gevent.getcurrent()

    def __enter__(self) -> _Idle:
        self._waiting.add(self)
        self._timeout.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        self._waiting.discard(self)
        self._timeout.close()
        return error is self._timeout

    def cut(self) -> None:
        """End the wait as if its time were over, unless a request comes first."""
        gevent.get_hub().loop.run_callback(self._expire)

    def _expire(self) -> None:
        # In the event loop, where nothing comes between the look and the throw: by now the
        # connection may be serving a request, which must not be hit.
        if self in self._waiting:
            self._greenlet.throw(self._timeout)


class _Patient:
    """A connection during one request, with a limit to every wait for the client.

    A client may be silent for so long, and be waited for so long in all, and a second more for
    every ``CLIENT_BYTES_PER_SECOND`` that came through: else one byte now and then would keep
    its place, and its hold, for ever. Everything else is the socket's own.
    """

    def __init__(self, sock: Any, request: Any, seconds: float) -> None:
        self._sock = sock
        self._request = request
        self._seconds = seconds
        self._waited = 0.0
        self._bytes = 0

    def __enter__(self) -> _Patient:
        self._sock.settimeout(self._seconds)
        self._request.unreader.sock = self
        return self

    def __exit__(self, *_: object) -> None:
        # The wait for the next request has a limit of its own.
        self._request.unreader.sock = self._sock
        self._sock.settimeout(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """The next bytes of the body. Raises TimeoutError."""
        begun = monotonic()
        try:
            received: bytes = self._sock.recv(size)
            self._count(begun, len(received))
        except TimeoutError:
            # Where the next request would begin is not known.
            self._request.force_close()
            raise
        # Where more has come already nothing waits, and others would not get their turn.
        gevent.sleep(0)
        return received

    def send(self, data: bytes | memoryview) -> int:
        """Send some. Raises BrokenPipeError where the client does not read: it is as good as
        gone, and gunicorn takes that for no fault of ours."""
        begun = monotonic()
        try:
            sent = int(self._sock.send(data))
            self._count(begun, sent)
        except TimeoutError:
            _log.warning("client.does_not_read", seconds=self._seconds)
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from None
        return sent

    def _count(self, begun: float, passed: int) -> None:
        """Add up the wait for some bytes. Raises TimeoutError where it has been too much."""
        self._waited += monotonic() - begun
        self._bytes += passed
        if self._waited > self._seconds + self._bytes / CLIENT_BYTES_PER_SECOND:
            raise TimeoutError("too slow")

    def sendall(self, data: bytes) -> None:
        """Send all, for as long as there is progress: the socket's own would limit the whole."""
        left = memoryview(data)
        while left:
            left = left[self.send(left) :]


class GreenWorker(GeventWorker):  # type: ignore[misc]
    """One gateway worker process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: set[_Idle] = set()
        self._client_seconds = 0.0

    def load_wsgi(self) -> None:
        """Load the application, and learn how long a client may be silent."""
        super().load_wsgi()
        settings = services_of(self.wsgi).gate.settings
        self._client_seconds = settings.client_timeout_seconds

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Serve one request; a client that stops in the middle of it is not waited for."""
        with _Patient(sock, req, self._client_seconds) as patient:
            try:
                served = super().handle_request(listener_name, req, patient, addr)
            except StopIteration:
                _discard(req)
                raise
            _discard(req)
        # The next request may have come already, and the one after it: everybody has a turn.
        gevent.sleep(0)
        return served

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no HTTP request in the envelope of every other error."""
        if not isinstance(exc, ParseException) or isinstance(exc, _OUR_FAULT):
            super().handle_error(req, client, addr, exc)
            return
        # Behind a colon it quotes what came, and that can be a part of a key, or of a body that is
        # longer than its announced length: neither for the log nor for an answer, which clients
        # log themselves.
        reason = str(exc).partition(":")[0][:300]
        _log.warning(
            "client.sends_no_http", ip=addr[0] if addr else None, reason=type(exc).__name__
        )
        error = BadRequest(f"This is not an HTTP/1.1 request that can be served: {reason}")
        body = orjson.dumps(error.envelope())
        head = (
            f"HTTP/1.1 {_STATUSES.get(type(exc), '400 Bad Request')}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            client.sendall(head.encode() + body)

    def timeout_ctx(self) -> _Idle:
        """The context in which a connection waits for its next request."""
        return _Idle(self._waiting, self.cfg.keepalive)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop: finish what is running, and close what is idle."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._cut_idle)

    def _cut_idle(self) -> None:
        while True:
            # A request that is just arriving gets a moment to be read.
            gevent.sleep(_CUT_SECONDS)
            for idle in list(self._waiting):
                idle.cut()


def _discard(request: Any) -> None:
    """Read what is left of a body, for a while; then the connection ends with this request."""
    # False ends the block in silence; the type information does not know of it.
    with gevent.Timeout(LINGER_SECONDS, False):  # type: ignore[arg-type]
        try:
            while request.body.read(_LINGER_BYTES):
                gevent.sleep(_LINGER_PAUSE_SECONDS)
        except (OSError, ParseException):
            # The client is gone, is silent, or sends what cannot be read.
            request.force_close()
        return
    request.force_close()
