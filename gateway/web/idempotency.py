"""``Idempotency-Key``: a client's retry gets the first answer, and is neither run nor billed.

The key is claimed before anything is held, and the answer kept before the client has all of it.
A request that was refused leaves no trace, so its retry runs. One that may have been billed and
left no answer blocks its key: running it again could bill it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
from flask import Response, g, request

from gateway.adapters.first_answers import FirstAnswer, FirstAnswers
from gateway.adapters.redis_budgets import StoreDown
from gateway.core.errors import ApiError, BadRequest, Conflict, StoreUnavailable
from gateway.core.money import usd_from_nano
from gateway.core.policy import Policy
from gateway.exchange import Exchange, Prepare, Reply
from gateway.web.errors import rendered
from gateway.web.replies import response

KEY_CHARACTERS_MAX = 255
_FREE = usd_from_nano(0)
_DROPPED = frozenset(("retry-after", "retry-after-ms"))

_log = structlog.get_logger(__name__)

Run = Callable[[Prepare], Reply]
"""Admits and serves what a ``Prepare`` prepares."""


class _Answered(Exception):
    """The key has an answer already."""

    def __init__(self, answer: FirstAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def once(answers: FirstAnswers, prepare: Prepare, run: Run) -> Response:
    """The response to the current request, run at most once for its ``Idempotency-Key``.

    Raises ApiError: BadRequest for a bad key, Conflict where the key was used with another
    request, or is in use, or its answer is lost.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return response(run(prepare))
    if not (0 < len(key) <= KEY_CHARACTERS_MAX and key.isascii() and key.isprintable()):
        raise BadRequest(
            f"Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} printable ASCII characters."
        )
    first = _First(answers, key, prepare)
    try:
        reply = run(first.prepare)
    except _Answered as found:
        return _again(found.answer)
    except ApiError as error:
        first.refused(error)
        raise
    return response(first.answered(reply))


class _First:
    """One request under its key, from the claim to the kept answer."""

    def __init__(self, answers: FirstAnswers, key: str, prepare: Prepare) -> None:
        self._answers = answers
        self._key = key
        self._prepare = prepare
        self._exchange: Exchange | None = None

    def prepare(self, policy: Policy) -> Exchange:
        """Prepare, and claim the key before a hold is placed.

        Under a new policy the request is prepared again: it stays the same request.
        """
        exchange = self._prepare(policy)
        if self._exchange is not None:
            exchange = replace(exchange, request_id=self._exchange.request_id)
        tape = _Recording(self)
        exchange = replace(exchange, tape=tape)
        try:
            claim = self._answers.claim(
                exchange.client.id, self._key, _digest(exchange), exchange.request_id
            )
        except StoreDown:
            raise StoreUnavailable(
                "The gateway cannot check the Idempotency-Key at the moment. Try again shortly.",
                headers={"retry-after": "1"},
            ) from None
        if claim.answer is not None:
            raise _Answered(claim.answer)
        if claim.state != "claimed":
            raise _conflict(claim.state)
        self._exchange = exchange
        return exchange

    def refused(self, error: ApiError) -> None:
        """An error ends the claim; but where something was billed, it is the answer."""
        if self._exchange is None:
            return
        if error.headers.get("x-faregate-cost-usd", _FREE) == _FREE:
            self._give_up()
        else:
            body = rendered(error)
            headers = {"content-type": "application/json", **error.headers}
            self.keep(FirstAnswer(error.status, headers, body))

    def answered(self, reply: Reply) -> Reply:
        """Keep a whole answer, or have a running one recorded as it goes out."""
        assert self._exchange is not None
        if not isinstance(reply.body, bytes):
            tape = self._exchange.tape
            assert isinstance(tape, _Recording)
            tape.head = (reply.status, dict(reply.headers))
            return reply
        if reply.status >= 400 and reply.headers.get("x-faregate-cost-usd", _FREE) == _FREE:
            self._give_up()
        else:
            self.keep(FirstAnswer(reply.status, reply.headers, reply.body))
        return reply

    def keep(self, answer: FirstAnswer) -> None:
        """Keep an answer, unless it is too large to be kept."""
        assert self._exchange is not None
        if len(answer.body) > self._answers.bytes_max:
            _log.warning("idempotency.too_large", request_id=self._exchange.request_id)
            return
        client_id, request_id = self._exchange.client.id, self._exchange.request_id
        self._answers.keep(client_id, self._key, request_id, answer)

    @property
    def bytes_max(self) -> int:
        """The largest answer that is kept."""
        return self._answers.bytes_max

    def _give_up(self) -> None:
        assert self._exchange is not None
        self._answers.give_up(self._exchange.client.id, self._key, self._exchange.request_id)


class _Recording:
    """Records a running answer and keeps it once it is whole."""

    def __init__(self, first: _First) -> None:
        self._first = first
        self._parts: list[bytes] = []
        self._bytes = 0
        self._kept = False
        self.head: tuple[int, dict[str, str]] = (200, {})

    def write(self, data: bytes) -> None:
        """Take the next bytes; what grows too large is not kept, and not in memory either."""
        self._bytes += len(data)
        if self._bytes > self._first.bytes_max:
            self._parts.clear()
        else:
            self._parts.append(data)

    def end(self) -> None:
        """Keep what was recorded; does nothing twice."""
        if self._kept:
            return
        self._kept = True
        if self._bytes <= self._first.bytes_max:
            status, headers = self.head
            self._first.keep(FirstAnswer(status, headers, b"".join(self._parts)))


def _digest(exchange: Exchange) -> str:
    """What makes a request the same one: its path and its body."""
    return f"{request.path} {exchange.endpoint} {g.body_digest if 'body_digest' in g else ''}"


def _conflict(state: str) -> Conflict:
    if state == "running":
        return Conflict(
            "A request with this Idempotency-Key is still being answered. Try again shortly.",
            code="idempotency_in_progress",
            headers={"retry-after": "1"},
        )
    if state == "lost":
        return Conflict(
            "The first request with this Idempotency-Key was interrupted after it may have been"
            " billed, or its answer was too large to be kept. It is not run again: use a new key"
            " for a new request.",
            code="idempotency_answer_lost",
            headers={"x-should-retry": "false"},
        )
    return Conflict(
        "This Idempotency-Key was used with another request before. Use a new key for a new"
        " request.",
        code="idempotency_key_reused",
        headers={"x-should-retry": "false"},
    )


def _again(answer: FirstAnswer) -> Response:
    headers = {
        name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED
    }
    headers["x-faregate-idempotent-replay"] = "true"
    return response(Reply(answer.status, headers, answer.body))
