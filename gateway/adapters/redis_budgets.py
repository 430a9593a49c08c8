"""Budgets in Redis: reserve, settle, release, expire. Each is one Lua script, one round trip.

Amounts are integer nano-dollars, times are the Redis server's, in milliseconds. Every script
is idempotent by request id, so a call whose reply was lost may be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from time import monotonic, time_ns
from typing import Any

import orjson
import redis
from redis.exceptions import RedisError

from gateway.adapters.redis_counters import RedisCounters, StoreDown, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.adapters.redis_replies import granted_hold, looked, refusal, reserve_call
from gateway.adapters.redis_script import Script
from gateway.adapters.redis_state import CounterState
from gateway.core.budgets import Budget, Window, window_at
from gateway.core.holds import (
    Hold,
    HoldRequest,
    Look,
    RateRefused,
    RateState,
    Resolution,
)
from gateway.core.policy import Client

__all__ = ["HoldMismatch", "RedisBudgets", "StoreDown", "connect"]

_ASKED_AT_ONCE = 500


class HoldMismatch(Exception):
    """The caller's idea of a hold is not the stored one; nothing was changed."""


class RedisBudgets(RedisCounters):
    """The counters and holds of one deployment.

    ``pipeline`` runs the scripts of a process with many greenlets over one connection.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: RedisKeys,
        lease_seconds: float,
        pipeline: RedisPipeline | None = None,
    ) -> None:
        super().__init__(client, keys, pipeline)
        self._lease_ms = int(lease_seconds * 1000)
        self._reserve = Script("reserve")
        self._settle = Script("settle", with_hold=True)
        self._release = Script("release", with_hold=True)
        self._expire = Script("expire", with_hold=True)
        self._renew = Script("renew")
        self._hand_over = Script("hand_over", with_hold=True)
        self._place_again = Script("place_again", with_hold=True)
        self._part = Script("part", with_hold=True)
        self.epoch = 0
        """The epoch of the counters as this process knows it; 0 before its first reserve."""
        self._seen = 0
        self.present: Callable[[], None] | None = None
        """Called when an unknown epoch is met: presents what this process knows, and adopts it."""
        self._windows: dict[tuple[str, str], Window] = {}
        self._clock_ahead_ms = 0
        self._full_until: dict[int, tuple[int, float]] = {}
        """Requests a minute, and when the next is possible, of clients that had used them up."""

    def reserve(self, wish: HoldRequest) -> Hold:
        """Place one hold against every budget and limit of ``wish``.

        Raises BudgetRefused, RateRefused, PolicyStale, HoldClosed, CountersLost, or StoreDown
        (then a hold may exist: release it).
        """
        windows, reply, epoch = self._asked(wish)
        if reply[0] != b"granted":
            self._refuse(wish, windows, reply)
        self._seen = max(self._seen, int(reply[-1]))
        return granted_hold(wish, windows, reply, epoch)

    def look(self, wish: HoldRequest) -> Look:
        """What ``reserve`` would do now, and how all that it looks at stands. Writes nothing.

        Raises PolicyStale, CountersLost or StoreDown.
        """
        windows, reply, epoch = self._asked(wish, looks=True)
        if reply[0] != b"looked":
            raise refusal(wish, windows, reply)
        return looked(wish, windows, reply, epoch)

    def _asked(
        self, wish: HoldRequest, *, looks: bool = False
    ) -> tuple[Sequence[Window], Sequence[Any], int]:
        """The windows that ``wish`` was put in, the answer, and the epoch that it is of."""
        for _ in range(4):
            windows = [self.window(budget) for budget in wish.budgets]
            epoch = self.epoch
            known = (self._lease_ms, epoch, self._seen)
            keys, args = reserve_call(self.keys, wish, windows, *known, looks=looks)
            reply = self._run(self._reserve, keys, args)
            if reply[0] == b"epoch":
                self._meet_epoch(int(reply[1]), int(reply[2]))
            elif reply[0] == b"window":
                # Our clock and the server's disagree about the period: take the server's.
                self._clock_ahead_ms = time_ns() // 1_000_000 - int(reply[1])
                self._windows.clear()
            else:
                return windows, reply, epoch
        raise StoreDown("the epoch or the clock of the Redis server does not stand still")

    def still_refused(self, client: Client) -> RateRefused | None:
        """The refusal that ``client`` would get, where it had one of this process and its time
        is not over: nothing but time frees its requests a minute. Redis is not asked."""
        limit, until = self._full_until.get(client.id, (0, 0.0))
        wait = until - monotonic()
        if wait <= 0 or limit != client.requests_per_minute:
            return None
        return RateRefused("requests", ceil(wait * 1000), 0)

    def settle(
        self,
        hold: Hold,
        cost_nano: int,
        tokens: int,
        output_tokens: int,
        result: bytes,
        *,
        charged_nano: int | None = None,
    ) -> Resolution:
        """Replace ``hold`` by ``cost_nano``; -1 tokens where the count is not known.

        A second settle changes nothing. The outcome is ``late`` where Redis has lost what it
        knew of the hold, and nothing was changed: then SQL must be asked (``usage_rows.ended``),
        and ``charged_nano`` is what it says: -1 where it has no record of the request, else what
        was charged when its hold expired. Raises StoreDown.
        """
        keys = [*self._hold_keys(hold), self.keys.need(hold.client_id, hold.model)]
        args = [hold.request_id, cost_nano, tokens, output_tokens, result]
        args += _as_placed(hold, charged_nano)
        reply = self._run(self._settle, self._with_events(keys, hold), args)
        return _resolution(reply)

    def release(self, hold: Hold, result: bytes, *, charged_nano: int | None = None) -> Resolution:
        """Drop ``hold``: the provider billed nothing.

        ``late`` and ``charged_nano`` are as for ``settle``. Raises StoreDown.
        """
        keys = self._with_events(self._hold_keys(hold), hold)
        args = [hold.request_id, result, *_as_placed(hold, charged_nano)]
        return _resolution(self._run(self._release, keys, args))

    def release_unsure(self, wish: HoldRequest) -> None:
        """Release a reserve whose reply was lost, whether or not it took effect, or ever will.

        Raises StoreDown.
        """
        nothing = Hold(wish.request_id, wish.client.id, wish.model, (), 0, 0, 0, -1, RateState())
        for _ in range(3):
            try:
                self.release(self.find(wish.request_id) or nothing, b'{"status":503}')
                return
            except HoldMismatch:
                # The reserve arrived between the two calls.
                continue
        raise StoreDown("the hold changes while it is looked at")

    def expire(self, hold: Hold, result: bytes) -> bool:
        """Charge ``hold`` at its amount if its lease has run out. Raises StoreDown."""
        keys = self._with_events(self._hold_keys(hold), hold)
        reply = self._run(self._expire, keys, [hold.request_id, result])
        return bool(reply[0] == b"expired")

    def renew(self, request_ids: Sequence[str]) -> int:
        """Extend the leases of holds this process owns. Raises StoreDown."""
        if not request_ids:
            return 0
        return int(self._run(self._renew, [self.keys.holds], [self._lease_ms, *request_ids]))

    def hand_over(self, request_id: str, client_id: int, lease_seconds: int) -> bool:
        """Hand an open hold over to long-lived work; False where it is not open any more.

        Its lease then runs for ``lease_seconds``, and its request is no longer in flight. May
        be repeated. Raises StoreDown.
        """
        keys = [self.keys.state, self.keys.hold(request_id)]
        keys += [self.keys.holds, self.keys.client(client_id)]
        reply = self._run(self._hand_over, keys, [request_id, lease_seconds * 1000])
        return bool(reply[0] != b"absent")

    def place_again(
        self, hold: Hold, forget_ms: Sequence[int], lease_seconds: float, *, handed: bool = True
    ) -> bool:
        """Place a hold in a Redis that has lost it; False where it is there, open or ended.

        ``forget_ms`` says for each budget window when its counters may go, 0 for never;
        ``handed`` that it is one of long-lived work, which is no request in flight. Raises
        StoreDown.
        """
        keys = self._hold_keys(hold)
        keys += [self.keys.budget(*window) for window in hold.budget_windows]
        placed = (hold.amount_nano, hold.placed_on, hold.reserved_at_ms, hold.context)
        args = [hold.request_id, int(lease_seconds * 1000), *placed, int(handed), *forget_ms]
        reply = self._run(self._place_again, keys, args)
        return bool(reply[0] == b"placed")

    def part(self, hold: Hold, *, asked: bool = False) -> bool:
        """Part ``hold`` from the outage allowance it was drawn from; False where that is gone.

        May be repeated. ``asked`` says that SQL has no record of its request: in another epoch
        than the allowance's it is not parted before. Raises StoreDown.
        """
        keys = [self.keys.state, self.keys.hold(hold.drawn_from), *self._hold_keys(hold)[1:]]
        placed = (hold.amount_nano, hold.placed_on, hold.reserved_at_ms, hold.context)
        epoch = "" if asked else hold.epoch
        reply = self._run(self._part, keys, [hold.request_id, self._lease_ms, *placed, epoch])
        return reply[0] not in (b"gone", b"late")

    def lapsed(self, limit: int = 200) -> list[str]:
        """Request ids of holds whose lease has run out, oldest first. Raises StoreDown."""
        try:
            seconds, micros = self.redis.time()
            now_ms = seconds * 1000 + micros // 1000
            found = self.redis.zrangebyscore(self.keys.holds, "-inf", now_ms, start=0, num=limit)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return [request_id.decode() for request_id in found]

    def forget(self, request_id: str) -> None:
        """Take a lease without a hold off the list. Raises StoreDown."""
        try:
            self.redis.zrem(self.keys.holds, request_id)
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def find(self, request_id: str) -> Hold | None:
        """The stored hold of ``request_id``, open or expired. Raises StoreDown."""
        try:
            fields = self.redis.hgetall(self.keys.hold(request_id))
        except RedisError as error:
            raise StoreDown(str(error)) from error
        if b"budgets" not in fields:
            return None
        client_id, model = _owner(fields[b"context"])
        windows = tuple(
            (int(part.split(":")[0]), int(part.split(":")[1]))
            for part in fields[b"budgets"].decode().split(",")
            if part
        )
        return Hold(
            request_id,
            client_id,
            model,
            windows,
            int(fields[b"granted"]),
            int(fields[b"amount"]),
            int(fields[b"at"]),
            -1,
            RateState(),
            fields[b"budgets"].decode(),
            fields[b"context"],
            self.epoch,
        )

    def hold_states(self, request_ids: Sequence[str]) -> dict[str, str]:
        """What Redis has of each hold: open, expired, closed, or "" for nothing.

        Raises StoreDown.
        """
        found: dict[str, str] = {}
        try:
            for start in range(0, len(request_ids), _ASKED_AT_ONCE):
                batch = request_ids[start : start + _ASKED_AT_ONCE]
                with self.redis.pipeline(transaction=False) as pipe:
                    for request_id in batch:
                        pipe.hget(self.keys.hold(request_id), "state")
                    states = pipe.execute()
                found.update((i, (s or b"").decode()) for i, s in zip(batch, states, strict=True))
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return found

    def adopt(self, state: CounterState) -> None:
        """Take note of the epoch in force, once nothing of an earlier one is left to present."""
        if state.epoch != self.epoch:
            self.epoch, self._seen = state.epoch, 0
        self._seen = max(self._seen, state.sequence)

    def _meet_epoch(self, epoch: int, sequence: int) -> None:
        if self.epoch == 0 or self.present is None:
            self.adopt(CounterState(epoch, sequence))
        else:
            self.present()

    # How a call is put together and a reply read

    def now_ms(self) -> int:
        """The time of the Redis server, as far as its answers have told."""
        return time_ns() // 1_000_000 - self._clock_ahead_ms

    def window(self, budget: Budget) -> Window:
        """The window of ``budget`` that is open now."""
        at_ms = self.now_ms()
        cached = self._windows.get((budget.window, budget.time_zone))
        if cached is None or not cached.contains(at_ms):
            cached = window_at(budget.window, budget.time_zone, at_ms)
            self._windows[(budget.window, budget.time_zone)] = cached
        return cached

    def _refuse(self, wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any]) -> None:
        refused = refusal(wish, windows, reply)
        if isinstance(refused, RateRefused) and refused.limit == "requests":
            limit = wish.client.requests_per_minute
            until = monotonic() + refused.wait_ms / 1000
            self._full_until[wish.client.id] = (limit, until)
        raise refused

    def _hold_keys(self, hold: Hold) -> list[str]:
        return [
            self.keys.state,
            self.keys.hold(hold.request_id),
            self.keys.holds,
            self.keys.client(hold.client_id),
        ]

    def _with_events(self, keys: list[str], hold: Hold) -> list[str]:
        budgets: Iterable[str] = (self.keys.budget(*window) for window in hold.budget_windows)
        return [*keys, self.keys.events, *budgets]


def _resolution(reply: Sequence[Any]) -> Resolution:
    outcome = reply[0].decode()
    if outcome == "mismatch":
        raise HoldMismatch("a hold was resolved with other budgets than it was placed on")
    return Resolution(outcome, *(int(value) for value in reply[1:3]))


def _as_placed(hold: Hold, charged_nano: int | None) -> list[Any]:
    """A hold as it was placed, what SQL knows of it, and its epoch: how settle and release end."""
    known = "" if charged_nano is None else charged_nano
    placed = [hold.placed_on, hold.context, hold.reserved_at_ms, hold.amount_nano]
    return [*placed, known, hold.epoch]


def _owner(context: bytes) -> tuple[int, str]:
    """Client id and model of a hold, from the context that it was placed with."""
    fields = orjson.loads(context)
    return int(fields["client_id"]), str(fields["model"])
