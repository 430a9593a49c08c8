"""A small HTTP/1.1 server on gevent sockets: parse, keep alive, answer whole or in chunks.

Written out rather than taken from a WSGI server because faults need the socket itself (resets,
cut chunks, silent closes) and because it shares the machine with what it measures. Nothing here
needs monkey-patching: every blocking call is gevent's own.
"""

from __future__ import annotations

import socket as plain_socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import parse_qsl

import gevent.socket
import orjson

from gateway.simulator.blobs import new_file
from gateway.simulator.errors import ProviderError, bad_request
from gateway.simulator.faults import Directives
from gateway.simulator.truth import Charge

HEAD_BYTES_MAX = 65_536
BODY_BYTES_MAX = 600 * 1024 * 1024
"""Just above the provider's own limit for a file, 512 MB."""
RECEIVE_BYTES = 65_536

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Gone(Exception):
    """The peer closed or reset the connection, or we did on purpose."""


@dataclass(slots=True)
class Request:
    """A parsed request. Header names are lower case; the path carries no query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    chunks_allowed: bool
    number: int = 0
    id: str = ""
    api_key_id: str = ""
    """The provider's name for the key that the request came with."""
    params: dict[str, str] = field(default_factory=dict)
    """The ids in the path, by their names in the route."""
    directives: Directives = field(default_factory=Directives)
    strict: bool = False
    """Whether unknown body fields are refused, as the provider does."""
    spool: SpooledTemporaryFile[bytes] | None = None
    """The body of a form, which may be too large for memory, instead of ``body``."""
    _json: dict[str, Any] | None = None

    def arguments(self) -> dict[str, str]:
        """The query as names and values; the last of several values counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, parsed once. Raises ProviderError with status 400."""
        if self._json is None:
            try:
                parsed = orjson.loads(self.body)
            except ValueError:
                raise bad_request(
                    "We could not parse the JSON body of your request. (HINT: This likely means "
                    "you aren't using your HTTP library correctly. The OpenAI API expects a JSON "
                    "payload, but what was sent was not valid JSON.)"
                ) from None
            if not isinstance(parsed, dict):
                raise bad_request("Invalid body: expected a JSON object.")
            self._json = parsed
        return self._json


@dataclass(slots=True)
class Answer:
    """A whole answer. ``charge`` is None for what the provider does not bill.

    A body too large for memory is given as ``pieces`` of ``length`` bytes in all.
    """

    body: bytes
    charge: Charge | None = None
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterator[bytes] | None = None
    length: int = 0
    on_charged: Callable[[], None] | None = None
    """Called once the work is done and on record: keeps what can be fetched later."""


ERROR_EVENT = (
    b'data: {"error":{"message":"The server had an error while processing your request. '
    b'Sorry about that!","type":"server_error","param":null,"code":null}}\n\n'
)
BAD_EVENT = b'data: {"id":"chatcmpl-broken","object":"chat.completion.chunk","cho\n\n'


@dataclass(slots=True)
class Stream:
    """An answer in server-sent events, or any other body made piece by piece.

    ``events`` yields each piece with the output tokens generated once it is sent; ``charge`` is
    for the finished answer, None where somebody else charges for it; ``usage_event`` and
    ``done_event`` are sent only after it is on record.
    """

    events: Iterator[tuple[bytes, int]]
    event_count: int
    charge: Charge | None
    usage_event: bytes = b""
    usage_event_bare: bytes = b""
    """Sent in place of ``usage_event`` where the usage is to be left out but not the event."""
    done_event: bytes = b"data: [DONE]\n\n"
    content_type: str = "text/event-stream; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    live: bool = False
    """Whether events take their time by themselves, so that each is to be sent at once."""
    error_event: bytes = ERROR_EVENT
    """How the stream says that it failed half-way."""
    bad_event: bytes = BAD_EVENT
    """An event of this stream that is not JSON."""
    on_charged: Callable[[], None] | None = None
    """Called once the whole is done and on record: keeps what can be fetched later."""

    def charge_at(self, tokens: int) -> Charge | None:
        """The charge when generation stopped after ``tokens`` output tokens."""
        return self.charge and self.charge.cut_at(tokens)


