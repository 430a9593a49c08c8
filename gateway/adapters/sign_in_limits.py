"""How often somebody may try to sign in: counted in Redis, for all gateways together."""

from __future__ import annotations

import unicodedata

from redis.exceptions import RedisError

from gateway.adapters.redis_counters import RedisCounters, StoreDown
from gateway.core.credentials import hash_secret

WINDOW_SECONDS = 900
EMAIL_TRIES = 10
"""Tries for one e-mail address in a window. At that pace a list of the thousand commonest
passwords takes a day, and none of those has twelve characters."""
ADDRESS_TRIES = 100
"""Tries from one network address in a window: a company's people may share one."""


class TooManyTries(Exception):
    """Nothing is tried for ``wait_seconds``; ``of`` says what the limit is on."""

    def __init__(self, of: str, wait_seconds: int) -> None:
        super().__init__(f"too many tries of this {of}")
        self.of = of
        self.wait_seconds = wait_seconds


class SignInLimits:
    """Counts tries before they are made, so that many at once are no way around."""

    def __init__(self, counters: RedisCounters) -> None:
        self._redis = counters.redis
        self._keys = counters.keys

    def count(self, address: str | None, email: str | None = None) -> None:
        """Count a try. Raises TooManyTries, and StoreDown where it cannot be counted."""
        wanted = [("address", address, ADDRESS_TRIES), ("e-mail address", email, EMAIL_TRIES)]
        for of, who, most in wanted:
            if who is None:
                continue
            tries, wait = self._move(self._key(of, who), 1)
            if tries > most:
                raise TooManyTries(of, wait)

    def forgive(self, address: str | None, email: str) -> None:
        """Take back what a try that succeeded has counted. Raises StoreDown."""
        try:
            self._redis.delete(self._key("e-mail address", email))
        except RedisError as error:
            raise StoreDown(str(error)) from error
        if address is not None:
            self._move(self._key("address", address), -1)

    def _move(self, key: str, by: int) -> tuple[int, int]:
        """Move a counter, which ends with its window; its value, and the seconds left."""
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipe.incrby(key, by)
                pipe.ttl(key)
                _, value, left = pipe.execute()
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return int(value), max(int(left), 1)

    def _key(self, of: str, who: str) -> str:
        # Hashed, since it is text of any length that anybody may send.
        return self._keys.sign_ins(of.partition("-")[0], hash_secret(_spelled_once(who))[:32])


def _spelled_once(who: str) -> str:
    """``who`` in one spelling: accounts take an address in each of its Unicode forms."""
    return unicodedata.normalize("NFC", who).strip().lower()
