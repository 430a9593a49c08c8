"""The state of all counters: their epoch, and the server that has kept them since it began.

An epoch is a time in which one Redis server kept the counters without loss. Requests are admitted
in an epoch only. It ends when the server is another one, was started again, or turns out to know
less than it did: then admission is suspended until ``gateway.workers.rebuilder`` has computed the
counters anew, which begins the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_script import Script


@dataclass(frozen=True, slots=True)
class CounterState:
    """What Redis says of its counters; 0, empty and False for what it does not have."""

    epoch: int = 0
    """When the epoch began, in milliseconds; they only grow."""
    sequence: int = 0
    """Counts every change of the counters, and never goes back."""
    server: str = ""
    """Run id of the server that has kept them."""
    admits: bool = False
    suspended_at_ms: int = 0
    why: str = ""
    now_ms: int = 0

    @classmethod
    def of(cls, reply: Sequence[Any]) -> CounterState:
        """The state in a reply of ``lua/look.lua``."""
        epoch, sequence, server, admits, suspended_at, why, now = (
            value.decode() for value in reply
        )
        return cls(
            int(epoch or 0),
            int(sequence or 0),
            server,
            admits == "1",
            int(suspended_at or 0),
            why,
            int(now),
        )


class Meeting:
    """Run on each new connection: suspends admission where the server is another than before."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self._meet = Script("meet")

    def __call__(self, connection: Any) -> None:
        """Connect as redis-py does, then compare run ids. Raises redis-py's errors."""
        connection.on_connect()
        connection.send_command("INFO", "server")
        server = _run_id(connection.read_response())
        connection.send_command("EVAL", self._meet.source, 1, self._keys.state, server)
        connection.read_response()


def _run_id(info: bytes | str) -> str:
    text = info.decode() if isinstance(info, bytes) else info
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:")
    raise RedisError("INFO server names no run_id, by which one Redis server is told from another")
