from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import IO

import gevent
import pytest

from gateway.adapters.file_contents import AT_ONCE, IN_MEMORY_BYTES, FileContents
from gateway.core.errors import BadRequest, UpstreamUnreachable
from tests.adapters.provider_socket import SocketProvider, Talk, says, upstream

Serve = Callable[..., SocketProvider]
LARGE = b"0123456789abcdef" * (IN_MEMORY_BYTES // 8)


def gives(body: bytes, status: bytes = b"200 OK") -> Callable[[Talk], None]:
    def play(talk: Talk) -> None:
        while talk.request():
            talk.answer(body, status=status)

    return play


def contents(provider: SocketProvider) -> FileContents:
    return FileContents(upstream(provider.port))


def test_a_content_comes_whole_and_can_be_read_again(serve: Serve) -> None:
    provider = serve(gives(LARGE))
    found = contents(provider).download("file-1", len(LARGE), "input_file_id")
    assert found.read() == LARGE
    found.seek(0)
    assert found.read(4) == b"0123"
    first = provider.requests[0].splitlines()[0]
    assert first == b"GET /v1/files/file-1/content HTTP/1.1"


def test_a_content_beyond_the_limit_is_refused(serve: Serve) -> None:
    provider = serve(gives(LARGE))
    with pytest.raises(BadRequest, match="larger than") as refused:
        contents(provider).download("file-1", len(LARGE) - 1, "input_file_id")
    assert refused.value.param == "input_file_id"


def test_a_content_that_is_not_given_is_refused(serve: Serve) -> None:
    provider = serve(gives(b"{}", b"404 Not Found"))
    with pytest.raises(BadRequest, match="status 404"):
        contents(provider).download("file-1", 10, "training_file")


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf a content"]
)
def test_a_content_that_breaks_off_is_never_taken_for_whole(serve: Serve, said: bytes) -> None:
    with pytest.raises(UpstreamUnreachable, match="nothing is charged"):
        contents(serve(says(said))).download("file-1", 1000, "training_file")


def test_contents_are_read_beside_the_loop_and_few_at_once(serve: Serve) -> None:
    files = contents(serve(gives(b"")))
    running, most, lock = 0, 0, threading.Lock()
    leave = threading.Event()

    def reader(content: IO[bytes]) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert leave.wait(10)
        with lock:
            running -= 1
        return len(content.read())

    jobs = [gevent.spawn(files.read, io.BytesIO(b"abc"), reader) for _ in range(AT_ONCE * 2)]
    while running < AT_ONCE:
        gevent.sleep(0.001)
    leave.set()
    assert [job.get() for job in jobs] == [3] * len(jobs)
    assert most == AT_ONCE


def test_what_a_reader_refuses_is_refused(serve: Serve) -> None:
    def reader(content: IO[bytes]) -> None:
        raise BadRequest("line 3")

    with pytest.raises(BadRequest, match="line 3"):
        contents(serve(gives(b""))).read(io.BytesIO(b""), reader)
