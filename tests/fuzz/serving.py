"""The way of a request from bytes to its route, as in the gateway, with nothing behind it.

gunicorn's parser reads the bytes as it does for the gateway, and its worker answers what is no
HTTP; the routes, what refuses paths and what renders errors are the gateway's. Only the view
functions are replaced: by one that says which route it was, and with which arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any, cast

from flask import Flask, Response
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from gateway.exchange import Gate
from gateway.green_worker import GreenWorker
from gateway.web import errors, paths
from gateway.web.current import Services, keep
from gateway.web.routes import BLUEPRINTS

CONFIG = Config()
_NEVER = cast(Any, None)
_UNCOUNTED = SimpleNamespace(refused=lambda _code: None)


@dataclass(frozen=True)
class Reached:
    """The route that a request came to."""

    rule: str
    method: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """An answer without a route: its status and all its bytes."""

    status: int
    content: bytes


class _Socket:
    """A connection of which nothing is kept but what is sent over it."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    send = sendall

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 80)


View = Callable[..., Any]


def routes(view: View | None = None) -> Flask:
    """An application with the gateway's routes, and ``view`` behind each of them."""
    app = Flask("gateway", static_folder=None)
    gate = cast(Gate, SimpleNamespace(metrics=_UNCOUNTED))
    keep(app.extensions, Services(gate, *[_NEVER] * (len(fields(Services)) - 1)))
    errors.install(app)
    paths.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    rules = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    for name in app.view_functions:
        app.view_functions[name] = view or _saying(rules[name])
    return app


def _saying(rule: str) -> View:
    def view(**arguments: Any) -> Response:
        found = Response(status=299)
        found.reached = (rule, arguments)  # type: ignore[attr-defined]
        return found

    return view


def environ_of(head: bytes) -> dict[str, Any] | Answered:
    """The WSGI environment of a request's bytes, or the answer to what cannot be parsed."""
    sock = _Socket()
    try:
        request = next(RequestParser(CONFIG, iter([head]), ("127.0.0.1", 5)))
        _, environ = wsgi.create(request, sock, ("127.0.0.1", 5), ("127.0.0.1", 80), CONFIG)
    except StopIteration:
        return Answered(0, b"")
    except ParseException as error:
        worker = GreenWorker.__new__(GreenWorker)
        GreenWorker.handle_error(worker, None, sock, None, error)
        return Answered(int(sock.sent.split(b" ", 2)[1]), sock.sent)
    found: dict[str, Any] = environ
    return found


def serve(app: Flask, environ: dict[str, Any]) -> Reached | Answered:
    """Where the application takes a request."""
    begun: list[tuple[str, Iterable[tuple[str, str]]]] = []

    def start(status: str, headers: Iterable[tuple[str, str]], _info: Any = None) -> Any:
        begun.append((status, headers))

    with app.request_context(environ):
        response = app.full_dispatch_request()
        reached = getattr(response, "reached", None)
        if reached is not None:
            return Reached(reached[0], environ["REQUEST_METHOD"], reached[1])
        body = b"".join(response(environ, start))
    status, headers = begun[0]
    told = "".join(f"{name}: {value}\n" for name, value in headers).encode("latin-1")
    return Answered(int(status[:3]), told + body)
