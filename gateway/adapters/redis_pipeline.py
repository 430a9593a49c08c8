"""One Redis connection for all greenlets of a process, commands and replies in batches.

A connection per request in flight costs a system call or two for each command. Here the
commands that greenlets issue in one turn of the event loop leave in one write, and the replies
that have arrived are taken in one read. Redis answers in the order of the commands, which is
all the bookkeeping there is. Connecting, signing in, packing and parsing are redis-py's.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

import gevent
import redis
from gevent.event import Event
from gevent.hub import Waiter
from gevent.lock import BoundedSemaphore
from redis.exceptions import ResponseError

_WATCH_SECONDS = 0.1


class RedisPipeline:
    """Runs commands for greenlets; not for threads. Raises redis-py's errors.

    A call that takes longer than ``timeout_seconds`` fails with all that wait beside it, and
    the connection is opened anew; whether any of them took effect is not known.
    """

    def __init__(self, client: redis.Redis, timeout_seconds: float) -> None:
        self._pool = client.connection_pool
        self._timeout = timeout_seconds
        self._link: _Link | None = None
        self._opening = BoundedSemaphore(1)
        self._attempts = 0
        self._failure: Exception = redis.ConnectionError("never connected")

    def execute_command(self, *args: Any) -> Any:
        """Run one command and wait for its reply."""
        link = self._link
        if link is None or link.broken is not None:
            link = self._open()
        return link.call(args)

    def close(self) -> None:
        """Close the connection; what waits on it fails."""
        if self._link is not None:
            self._link.fail(redis.ConnectionError("closed"))

    def _open(self) -> _Link:
        attempts = self._attempts
        with self._opening:
            link = self._link
            if link is not None and link.broken is None:
                return link
            if self._attempts != attempts:
                # Who waited for an attempt shares its end, instead of waiting for one more.
                raise self._failure
            self._attempts += 1
            try:
                self._link = _Link(self._pool, self._timeout)
            except (redis.RedisError, OSError) as error:
                self._failure = _connection_error(error)
                raise self._failure from error
            return self._link


class _Link:
    """One connection with a greenlet that writes, one that reads and one that watches."""

    def __init__(self, pool: Any, timeout_seconds: float) -> None:
        # The reader waits for as long as nothing is asked; the watcher keeps the time.
        kwargs = {**pool.connection_kwargs, "socket_timeout": None}
        self._connection = pool.connection_class(**kwargs)
        self._timeout = timeout_seconds
        self.broken: Exception | None = None
        self._outbox: list[bytes] = []
        self._waiting: deque[tuple[float, Waiter[Any]]] = deque()
        self._to_write = Event()
        with gevent.Timeout(timeout_seconds, redis.TimeoutError("connecting took too long")):
            self._connection.connect()
        for task in (self._write, self._read, self._watch):
            gevent.spawn(task)

    def call(self, args: tuple[Any, ...]) -> Any:
        """Queue one command and wait for its reply."""
        packed = self._connection.pack_command(*args)
        if self.broken is not None:
            raise self.broken
        waiter: Waiter[Any] = Waiter()
        # Both queues in one turn: replies come in the order of the commands.
        self._waiting.append((monotonic(), waiter))
        self._outbox.extend(packed)
        self._to_write.set()
        reply = waiter.get()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def fail(self, error: Exception) -> None:
        """Give up the connection; everything that waits on it fails with ``error``."""
        if self.broken is not None:
            return
        self.broken = error
        self._to_write.set()
        self._connection.disconnect()
        while self._waiting:
            self._answer(self._waiting.popleft()[1], error)

    def _write(self) -> None:
        while self.broken is None:
            self._to_write.wait()
            self._to_write.clear()
            outbox, self._outbox = self._outbox, []
            if not outbox or self.broken is not None:
                continue
            try:
                self._connection.send_packed_command([b"".join(outbox)], check_health=False)
            except (redis.RedisError, OSError) as error:
                self.fail(_connection_error(error))

    def _read(self) -> None:
        while self.broken is None:
            try:
                reply = self._connection.read_response()
            except ResponseError as error:
                reply = error
            except (redis.RedisError, OSError, AttributeError) as error:
                # AttributeError: closed by another greenlet while this one was reading.
                self.fail(_connection_error(error))
                return
            if not self._waiting:
                self.fail(redis.ConnectionError("Redis answered what nobody asked"))
                return
            self._answer(self._waiting.popleft()[1], reply)

    def _watch(self) -> None:
        late: Waiter[Any] | None = None
        while self.broken is None:
            gevent.sleep(_WATCH_SECONDS)
            oldest = self._waiting[0] if self._waiting else None
            if oldest is None or monotonic() - oldest[0] <= self._timeout:
                late = None
            elif oldest[1] is late:
                self.fail(redis.TimeoutError(f"no reply within {self._timeout:g} seconds"))
            else:
                # The reader gets a turn first: a process short of CPU finds replies that are
                # old, and there all the same.
                late = oldest[1]

    @staticmethod
    def _answer(waiter: Waiter[Any], reply: Any) -> None:
        # From the hub, as gevent wants it: switching from here would leave this greenlet behind.
        gevent.get_hub().loop.run_callback(waiter.switch, reply)


def _connection_error(error: Exception) -> Exception:
    if isinstance(error, redis.RedisError):
        return error
    return redis.ConnectionError(f"{type(error).__name__}: {error}")
