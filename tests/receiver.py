"""A receiver of webhooks: a real HTTP server in a thread, which keeps what it is sent.

It verifies signatures with a computation of its own, from the words of the Standard Webhooks
specification; it shares no code with what signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """One request; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    """What it was answered."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        said = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        mac = hmac.new(key, said + self.body, hashlib.sha256).digest()
        return self.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


Answer = Callable[[int], int]
"""The status of the n-th request, from 1 on."""


class Receiver:
    """Listens while the context is open. ``answer`` may be set at any time."""

    def __init__(self, port: int = 0) -> None:
        self.answer: Answer = lambda _number: 200
        self.location: str | None = None
        self._received: list[Received] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status = receiver._keep(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                if receiver.location is not None:
                    self.send_header("location", receiver.location)
                self.send_header("content-length", "4")
                self.end_headers()
                self.wfile.write(b"said")

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/alerts"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._changed:
            status = self.answer(len(self._received) + 1)
            named = {name.lower(): value for name, value in headers.items()}
            self._received.append(Received(path, named, body, status))
            self._changed.notify_all()
            return status

    @property
    def received(self) -> list[Received]:
        """What has come so far."""
        with self._changed:
            return list(self._received)

    def wait(self, number: int, seconds: float = 30.0) -> list[Received]:
        """What has come, once it is so much; AssertionError where it does not come in time."""
        with self._changed:
            found = self._changed.wait_for(lambda: len(self._received) >= number, seconds)
            assert found, f"{len(self._received)} of {number} came within {seconds:g} s"
            return list(self._received)
