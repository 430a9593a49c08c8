"""The counters of one deployment as a whole: their policy and state, and how they are reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.adapters.redis_script import Script
from gateway.adapters.redis_state import CounterState, Meeting


class StoreDown(Exception):
    """Redis did not answer; whether the call took effect is not known."""


def connect(
    url: str,
    timeout_seconds: float,
    *,
    connections_max: int = 512,
    meeting: RedisKeys | None = None,
) -> redis.Redis:
    """A Redis client that never repeats a command by itself and never waits without limit.

    ``meeting`` has each new connection look whether the server is the one that has kept the
    counters so far: needed wherever requests are admitted over it.
    """
    return redis.Redis.from_url(
        url,
        redis_connect_func=None if meeting is None else Meeting(meeting),
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections_max,
        health_check_interval=0,
        protocol=2,
    )


class RedisCounters:
    """What is said about the counters, and to them, as a whole."""

    def __init__(
        self, client: redis.Redis, keys: RedisKeys, pipeline: RedisPipeline | None = None
    ) -> None:
        # redis-py types its answers for its sync and async clients at once.
        self.redis: Any = client
        self._scripts: Any = pipeline or client
        self.keys = keys
        self._publish = Script("publish")
        self._look = Script("look")
        self._suspend = Script("suspend")

    def publish(self, version: int) -> int:
        """Announce a policy version; returns the one in force. Raises StoreDown.

        This opens a Redis that has no policy: for who knows that its counters are right.
        """
        keys = [self.keys.state, self.keys.policy_version]
        return int(self._run(self._publish, keys, [version, self.server()]))

    def announce(self, version: int) -> int:
        """Announce a policy version to a Redis that has one; 0 where it has none, and must
        be rebuilt first. Raises StoreDown."""
        keys = [self.keys.state, self.keys.policy_version]
        return int(self._run(self._publish, keys, [version, ""]))

    def policy_version(self) -> int | None:
        """The policy version in force; None where Redis has none. Raises StoreDown."""
        try:
            value = self.redis.get(self.keys.policy_version)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return None if value is None else int(value)

    def admits(self) -> bool:
        """Whether requests are admitted, as far as one read of Redis tells. Raises StoreDown."""
        try:
            return bool(self.redis.hexists(self.keys.state, "admits"))
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def events_waiting(self) -> int:
        """Usage events that SQL does not have yet. Raises StoreDown."""
        try:
            return int(self.redis.xlen(self.keys.events))
        except RedisError as error:
            raise StoreDown(str(error)) from error

    # The state of all counters

    def state(self, worker: str = "", presented: int = 0) -> CounterState:
        """Epoch and sequence, and whether requests are admitted. Raises StoreDown.

        A gateway ``worker`` that is named signs that it lives, and that it has presented its
        holds for the suspension of ``presented``.
        """
        keys = [self.keys.state, self.keys.present, self.keys.policy_version]
        reply = self._run(self._look, keys, [worker, presented])
        return CounterState.of(reply)

    def suspend(self, why: str) -> bool:
        """Stop admission until a rebuild; whether there was any. Raises StoreDown."""
        return bool(self._run(self._suspend, [self.keys.state], [why]))

    def server(self) -> str:
        """The run id of the Redis server. Raises StoreDown."""
        try:
            return str(self.redis.info("server")["run_id"])
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def forget_worker(self, worker: str) -> None:
        """Take a gateway worker that stops off the list of those that live. Raises StoreDown."""
        try:
            self.redis.hdel(self.keys.present, worker)
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            try:
                reply = script(self._scripts, keys, args)
            except redis.ConnectionError:
                # Once more on a fresh connection: a restarted server closes idle ones, and
                # every script is idempotent by request id.
                reply = script(self._scripts, keys, args)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        if isinstance(reply, list) and reply[0] == b"frozen":
            raise StoreDown("the counters are being rebuilt")
        return reply
