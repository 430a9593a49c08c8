"""Budgets in Redis: reserve, settle, release, expire. Each is one Lua script, one round trip.

Amounts are integer nano-dollars, times are the Redis server's, in milliseconds. Every script
is idempotent by request id, so a call whose reply was lost may be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from time import monotonic, time_ns
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.adapters.redis_script import Script
from gateway.core.budgets import Budget, Window, window_at
from gateway.core.holds import (
    BudgetRefused,
    Hold,
    HoldClosed,
    HoldRequest,
    PolicyStale,
    RateRefused,
    RateState,
    Resolution,
)
from gateway.core.policy import Client


class StoreDown(Exception):
    """Redis did not answer; whether the call took effect is not known."""


class CountersLost(Exception):
    """Redis has no policy: it came up empty, and nothing is admitted until it is restored."""


class HoldMismatch(Exception):
    """The caller's idea of a hold is not the stored one; nothing was changed."""


def connect(url: str, timeout_seconds: float, *, connections_max: int = 512) -> redis.Redis:
    """A Redis client that never repeats a command by itself and never waits without limit."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections_max,
        health_check_interval=0,
        protocol=2,
    )


class RedisBudgets:
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
        # redis-py types its answers for its sync and async clients at once.
        self.redis: Any = client
        self._scripts: Any = pipeline or client
        self.keys = keys
        self._lease_ms = int(lease_seconds * 1000)
        self._reserve = Script("reserve")
        self._settle = Script("settle", with_hold=True)
        self._release = Script("release", with_hold=True)
        self._expire = Script("expire", with_hold=True)
        self._renew = Script("renew")
        self._hand_over = Script("hand_over", with_hold=True)
        self._place_again = Script("place_again", with_hold=True)
        self._publish = Script("publish")
        self._windows: dict[tuple[str, str], Window] = {}
        self._clock_ahead_ms = 0
        self._full_until: dict[int, tuple[int, float]] = {}
        """Requests a minute, and when the next is possible, of clients that had used them up."""

    def reserve(self, wish: HoldRequest) -> Hold:
        """Place one hold against every budget and limit of ``wish``.

        Raises BudgetRefused, RateRefused, PolicyStale, HoldClosed, CountersLost, or StoreDown
        (then a hold may exist: release it).
        """
        for _ in range(3):
            windows = [self._window(budget) for budget in wish.budgets]
            reply = self._run(self._reserve, *self._reserve_call(wish, windows))
            status = reply[0]
            if status == b"granted":
                return self._hold(wish, windows, reply)
            if status == b"window":
                # Our clock and the server's disagree about the period: take the server's.
                self._clock_ahead_ms = time_ns() // 1_000_000 - int(reply[1])
                self._windows.clear()
                continue
            self._refuse(wish, windows, reply)
        raise StoreDown("the clock of the Redis server does not stand still")

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
        long_lived: bool = False,
    ) -> Resolution:
        """Replace ``hold`` by ``cost_nano``; -1 tokens where the count is not known.

        A second settle changes nothing. ``long_lived`` says that the caller knows it to be the
        first, however long ago the hold was placed. Raises StoreDown.
        """
        keys = [*self._hold_keys(hold), self.keys.need(hold.client_id, hold.model)]
        placed = (hold.placed_on, hold.context, hold.reserved_at_ms, hold.amount_nano)
        args = [hold.request_id, cost_nano, tokens, output_tokens, result, *placed, int(long_lived)]
        reply = self._run(self._settle, self._with_events(keys, hold), args)
        return _resolution(reply)

    def release(self, hold: Hold, result: bytes) -> Resolution:
        """Drop ``hold``: the provider billed nothing. Raises StoreDown."""
        keys = self._with_events(self._hold_keys(hold), hold)
        return _resolution(self._run(self._release, keys, [hold.request_id, result]))

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
        keys = [self.keys.hold(request_id), self.keys.holds, self.keys.client(client_id)]
        reply = self._run(self._hand_over, keys, [request_id, lease_seconds * 1000])
        return bool(reply[0] != b"absent")

    def place_again(self, hold: Hold, forget_ms: Sequence[int], lease_seconds: int) -> bool:
        """Place the hold of long-lived work in a Redis that has lost it; False where it is there.

        ``forget_ms`` says for each budget window when its counters may go, 0 for never.
        Raises StoreDown.
        """
        keys = [self.keys.hold(hold.request_id), self.keys.holds]
        keys += [self.keys.budget(*window) for window in hold.budget_windows]
        placed = (hold.amount_nano, hold.placed_on, hold.reserved_at_ms, hold.context)
        args = [hold.request_id, lease_seconds * 1000, *placed, *forget_ms]
        reply = self._run(self._place_again, keys, args)
        return bool(reply[0] == b"placed")

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
        )

    def publish(self, version: int) -> int:
        """Announce a policy version; returns the one in force. Raises StoreDown.

        This opens a Redis that has no policy: for who knows that its counters are right.
        """
        return int(self._run(self._publish, [self.keys.policy_version], [version, "open"]))

    def announce(self, version: int) -> int:
        """Announce a policy version to a Redis that has one; 0 where it has none, and must
        be restored first. Raises StoreDown."""
        return int(self._run(self._publish, [self.keys.policy_version], [version, ""]))

    def policy_version(self) -> int | None:
        """The policy version in force; None where Redis has none. Raises StoreDown."""
        try:
            value = self.redis.get(self.keys.policy_version)
        except RedisError as error:
            raise StoreDown(str(error)) from error
        return None if value is None else int(value)

    def events_waiting(self) -> int:
        """Usage events that SQL does not have yet. Raises StoreDown."""
        try:
            return int(self.redis.xlen(self.keys.events))
        except RedisError as error:
            raise StoreDown(str(error)) from error

    # How a call is put together and a reply read

    def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            try:
                return script(self._scripts, keys, args)
            except redis.ConnectionError:
                # Once more on a fresh connection: a restarted server closes idle ones, and
                # every script is idempotent by request id.
                return script(self._scripts, keys, args)
        except RedisError as error:
            raise StoreDown(str(error)) from error

    def _window(self, budget: Budget) -> Window:
        at_ms = time_ns() // 1_000_000 - self._clock_ahead_ms
        cached = self._windows.get((budget.window, budget.time_zone))
        if cached is None or not cached.contains(at_ms):
            cached = window_at(budget.window, budget.time_zone, at_ms)
            self._windows[(budget.window, budget.time_zone)] = cached
        return cached

    def _reserve_call(
        self, wish: HoldRequest, windows: Sequence[Window]
    ) -> tuple[list[str], list[Any]]:
        bound, client = wish.bound, wish.client
        keys = [
            self.keys.policy_version,
            self.keys.holds,
            self.keys.hold(wish.request_id),
            self.keys.client(client.id),
            self.keys.need(client.id, wish.model),
        ]
        args: list[Any] = [
            wish.policy_version,
            wish.request_id,
            self._lease_ms,
            bound.fixed_nano,
            bound.output_token_nano,
            bound.choices,
            bound.wanted_output_tokens,
            bound.floor_output_tokens,
            bound.input_tokens,
            client.requests_per_minute,
            client.tokens_per_minute,
            client.concurrent_requests,
            wish.context,
        ]
        for budget, window in zip(wish.budgets, windows, strict=True):
            keys.append(self.keys.budget(budget.id, window.start_ms))
            args += [
                budget.id,
                budget.limit_nano,
                budget.enforcement.value,
                window.start_ms,
                window.end_ms,
            ]
        return keys, args

    def _hold(self, wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any]) -> Hold:
        granted, amount, at_ms, left, *rates = (int(value) for value in reply[1:-1])
        return Hold(
            wish.request_id,
            wish.client.id,
            wish.model,
            tuple((b.id, w.start_ms) for b, w in zip(wish.budgets, windows, strict=True)),
            granted,
            amount,
            at_ms,
            left,
            RateState(*rates),
            reply[-1].decode(),
            wish.context,
        )

    def _refuse(self, wish: HoldRequest, windows: Sequence[Window], reply: Sequence[Any]) -> None:
        status = reply[0].decode()
        if status == "stale":
            if not reply[1]:
                raise CountersLost
            raise PolicyStale(int(reply[1]))
        if status == "closed":
            raise HoldClosed(wish.request_id)
        if status == "budget":
            index, spent, held, affordable = (int(value) for value in reply[1:5])
            raise BudgetRefused(wish.budgets[index], windows[index], spent, held, affordable)
        refused = RateRefused(status, int(reply[1]), int(reply[2]))
        if status == "requests":
            limit = wish.client.requests_per_minute
            until = monotonic() + refused.wait_ms / 1000
            self._full_until[wish.client.id] = (limit, until)
        raise refused

    def _hold_keys(self, hold: Hold) -> list[str]:
        return [self.keys.hold(hold.request_id), self.keys.holds, self.keys.client(hold.client_id)]

    def _with_events(self, keys: list[str], hold: Hold) -> list[str]:
        budgets: Iterable[str] = (self.keys.budget(*window) for window in hold.budget_windows)
        return [*keys, self.keys.events, *budgets]


def _resolution(reply: Sequence[Any]) -> Resolution:
    outcome = reply[0].decode()
    if outcome == "mismatch":
        raise HoldMismatch("a hold was resolved with other budgets than it was placed on")
    return Resolution(outcome, *(int(value) for value in reply[1:3]))


def _owner(context: bytes) -> tuple[int, str]:
    """Client id and model of a hold, from the context that it was placed with."""
    fields = orjson.loads(context)
    return int(fields["client_id"]), str(fields["model"])
