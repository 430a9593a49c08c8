"""Callers of the gateway: plain HTTP/1.1 with nothing between the test and the socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from openai import AsyncOpenAI, OpenAI

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MODEL = "gpt-4o-mini"


def question(text: str | None = None, **rest: Any) -> dict[str, Any]:
    """The body of a chat request; without a text, one that no other request had."""
    content = text if text is not None else f"What do budgets limit? {uuid4().hex}"
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **rest}


def prompted(text: str | None = None, /, **rest: Any) -> dict[str, Any]:
    """The body of a request for a response; without a text, one that no other request had."""
    return {"model": MODEL, "input": text or f"What do budgets limit? {uuid4().hex}", **rest}


def sim(**directives: object) -> dict[str, str]:
    """Headers that direct the simulator: ``sim(fault="hang")``."""
    return {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in directives.items()}


@dataclass(frozen=True)
class Reply:
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The envelope's inside, which must be there with OpenAI's four fields."""
        found: dict[str, Any] = self.json["error"]
        assert {"message", "type", "param", "code"} <= found.keys()
        return found

    @property
    def request_id(self) -> str:
        return self.headers["x-faregate-request-id"]


class EventStream:
    """A streamed answer, read event by event."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer = connection.getresponse()
        self.status = self._answer.status
        self.headers = {name.lower(): value for name, value in self._answer.getheaders()}

    @property
    def request_id(self) -> str:
        return self.headers["x-faregate-request-id"]

    def events(self) -> Iterator[bytes]:
        """Each event with its blank line, comments too, until the stream ends."""
        event = b""
        while line := self._answer.readline():
            event += line
            if line in (b"\n", b"\r\n"):
                yield event
                event = b""
        if event:
            yield event

    def all(self) -> bytes:
        """The rest of the stream."""
        return self._answer.read()

    def hang_up(self, *, reset: bool = False) -> None:
        """Leave without reading the rest."""
        sock = self._connection.sock
        if sock is not None:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                if not reset:
                    sock.shutdown(socket.SHUT_RDWR)
        self._answer.close()
        self._connection.close()


@dataclass(frozen=True)
class Caller:
    """One client of the gateway at ``port``, with a key of its own."""

    port: int
    key: str
    timeout: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def sdk(self, **options: Any) -> OpenAI:
        return OpenAI(
            api_key=self.key, base_url=self.base_url, max_retries=0, timeout=self.timeout, **options
        )

    def async_sdk(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key=self.key, base_url=self.base_url, max_retries=0, timeout=self.timeout
        )

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        sent = {"authorization": f"Bearer {self.key}", **self.headers}
        if body is not None:
            sent["content-type"] = "application/json"
        connection.request(method, path, body, {**sent, **headers})
        return connection

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Any request, on a connection of its own. A body in pieces needs its content-length."""
        connection = self._send(method, path, body, headers or {})
        try:
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def pieces(self, path: str) -> Iterator[bytes]:
        """The body of a GET, as it comes."""
        connection = self._send("GET", path, None, {})
        try:
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            while data := answer.read(1024 * 1024):
                yield data
        finally:
            connection.close()

    def post(self, body: Any, path: str = CHAT, **directives: object) -> Reply:
        """POST a JSON body, or bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, raw, sim(**directives))

    def chat(
        self, text: str | None = None, *, directed: Mapping[str, object] | None = None, **rest: Any
    ) -> Reply:
        """A chat completion."""
        return self.post(question(text, **rest), CHAT, **(directed or {}))

    def stream(
        self, text: str | None = None, *, directed: Mapping[str, object] | None = None, **rest: Any
    ) -> EventStream:
        """A streamed chat completion, as far as its headers."""
        return self.streamed(question(text, **rest), CHAT, **(directed or {}))

    def streamed(self, body: Mapping[str, Any], path: str, **directives: object) -> EventStream:
        """A streamed answer to a JSON body, as far as its headers."""
        raw = json.dumps({**body, "stream": True}).encode()
        return EventStream(self._send("POST", path, raw, sim(**directives)))

    def events_of(self, path: str) -> EventStream:
        """The answer to a GET, event by event."""
        return EventStream(self._send("GET", path, None, {}))

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def raw(self, data: bytes, *, half_close: bool = False, wait: float = 5.0) -> bytes:
        """All that comes back for ``data``, sent as it is on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            if half_close:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while more := sock.recv(65_536):
                    received += more
            return received


def at_once(calls: int, call: Any, threads: int | None = None) -> list[Any]:
    """The results of ``call(number)`` for 0 to ``calls`` - 1, run in parallel."""
    with ThreadPoolExecutor(threads or calls) as pool:
        return list(pool.map(call, range(calls)))


def data_of(stream: bytes) -> list[Any]:
    """The JSON of each data event in ``stream``, without the end mark."""
    found = []
    for event in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
        if data and data != b"[DONE]":
            found.append(json.loads(data))
    return found


def without_comments(stream: bytes) -> bytes:
    """``stream`` without the comments that the gateway adds."""
    events = stream.split(b"\n\n")
    return b"\n\n".join(event for event in events if not event.startswith(b":"))
