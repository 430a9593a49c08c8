"""Proxies to compare with: the gateway's server and options, and nothing but forwarding.

``python -m bench.programs.proxy (bare | sdk) (gevent | gthread)``. ``bare`` forwards bytes with
the gateway's own provider client. ``sdk`` is how such a proxy is usually written: parse, call
``client.chat.completions.create``, serialise what it returns. ``gthread`` (for ``sdk`` only)
serves with a pool of threads instead of greenlets.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and "gthread" not in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.adapters.upstream import Answer, Upstream
from gateway.server import GatewayServer
from gateway.settings import Settings, load_settings

THREADS = 32
Environ = dict[str, Any]


class _BareStream:
    """Passes an answer on as it arrives."""

    def __init__(self, answer: Answer, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if data := self._answer.some(self._seconds):
            return data
        raise StopIteration


class _Bare:
    """Forwards a request's bytes and its answer's."""

    def __init__(self, settings: Settings) -> None:
        self._upstream = Upstream(settings)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        answer = self._upstream.send("/chat/completions", body, "bench", {})
        kind = answer.header("content-type") or "application/json"
        status = f"{answer.status} OK"
        if kind.startswith("text/event-stream"):
            start_response(status, [("content-type", kind)])
            return _BareStream(answer, self._upstream.read_seconds)
        data = answer.body(self._upstream.read_seconds)
        start_response(status, [("content-type", kind), ("content-length", str(len(data)))])
        return [data]


class _Sdk:
    """Forwards by the SDK's typed calls."""

    def __init__(self, settings: Settings) -> None:
        self._client = Upstream(settings).sdk

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        fields = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        found = self._client.chat.completions.create(**fields)
        if fields.get("stream"):
            start_response("200 OK", [("content-type", "text/event-stream")])
            return self._events(found)
        data = found.model_dump_json().encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(data)))]
        start_response("200 OK", headers)
        return [data]

    def _events(self, chunks: Any) -> Iterator[bytes]:
        for chunk in chunks:
            yield b"data: %s\n\n" % chunk.model_dump_json().encode()
        yield b"data: [DONE]\n\n"


class _ProxyServer(GatewayServer):
    """The gateway's server with the gateway taken out."""

    def __init__(self, settings: Settings, kind: str, worker_class: str) -> None:
        self._kind = kind
        self._worker_class = worker_class
        super().__init__(settings)

    def load_config(self) -> None:
        """The gateway's options but for the hooks, which look after its background tasks."""
        super().load_config()
        self.cfg.set("worker_class", self._worker_class)
        if self._worker_class == "gthread":
            self.cfg.set("threads", THREADS)
        self.cfg.set("post_worker_init", lambda _worker: None)
        self.cfg.set("worker_exit", lambda _server, _worker: None)

    def load(self) -> Any:
        """The WSGI application."""
        return (_Bare if self._kind == "bare" else _Sdk)(self._settings)


if __name__ == "__main__":
    _ProxyServer(load_settings(), sys.argv[1], sys.argv[2]).run()
