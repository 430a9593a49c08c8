from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from flask import Flask

from gateway.adapters.object_rows import find_object
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.errors import BadRequest
from gateway.core.holds import Hold
from gateway.core.objects import Found, Kind
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay import complete, release
from gateway.web.current import Services
from gateway.web.serving import Serve, serve
from tests.adapters.provider_socket import SocketProvider, Talk
from tests.paid_path import HELD_NANO, PaidPath, open_paid_path

ANSWER = {"id": "resp_1", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@pytest.fixture
def path(redis_url: str, sqlite_url: str) -> Iterator[PaidPath]:
    def play(talk: Talk) -> None:
        while talk.request():
            talk.answer(json.dumps(ANSWER).encode(), b"Content-Type: application/json")

    with ExitStack() as opened:
        provider = opened.enter_context(SocketProvider(play))
        yield open_paid_path(redis_url, sqlite_url, provider.port)


def served(path: PaidPath, how: Serve, **given: Any) -> Any:
    at = cast(Services, SimpleNamespace(gate=path.gate, answers=None))
    with Flask("test").test_request_context(method="POST"):
        return serve(at, partial(path.exchange, **given), how)


def test_an_answer_is_served_and_settled(path: PaidPath) -> None:
    def owns(answer: Mapping[str, Any]) -> Sequence[Found]:
        return [Found(Kind.RESPONSE, answer["id"])]

    answer = served(path, complete, owns=owns)
    assert (answer.status_code, answer.get_json()) == (200, ANSWER)
    assert path.outcome()[:2] == (7, "exact")
    assert path.settled()
    path.gate.objects.move()
    assert find_object(path.engine, Kind.RESPONSE, "resp_1") is not None


def test_objects_that_cannot_be_read_fail_no_answer(path: PaidPath) -> None:
    def owns(answer: Mapping[str, Any]) -> Sequence[Found]:
        return [Found(Kind.RESPONSE, answer["absent"])]

    assert served(path, complete, owns=owns).status_code == 200
    assert path.outcome()[:2] == (7, "exact")
    assert path.settled()


class Stopped(BaseException):
    """The greenlet ends here."""


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), Stopped(), gevent.GreenletExit(), BadRequest("x")]
)
def test_a_failure_of_ours_leaves_no_hold_open(path: PaidPath, error: Any) -> None:
    def how(_gate: Gate, _exchange: Exchange, _hold: Hold) -> Reply:
        raise error

    with pytest.raises(type(error)):
        served(path, how)
    assert path.outcome() == (HELD_NANO, "unknown", 500, "interrupted")
    assert path.settled()


def test_a_failure_after_the_end_charges_nothing_more(path: PaidPath) -> None:
    def how(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
        release(gate, exchange, hold, 400, "refused")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        served(path, how)
    assert path.outcome()[0] == 0
    assert path.settled()


def test_a_failure_after_an_end_that_waits_for_redis_charges_nothing_more(
    path: PaidPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise StoreDown("away")

    def how(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
        with monkeypatch.context() as patch:
            patch.setattr(RedisBudgets, "release", away)
            release(gate, exchange, hold, 400, "refused")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        served(path, how)
    late = gevent.spawn(path.gate.keeper.resolve_backlog)
    assert path.gate.keeper.drain(10)
    gevent.kill(late)
    assert path.outcome()[0] == 0
    assert path.settled()


def test_work_that_was_handed_over_is_not_charged_for_a_failure(path: PaidPath) -> None:
    def how(gate: Gate, _exchange: Exchange, hold: Hold) -> Reply:
        gate.keeper.hand_over(hold, 100)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        served(path, how)
    assert path.events() == []
    assert path.counters() == (0, HELD_NANO)
