"""What a rebuild of the counters does to Redis, step by step; each step is one Lua script.

A rebuild *freezes* the counters under a token of its own, sets them, and opens them again. Every
step checks that the token still holds, so of several rebuilds one at most comes to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from redis.exceptions import RedisError

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_script import Script
from gateway.core.holds import Hold, RateState

FROZEN_SECONDS = 10.0
_BATCH = 500
_T = TypeVar("_T")

Window = tuple[int, int]
"""Budget id and window start in milliseconds."""


class TimeLost(Exception):
    """The rebuild took longer than it had frozen the counters for, and changes nothing more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A hold that is open, and whether it was handed over to long-lived work."""

    hold: Hold
    handed: bool = False


@dataclass(frozen=True, slots=True)
class Counters:
    """What one hash of counters is set to: one field or two, and when it may go (0: as it is)."""

    key: str
    values: tuple[tuple[str, int], ...]
    forget_ms: int = 0


class RedisRebuild:
    """One attempt to rebuild. Methods raise StoreDown, and TimeLost once frozen."""

    def __init__(self, budgets: RedisBudgets) -> None:
        self._redis: Any = budgets.redis
        self._keys = budgets.keys
        self._token = uuid4().hex
        self._freeze = Script("freeze")
        self._restore = Script("restore")
        self._restore_hold = Script("restore_hold", with_hold=True)
        self._reopen = Script("reopen")

    def freeze(self) -> bool:
        """Keep all others from changing the counters, or go on doing so; whether that worked."""
        args = [self._token, int(FROZEN_SECONDS * 1000)]
        return bool(self._run(self._freeze, [self._keys.state], args))

    def workers(self) -> dict[str, tuple[int, int]]:
        """Of each gateway worker: when it signed last, and the suspension it presented for."""
        try:
            found = self._redis.hgetall(self._keys.present)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        split = {name.decode(): value.decode().split(":") for name, value in found.items()}
        return {name: (int(at), int(presented or 0)) for name, (at, presented) in split.items()}

    def forget_workers(self, names: Sequence[str]) -> None:
        """Take workers that are gone off the list."""
        if names:
            try:
                self._redis.hdel(self._keys.present, *names)
            except RedisError as error:
                raise StoreDown(str(error)) from error

    def events(self, after: str | None) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        """The usage events that wait, behind the one named ``after``."""
        last = after
        while True:
            start = "-" if last is None else f"({last}"
            try:
                page = self._redis.xrange(self._keys.events, min=start, count=_BATCH)
            except RedisError as error:
                raise StoreDown(str(error)) from error
            for entry_id, fields in page:
                last = entry_id.decode()
                yield last, fields
            if len(page) < _BATCH:
                return

    def open_holds(self) -> list[Kept]:
        """Every open hold that Redis has."""
        try:
            ids = [found.decode() for found in self._redis.zrange(self._keys.holds, 0, -1)]
            kept = []
            for batch in _batches(ids):
                with self._redis.pipeline(transaction=False) as pipe:
                    for request_id in batch:
                        pipe.hgetall(self._keys.hold(request_id))
                    for request_id, fields in zip(batch, pipe.execute(), strict=True):
                        if fields.get(b"state") == b"open":
                            kept.append(_kept(request_id, fields))
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return kept

    def windows(self) -> set[Window]:
        """The budget windows that Redis has counters of."""
        names = (name.rsplit(":", 2) for name in self._names(self._keys.budget_pattern()))
        return {(int(budget_id), int(start)) for _, budget_id, start in names}

    def clients(self) -> set[int]:
        """The clients that Redis has limits of."""
        return {int(name.rsplit(":", 1)[1]) for name in self._names(self._keys.client_pattern())}

    def set_counters(self, counters: Iterable[Counters]) -> None:
        """Set hashes of counters."""
        for batch in _batches(list(counters)):
            args: list[Any] = [self._token]
            for one in batch:
                (first, value), *rest = one.values
                second, other = rest[0] if rest else ("", 0)
                args += [first, value, second, other, one.forget_ms]
            self._write(self._restore, [self._keys.state, *(one.key for one in batch)], args)

    def keep_hold(self, kept: Kept, lease_seconds: float) -> None:
        """Have a hold open, with a lease that is not shorter than this."""
        self._hold(kept, int(lease_seconds * 1000), -1)

    def end_hold(self, kept: Kept, charged_nano: int | None) -> None:
        """Have a hold that has ended closed; or expired, where a correction may follow."""
        self._hold(kept, 0, -1 if charged_nano is None else charged_nano)

    def reopen(
        self, epoch: int, sequence: int, server: str, policy_version: int, suspended_at_ms: int
    ) -> bool:
        """Admit requests, in a new epoch; False where the roll must be called again."""
        keys = [self._keys.state, self._keys.policy_version]
        suspension = suspended_at_ms or ""
        args = [self._token, epoch, sequence, server, policy_version, suspension]
        return bool(self._run(self._reopen, keys, args))

    def _hold(self, kept: Kept, lease_ms: int, charged_nano: int) -> None:
        hold = kept.hold
        keys = [self._keys.state, self._keys.hold(hold.request_id), self._keys.holds]
        args: list[Any] = [self._token, hold.request_id, lease_ms, charged_nano]
        args += [hold.amount_nano, hold.placed_on, hold.reserved_at_ms, hold.context]
        args += [int(kept.handed), hold.granted_output_tokens]
        self._write(self._restore_hold, keys, args)

    def _write(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> None:
        if not self._run(script, keys, args):
            raise TimeLost

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return script(self._redis, keys, args)
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def _names(self, pattern: str) -> list[str]:
        try:
            return [name.decode() for name in self._redis.scan_iter(match=pattern, count=1000)]
        except RedisError as error:
            raise StoreDown(str(error)) from error


def _kept(request_id: str, fields: dict[bytes, bytes]) -> Kept:
    placed_on = fields[b"budgets"].decode()
    windows = tuple(
        (int(part.split(":")[0]), int(part.split(":")[1])) for part in placed_on.split(",") if part
    )
    hold = Hold(
        request_id=request_id,
        client_id=0,
        model="",
        budget_windows=windows,
        granted_output_tokens=int(fields[b"granted"]),
        amount_nano=int(fields[b"amount"]),
        reserved_at_ms=int(fields[b"at"]),
        left_nano=-1,
        rates=RateState(),
        placed_on=placed_on,
        context=fields[b"context"],
    )
    return Kept(hold, fields.get(b"handed") == b"1")


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
