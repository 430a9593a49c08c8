"""A wire between gateway and provider that remembers all that the gateway sends."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from urllib.parse import urlsplit

_REQUEST_LINE = re.compile(rb"^((?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+) HTTP/1\.1\r$", re.MULTILINE)


class Witness:
    """Passes bytes both ways between whoever connects and the provider at ``url``."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._provider = (at.hostname, at.port)
        self._path = at.path
        self._sent = bytearray()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The provider's base URL, by way of here."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}{self._path}"

    def mark(self) -> int:
        """A place in what was sent, to ask ``sent`` from."""
        with self._lock:
            return len(self._sent)

    def sent(self, mark: int) -> bytes:
        """All that was sent to the provider since ``mark``."""
        with self._lock:
            return bytes(self._sent[mark:])

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._provider)
                for source, target, kept in ((near, far, True), (far, near, False)):
                    arguments = (source, target, kept)
                    threading.Thread(target=self._pass, args=arguments, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, kept: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if kept:
                    with self._lock:
                        # Before it is passed on: an answer proves that it is in here.
                        self._sent += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def requests_in(sent: bytes) -> list[str]:
    """Method and path of each request in ``sent``."""
    return [line.decode() for line in _REQUEST_LINE.findall(sent)]
