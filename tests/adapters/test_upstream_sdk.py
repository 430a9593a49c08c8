"""What the gateway asks of the provider with the SDK, off the hot path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.adapters.upstream import (
    UpstreamError,
)
from tests.adapters.provider_socket import (
    PATIENCE,
    SocketProvider,
    Talk,
    answers,
    send,
    upstream,
)
from tests.processes import find_free_port

# What is sent


def test_models_are_the_sdk_s(serve: Callable[..., SocketProvider]) -> None:
    listed = {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}

    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(json.dumps(listed).encode(), b"Content-Type: application/json")

    to = upstream(serve(play).port)
    assert [model.id for model in to.models()] == ["gpt-4o"]
    with pytest.raises(UpstreamError):
        upstream(find_free_port()).models()


@pytest.mark.parametrize(
    ("status", "body", "known"),
    [
        (200, {"id": "file-1"}, True),
        (404, {"error": {"message": "gone", "type": "invalid_request_error"}}, False),
        # Whoever says this does not find the provider; the object may well be there.
        (404, {"detail": "Not Found"}, None),
        (503, {"error": {"message": "busy", "type": "server_error"}}, None),
    ],
)
def test_an_object_is_gone_where_the_provider_says_so(
    serve: Callable[..., SocketProvider], status: int, body: dict[str, Any], known: bool | None
) -> None:
    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(
            json.dumps(body).encode(), b"Content-Type: application/json", status=b"%d X" % status
        )

    to = upstream(serve(play).port)
    if known is None:
        with pytest.raises(UpstreamError):
            to.described("/files/file-1")
    else:
        assert to.described("/files/file-1") == (body if known else None)


def test_the_sdk_connects_directly_as_the_hot_path_does(
    serve: Callable[..., SocketProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{find_free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(b'{"object": "list", "data": []}', b"Content-Type: application/json")

    provider = serve(play, answers)
    to = upstream(provider.port)
    assert to.models() == []
    assert send(to, b"x").body(PATIENCE) == b"x"