class Connection:
    """One client connection. Every method raises Gone when the peer has left."""

    def __init__(self, sock: gevent.socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self.closed = False
        sock.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)

    def read_request(self) -> Request | None:
        """The next request; None when the peer closed between requests.

        Raises ProviderError for one that is not HTTP/1.x.
        """
        end = -1
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise ProviderError(431, "Request header fields too large.")
            if not self._receive():
                if self._buffer:
                    raise Gone
                return None
        head = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 4]
        request = _parse_head(head)
        if request.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_body(request)
        return request

    def _read_body(self, request: Request) -> None:
        """Into the request: forms into a file, everything else into memory."""
        headers = request.headers
        if "chunked" in headers.get("transfer-encoding", "").lower():
            pieces = self._chunked_pieces()
        else:
            length = headers.get("content-length", "0")
            if not length.isdecimal():
                raise bad_request("Invalid Content-Length.")
            pieces = self._pieces(_bounded(int(length)))
        if headers.get("content-type", "").lower().startswith("multipart/form-data"):
            request.spool = new_file()
            for piece in pieces:
                request.spool.write(piece)
        else:
            request.body = b"".join(pieces)

    def _chunked_pieces(self) -> Iterator[bytes]:
        total = 0
        while True:
            size_text = self._take_line().split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise bad_request("Invalid chunk size.") from None
            if size == 0:
                while self._take_line():
                    pass
                return
            total = _bounded(total + size)
            yield from self._pieces(size)
            self._take_line()

    def _pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, as they come."""
        while size:
            if not self._buffer and not self._receive():
                raise Gone
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            size -= len(piece)
            yield piece

    def _take_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise bad_request("Chunk header too long.")
            if not self._receive():
                raise Gone
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise Gone from error
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def reset(self) -> None:
        """Close so that the peer sees a reset instead of an end."""
        linger_off = struct.pack("ii", 1, 0)
        with suppress(OSError):  # The peer is already gone, which is as good as reset.
            self.socket.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_LINGER, linger_off)
        self.close()

    def close(self) -> None:
        """Close without saying so to HTTP."""
        self.closed = True
        self.socket.close()

    def wait_until_peer_leaves(self, seconds_max: float) -> None:
        """Return when the peer sends something, leaves, or ``seconds_max`` are over."""
        with suppress(OSError):  # Timed out: the caller closes in either case.
            gevent.socket.wait_read(self.socket.fileno(), timeout=seconds_max)


def head_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and header block."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """``data`` framed for ``transfer-encoding: chunked``."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def serve_connection(sock: gevent.socket.socket, respond: Callable[..., None]) -> None:
    """Read requests off ``sock`` and give each to ``respond(connection, request)``."""
    connection = Connection(sock)
    try:
        while not connection.closed:
            try:
                request = connection.read_request()
            except ProviderError as error:
                body = error.body()
                headers = {"content-length": str(len(body)), "connection": "close"}
                connection.send(head_bytes(error.status, headers) + body)
                return
            if request is None:
                return
            respond(connection, request)
            if not request.keep_alive:
                return
    except Gone:
        return
    finally:
        if not connection.closed:
            connection.close()


def _parse_head(head: str) -> Request:
    first, *lines = head.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise bad_request("Malformed request line.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise bad_request("Malformed header line.")
        headers[name.lower()] = value.strip()
    modern = words[2] == "HTTP/1.1"
    wish = headers.get("connection", "keep-alive" if modern else "close").lower()
    path, _, query = words[1].partition("?")
    return Request(
        method=words[0],
        path=path,
        query=query,
        headers=headers,
        body=b"",
        keep_alive="close" not in wish,
        chunks_allowed=modern,
    )


def _bounded(length: int) -> int:
    if length > BODY_BYTES_MAX:
        raise ProviderError(413, "Request body too large.", code="request_too_large")
    return length
