from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable

import pytest

from gateway.adapters.upstream import (
    AnswerLost,
    AnswerTimeout,
)
from tests.adapters.provider_socket import (
    PATIENCE,
    SocketProvider,
    Talk,
    answers,
    says,
    send,
    upstream,
)

# Where the answer was lost


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"HTTP/1.1 200 OK\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"SSH-2.0-OpenSSH\r\n\r\n",),
        (b"\x15\x03\x01\x00\x02\x02\x16",),
    ],
)
def test_a_connection_that_ends_before_the_answer_has_lost_it(
    serve: Callable[..., SocketProvider], parts: tuple[bytes, ...]
) -> None:
    provider = serve(says(*parts))
    with pytest.raises(AnswerLost):
        send(upstream(provider.port))
    # Never asked again: the provider may have billed.
    assert len(provider.requests) == len(provider.talks) == 1


def test_a_reset_before_the_answer_has_lost_it(serve: Callable[..., SocketProvider]) -> None:
    def reset(talk: Talk) -> None:
        talk.request()
        talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    provider = serve(reset)
    with pytest.raises(AnswerLost):
        send(upstream(provider.port))
    assert len(provider.requests) == 1


def test_a_used_connection_that_dies_with_a_request_on_it_is_not_retried(
    serve: Callable[..., SocketProvider],
) -> None:
    def second_time(talk: Talk) -> None:
        talk.request()
        talk.answer(b"one")
        talk.request()

    provider = serve(second_time, answers)
    to = upstream(provider.port)
    assert send(to).body(PATIENCE) == b"one"
    with pytest.raises(AnswerLost):
        send(to)
    assert len(provider.talks) == 1


def test_silence_before_the_answer_times_out(serve: Callable[..., SocketProvider]) -> None:
    provider = serve(says(hang=True))
    to = upstream(provider.port, connections=1, upstream_read_timeout_seconds=0.05)
    for _ in range(2):
        with pytest.raises(AnswerTimeout):
            send(to)
    assert len(provider.requests) == 2


def test_silence_within_the_answer_can_be_waited_out(serve: Callable[..., SocketProvider]) -> None:
    def slow(talk: Talk) -> None:
        talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        go_on.wait(10)
        talk.say(b"cd")

    go_on = threading.Event()
    provider = serve(slow)
    answer = send(upstream(provider.port))
    assert answer.some(PATIENCE) == b"ab"
    for _ in range(2):
        with pytest.raises(AnswerTimeout):
            answer.some(0.02)
    go_on.set()
    assert answer.some(PATIENCE) == b"cd"
    assert answer.some(PATIENCE) == b""


def test_a_whole_body_that_takes_too_long_closes_the_connection(
    serve: Callable[..., SocketProvider],
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
    to = upstream(serve(says(head, hang=True)).port, connections=1)
    for _ in range(2):
        with pytest.raises(AnswerTimeout):
            send(to).body(0.03)


@pytest.mark.parametrize(
    "cut_short",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfzz\r\n",
    ],
)
def test_an_answer_that_is_cut_short_is_lost(
    serve: Callable[..., SocketProvider], cut_short: bytes
) -> None:
    to = upstream(serve(says(cut_short)).port, connections=1)
    for _ in range(2):
        with pytest.raises(AnswerLost):
            send(to).body(PATIENCE)


# Bodies


@pytest.mark.parametrize(
    "head",
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nT: 1\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdef",
        b"HTTP/1.0 200 OK\r\n\r\nabcdef",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_is_whole_however_it_is_framed_and_cut(
    serve: Callable[..., SocketProvider], head: bytes, size: int
) -> None:
    parts = [head[start : start + size] for start in range(0, len(head), size)]
    assert send(upstream(serve(says(*parts)).port)).body(PATIENCE) == b"abcdef"


def test_an_empty_body_and_odd_statuses(serve: Callable[..., SocketProvider]) -> None:
    for status in (b"204 No Content", b"500 \xff", b"429 "):
        provider = serve(says(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"))
        answer = send(upstream(provider.port))
        assert (answer.status, answer.body(PATIENCE)) == (int(status[:3]), b"")


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"x-gzip", gzip.compress),
        (b"GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"identity", bytes),
    ],
)
def test_a_compressed_answer_is_read_though_none_was_asked_for(
    serve: Callable[..., SocketProvider], encoding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    plain = json.dumps({"usage": list(range(1000))}).encode()

    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(encode(plain), b"Content-Encoding: " + encoding)

    assert send(upstream(serve(play).port)).body(PATIENCE) == plain


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, br"])
def test_an_encoding_that_cannot_be_read_is_a_lost_answer(
    serve: Callable[..., SocketProvider], encoding: bytes
) -> None:
    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(b"xxxx", b"Content-Encoding: " + encoding)
        talk.request()

    to = upstream(serve(play).port, connections=1)
    for _ in range(2):
        with pytest.raises(AnswerLost):
            send(to)


def test_broken_compression_is_a_lost_answer(serve: Callable[..., SocketProvider]) -> None:
    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(b"not gzip at all", b"Content-Encoding: gzip")

    with pytest.raises(AnswerLost):
        send(upstream(serve(play).port)).body(PATIENCE)


def test_headers_are_given_as_received(serve: Callable[..., SocketProvider]) -> None:
    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(b"", b"X-Request-Id: req_1", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-E:")

    answer = send(upstream(serve(play).port))
    assert answer.header("x-request-id") == "req_1"
    assert answer.header("set-cookie") == "a=1"
    assert answer.header("x-none") is None
    assert [value for name, value in answer.headers() if name.lower() == "set-cookie"] == [
        "a=1",
        "b=2",
    ]
