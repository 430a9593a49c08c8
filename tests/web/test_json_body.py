from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import ClientDisconnected

from gateway.core.errors import BadRequest, RequestTimeout
from gateway.core.strict_json import TOKEN_VALUES_MAX, parse_object
from gateway.settings import Settings
from gateway.web import json_body
from gateway.web.json_body import forwarded_headers, json_object

PRIVATE = [
    "Authorization",
    "Api-Key",
    "X-Api-Key",
    "Cookie",
    "Expect",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Client-Request-Id",
]


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_between_client_and_gateway_is_never_forwarded(name: str) -> None:
    settings = Settings(forward_header_prefixes=("x-", name.lower()))
    headers = {name: "secret", "X-Trace": "1", "OpenAI-Beta": "b"}
    with Flask("test").test_request_context(method="POST", headers=headers):
        assert forwarded_headers(settings) == {"openai-beta": "b", "x-trace": "1"}


@pytest.mark.parametrize(("size", "elsewhere"), [(10, False), (100_000, True)])
def test_a_large_body_is_parsed_where_nobody_waits(
    size: int, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed_by = []

    def parse(*parsing: Any) -> dict[str, Any]:
        parsed_by.append(threading.get_ident())
        return parse_object(*parsing)

    monkeypatch.setattr(json_body, "parse_object", parse)
    body = {"input": "x" * size}
    with Flask("test").test_request_context(method="POST", json=body):
        assert json_object(Settings())[0] == body
    assert (parsed_by != [threading.get_ident()]) is elsewhere


def test_a_large_body_that_is_wrong_is_refused_all_the_same() -> None:
    values = {"input": [1] * 101_000}
    with Flask("test").test_request_context(method="POST", json=values):
        assert json_object(Settings(), TOKEN_VALUES_MAX)[0] == values
    with (
        Flask("test").test_request_context(method="POST", json=values),
        pytest.raises(BadRequest, match="100,000 values"),
    ):
        json_object(Settings())


class Stalled(io.RawIOBase):
    """A body that begins, and then fails as a socket does."""

    def __init__(self, error: OSError) -> None:
        self._parts = [b'{"model":']
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        assert isinstance(into, bytearray | memoryview)
        if not self._parts:
            raise self._error
        part = self._parts.pop()
        into[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("length", ["100", None])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [(TimeoutError, RequestTimeout), (ConnectionResetError, ClientDisconnected)],
)
def test_a_silent_client_and_one_that_left_are_told_apart(
    length: str | None, failure: type[OSError], raised: type[Exception]
) -> None:
    app = Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    environ = {
        "wsgi.input": Stalled(failure("failed")),
        "wsgi.input_terminated": True,
        "CONTENT_TYPE": "application/json",
        **({"CONTENT_LENGTH": length} if length else {}),
    }
    with (
        app.test_request_context(method="POST", environ_overrides=environ),
        pytest.raises(raised) as error,
    ):
        json_object(Settings(client_timeout_seconds=7))
    if isinstance(error.value, RequestTimeout):
        assert "7 seconds" in error.value.message
