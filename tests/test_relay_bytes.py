"""Answers of bytes: passed on as they come, settled once however they end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.adapters.upstream import AnswerLost
from gateway.core.bounds import FREE
from gateway.core.errors import ApiError
from gateway.core.meters import Reading
from gateway.core.usage import Usage
from gateway.relay_bytes import PassedBytes, pass_bytes
from tests.adapters.provider_socket import Play, SocketProvider, Talk
from tests.paid_path import HELD_NANO, PaidPath, open_paid_path


@pytest.fixture
def path(redis_url: str, sqlite_url: str) -> Iterator[Callable[[Play], PaidPath]]:
    """Makes the paid path before a provider that plays what it is told."""
    opened: list[SocketProvider] = []

    def make(play: Play) -> PaidPath:
        opened.append(SocketProvider(play).__enter__())
        return open_paid_path(redis_url, sqlite_url, opened[0].port)

    yield make
    for provider in opened:
        provider.__exit__(None, None, None)


def by_bytes(count: int, whole: bool) -> Reading:
    """Two nano-dollars a byte, once all have come."""
    return Reading(Usage(output_tokens=count) if whole else None, None)


def by_request(_count: int, _whole: bool) -> Reading:
    """Seven nano-dollars, whatever comes."""
    return Reading(Usage(input_tokens=7), None)


def sound(*parts: bytes, size: int | None = None, close: bool = True) -> Play:
    """Say ``parts`` of an answer that is announced as ``size`` bytes."""

    def play(talk: Talk) -> None:
        talk.request()
        length = sum(map(len, parts)) if size is None else size
        talk.say(
            b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nx-request-id: req_1\r\n"
            b"Set-Cookie: a=b\r\nContent-Length: %d\r\n\r\n" % length
        )
        for part in parts:
            talk.say(part)
            talk.pause()
        if not close:
            talk.request()

    return play


def test_bytes_pass_as_they_come_and_are_charged_at_the_end(
    path: Callable[[Play], PaidPath],
) -> None:
    at = path(sound(b"one", b"two", b"\x00\xff"))
    exchange, hold = at.admitted()
    reply = pass_bytes(at.gate, exchange, hold, by_bytes)
    assert reply.status == 200
    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.headers["content-length"] == "8"
    assert reply.headers["x-request-id"] == "req_1"
    assert "set-cookie" not in reply.headers
    # What it costs is not known before it has come.
    assert "x-faregate-cost-usd" not in reply.headers
    assert at.counters() == (0, HELD_NANO)
    body = reply.body
    assert isinstance(body, PassedBytes)
    assert b"".join(body) == b"onetwo\x00\xff"
    assert list(body) == []
    body.close()
    assert at.outcome() == (16, "exact", 200, None)
    assert (at.counters(), at.settled()) == ((16, 0), True)


def test_what_is_known_beforehand_is_told_beforehand(path: Callable[[Play], PaidPath]) -> None:
    at = path(sound(b"x"))
    reply = pass_bytes(at.gate, *at.admitted(), by_request)
    assert reply.headers["x-faregate-cost-usd"] == "0.000000007"


def test_a_free_answer_is_free_however_it_ends(path: Callable[[Play], PaidPath]) -> None:
    at = path(sound(b"x", size=9))
    reply = pass_bytes(at.gate, *at.admitted(price=None, bound=FREE), by_bytes)
    assert float(reply.headers["x-faregate-cost-usd"]) == 0
    with pytest.raises(AnswerLost):
        b"".join(reply.body)  # type: ignore[arg-type]
    assert at.outcome()[:3] == (0, "exact", 200)


@pytest.mark.parametrize(
    ("judge", "outcome"),
    [
        (by_bytes, (HELD_NANO, "estimated", 200, "usage_not_reported")),
        (by_request, (7, "exact", 200, None)),
    ],
)
@pytest.mark.parametrize("end", ["broken off", "client gone", "client gone at once"])
def test_an_answer_that_is_not_whole_is_charged_for_the_most_it_can_be(
    path: Callable[[Play], PaidPath], judge: Any, outcome: Any, end: str
) -> None:
    at = path(sound(b"half", size=8))
    reply = pass_bytes(at.gate, *at.admitted(), judge)
    body = reply.body
    assert isinstance(body, PassedBytes)
    if end == "broken off":
        # The server ends the connection in the middle of the body, so it looks whole to nobody.
        with pytest.raises(AnswerLost):
            b"".join(body)
    elif end == "client gone":
        assert next(body) == b"half"
    for _ in range(2):
        body.close()
    assert at.outcome() == outcome
    assert at.settled()


def test_a_meter_that_fails_leaves_no_hold(path: Callable[[Play], PaidPath]) -> None:
    at = path(sound(b"half", b"half"))

    def judge(count: int, _whole: bool) -> Reading:
        if count:
            raise ZeroDivisionError
        return Reading(None, None)

    reply = pass_bytes(at.gate, *at.admitted(), judge)
    assert b"".join(reply.body) == b"halfhalf"  # type: ignore[arg-type]
    assert at.outcome()[:2] == (HELD_NANO, "estimated")
    assert at.settled()


def test_an_error_of_the_provider_passes_and_costs_nothing(
    path: Callable[[Play], PaidPath],
) -> None:
    body = b'{"error": {"message": "no", "type": "invalid_request_error"}}'

    def play(talk: Talk) -> None:
        talk.request()
        talk.answer(body, b"Content-Type: application/json", status=b"400 Bad Request")

    at = path(play)
    reply = pass_bytes(at.gate, *at.admitted(), by_bytes)
    assert (reply.status, reply.body) == (400, body)
    assert at.outcome()[0] == 0
    assert at.settled()


def test_an_answer_that_never_comes_is_charged_as_unknown(
    path: Callable[[Play], PaidPath],
) -> None:
    def play(talk: Talk) -> None:
        talk.request()

    at = path(play)
    with pytest.raises(ApiError) as error:
        pass_bytes(at.gate, *at.admitted(), by_bytes)
    assert error.value.status == 502
    assert at.outcome()[:2] == (HELD_NANO, "unknown")
    assert at.settled()


def test_a_large_answer_is_never_in_memory(path: Callable[[Play], PaidPath]) -> None:
    block, blocks = bytes(range(256)) * 4096, 120

    def play(talk: Talk) -> None:
        talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(block) * blocks))
        for _ in range(blocks):
            talk.say(block)

    at = path(play)
    body = pass_bytes(at.gate, *at.admitted(method="GET"), by_bytes).body
    assert isinstance(body, PassedBytes)
    tracemalloc.start()
    try:
        size = sum(len(data) for data in body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == len(block) * blocks
    assert peak < 8 * 1024 * 1024
