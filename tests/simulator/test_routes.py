from __future__ import annotations

import pytest

from gateway.simulator.routes import Routes
from gateway.simulator.server import Answer, Request


def _request(method: str, path: str) -> Request:
    return Request(method, path, "limit=5&after=x", {}, b"", True, True)


FOUND = [
    ("GET", "/v1/files", b"list", {}),
    ("GET", "/v1/files/file-1", b"get", {"file": "file-1"}),
    ("GET", "/v1/files/file-1/content", b"content", {"file": "file-1"}),
    ("GET", "/v1/models/ft:a/b", b"model", {"model": "ft:a/b"}),
    ("GET", "/v1/files/special", b"special", {}),
    ("POST", "/v1/files", None, {}),
    ("GET", "/v1/files/", None, {}),
    ("GET", "/v1/files/a/b", None, {}),
    ("GET", "/v1/models/", None, {}),
    ("GET", "/v1", None, {}),
]


@pytest.mark.parametrize(("method", "path", "body", "params"), FOUND)
def test_a_request_finds_its_endpoint(
    method: str, path: str, body: bytes | None, params: dict[str, str]
) -> None:
    def answer(name: str) -> Answer:
        return Answer(name.encode())

    routes = Routes(
        [
            ("GET", "/v1/files/{file}", lambda _: answer("get")),
            ("GET", "/v1/files", lambda _: answer("list")),
            ("GET", "/v1/files/{file}/content", lambda _: answer("content")),
            ("GET", "/v1/files/special", lambda _: answer("special")),
            ("GET", "/v1/models/{model*}", lambda _: answer("model")),
        ]
    )
    request = _request(method, path)
    endpoint = routes.find(request)
    if body is None:
        assert endpoint is None
        return
    assert endpoint is not None
    found = endpoint(request)
    assert isinstance(found, Answer)
    assert found.body == body
    assert request.params == params
    assert request.arguments() == {"limit": "5", "after": "x"}
