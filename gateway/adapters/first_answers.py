"""The first answer under each idempotency key, so that a client's retry neither runs nor bills.

An answer is kept only where the client sends ``Idempotency-Key``: that is its wish to get it
again. It is kept for a time that the deployment sets, and up to a size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_script import Script

_RESERVE_MS = 60_000
"""Longer than any request takes from its claim to its hold: then it has died in between."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """``claimed``, ``running``, ``other``, ``lost``; or ``answered``, with the answer."""

    state: str
    answer: FirstAnswer | None = None


class FirstAnswers:
    """The idempotency keys of one deployment."""

    def __init__(self, budgets: RedisBudgets, kept_seconds: int, bytes_max: int) -> None:
        self._redis: Any = budgets.redis
        self._keys = budgets.keys
        self._kept_ms = kept_seconds * 1000
        self.bytes_max = bytes_max
        self._claim = Script("claim")
        self._keep = Script("keep_answer")

    def _key(self, client_id: int, key: str) -> str:
        # What a client calls its requests is its own affair, and may be long.
        return self._keys.first_answer(client_id, hashlib.sha256(key.encode()).hexdigest())

    def claim(self, client_id: int, key: str, digest: str, request_id: str) -> Claim:
        """Claim ``key`` for a request, or learn what became of the first. Raises StoreDown."""
        keys = [self._key(client_id, key), self._keys.hold("")]
        args = [digest, request_id, self._kept_ms, _RESERVE_MS]
        try:
            reply = self._claim(self._redis, keys, args)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        if reply[0] != b"answered":
            return Claim(reply[0].decode())
        answer = FirstAnswer(int(reply[1]), orjson.loads(reply[2]), bytes(reply[3]))
        return Claim("answered", answer)

    def keep(self, client_id: int, key: str, request_id: str, answer: FirstAnswer) -> None:
        """Keep the answer for retries. Where that fails, a retry is told that it is lost."""
        kept = [answer.status, orjson.dumps(dict(answer.headers)), answer.body]
        self._end(client_id, key, [request_id, self._kept_ms, *kept])

    def give_up(self, client_id: int, key: str, request_id: str) -> None:
        """Let the key be used again: the request was refused, and nothing was billed."""
        self._end(client_id, key, [request_id, self._kept_ms])

    def _end(self, client_id: int, key: str, args: list[Any]) -> None:
        try:
            self._keep(self._redis, [self._key(client_id, key)], args)
        except RedisError as error:
            _log.warning("idempotency.not_kept", request_id=args[0], reason=str(error))
