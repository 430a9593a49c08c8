"""A provider made of a bare socket: it plays, connection by connection, what it is told."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

from gateway.adapters.upstream import Answer, Upstream
from gateway.settings import Settings

KEY = "sk-provider"
PATIENCE = 10.0


Play = Callable[["Talk"], None]


class Talk:
    """The provider's side of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.requests: list[bytes] = []
        self._rest = b""

    def request(self) -> bytes:
        """The next whole request; empty when the gateway has closed."""
        while True:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if found:
                length = re.search(rb"(?i)content-length: (\d+)", head)
                size = int(length[1]) if length else 0
                if len(rest) >= size:
                    whole = head + found + rest[:size]
                    self._rest = rest[size:]
                    self.requests.append(whole)
                    return whole
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                return b""
            self._rest += data

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self) -> None:
        """Wait until the gateway has had time to read what was said."""
        self.sock.settimeout(0.02)
        try:
            self._rest += self.sock.recv(65536)
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(None)

    def answer(self, body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
        self.say(b"\r\n".join(lines) + b"\r\n\r\n" + body)


class SocketProvider:
    """Listens on loopback and gives each connection a thread and the next of ``plays``.

    The last play serves all further connections.
    """

    def __init__(self, *plays: Play, tls: ssl.SSLContext | None = None) -> None:
        self.plays = list(plays)
        self.talks: list[Talk] = []
        self.over = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> SocketProvider:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self._listener.close()
        for talk in self.talks:
            talk.sock.close()

    @property
    def requests(self) -> list[bytes]:
        """Every request of every connection."""
        return [request for talk in self.talks for request in talk.requests]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            play = self.plays[min(len(self.talks), len(self.plays) - 1)]
            talk = Talk(sock)
            self.talks.append(talk)
            threading.Thread(target=self._serve, args=(talk, play), daemon=True).start()

    def _serve(self, talk: Talk, play: Play) -> None:
        try:
            if self._tls is not None:
                talk.sock = self._tls.wrap_socket(talk.sock, server_side=True)
            play(talk)
        except OSError:
            pass
        finally:
            talk.sock.close()


def upstream(port: int, *, scheme: str = "http", connections: int = 8, **more: float) -> Upstream:
    values = {
        "upstream_connect_timeout_seconds": 5.0,
        "upstream_read_timeout_seconds": PATIENCE,
        **more,
    }
    return Upstream(
        Settings(
            openai_api_key=KEY,  # type: ignore[arg-type]
            upstream_url=f"{scheme}://127.0.0.1:{port}/v1",
            upstream_connections_max=connections,
            **values,  # type: ignore[arg-type]
        )
    )


def send(to: Upstream, body: bytes = b"{}", request_id: str = "frq_1") -> Answer:
    return to.send("/chat/completions", body, request_id, {})


def fetch(to: Upstream, body: bytes) -> bytes:
    return send(to, body).body(PATIENCE)


def answers(talk: Talk) -> None:
    """Answer every request with its own body."""
    while request := talk.request():
        talk.answer(request.partition(b"\r\n\r\n")[2])


def says(*parts: bytes, hang: bool = False) -> Play:
    """Read one request, say ``parts`` and close, or say no more."""

    def play(talk: Talk) -> None:
        talk.request()
        for part in parts:
            talk.say(part)
        if hang:
            talk.request()

    return play
