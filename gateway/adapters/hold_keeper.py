"""Keeps the holds of this process alive, and resolves them even when Redis is away.

A hold lives by a lease that its process renews. When the process dies, the lease runs out and
the hold is charged; while it lives, however slow the provider, the hold stays open. How a request
ended is kept until Redis has taken it (``backlog``), and for a while after, should Redis lose it
again (``roll_call``).
"""

from __future__ import annotations

from collections import deque
from time import monotonic

import gevent
import structlog

from gateway import failpoints
from gateway.adapters.backlog import Ask, Backlog, bring
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.spool import Spool
from gateway.core.endings import Ending
from gateway.core.holds import Hold, HoldRequest, Look, Resolution

_RENEW_BATCH = 500
RECENT_MAX = 50_000
"""How many endings are remembered that a Redis that comes back older may lack."""

_log = structlog.get_logger(__name__)


class HoldKeeper:
    """The holds in flight of one process, and the resolutions that Redis has not taken yet."""

    def __init__(
        self,
        budgets: RedisBudgets,
        lease_seconds: float,
        ask: Ask,
        spool: Spool | None = None,
        drawn_spool: Spool | None = None,
    ) -> None:
        """``ask`` tells how requests ended whose holds Redis has lost.

        ``drawn_spool`` is the file of outage allowances, which has the ends of what was drawn.
        """
        self._budgets = budgets
        self.ask = ask
        self.lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / 4
        self._owned: dict[str, Hold | None] = {}
        self._aside: dict[str, tuple[Hold, float]] = {}
        """Outage allowances, and how long their leases last, in seconds."""
        self._recent: deque[tuple[float, Ending]] = deque(maxlen=RECENT_MAX)
        self.backlog = Backlog(budgets, ask, self._no_longer_waits, spool, drawn_spool)

    @property
    def in_flight(self) -> int:
        """Holds that this process owns."""
        return len(self._owned)

    @property
    def unresolved(self) -> int:
        """Resolutions that still wait for Redis."""
        return len(self.backlog)

    def is_open(self, hold: Hold) -> bool:
        """Whether nothing has resolved ``hold`` or handed it over, not even for later."""
        return hold.request_id in self._owned and hold.request_id not in self.backlog

    def owned(self) -> list[Hold]:
        """The holds that this process has in Redis, but for those that it has no reply for yet.

        What was drawn from an allowance is held by that.
        """
        return [one for one in self._owned.values() if one is not None and not one.drawn_from]

    def own(self, hold: Hold) -> None:
        """Take on a hold that is drawn from an allowance, until it is resolved."""
        self._owned[hold.request_id] = hold

    def disown(self, hold: Hold) -> None:
        """Forget a hold that nothing was sent for, and that is not in Redis."""
        self._owned.pop(hold.request_id, None)

    def keep_aside(self, hold: Hold, lease_seconds: float) -> None:
        """Present the hold of an outage allowance too, should Redis lose it."""
        self._aside[hold.request_id] = hold, lease_seconds

    def drop_aside(self, hold: Hold) -> None:
        """The allowance of ``hold`` is no more."""
        self._aside.pop(hold.request_id, None)

    def aside(self) -> list[tuple[Hold, float]]:
        """The holds of outage allowances, and how long their leases last, in seconds."""
        return list(self._aside.values())

    def owns(self, request_id: str) -> bool:
        """Whether the end of ``request_id`` has not reached Redis, as far as is known."""
        return request_id in self._owned

    def reserve(self, wish: HoldRequest) -> Hold:
        """Place a hold and own it. Raises as ``RedisBudgets.reserve`` does.

        Where Redis did not answer, or the caller was stopped while it waited, a hold may exist
        all the same; it is owned until it is released.
        """
        self._owned[wish.request_id] = None
        try:
            hold = self._budgets.reserve(wish)
        except StoreDown:
            self._release_later(wish)
            raise
        except Exception:
            self._owned.pop(wish.request_id, None)
            raise
        except BaseException:
            # A greenlet that was stopped: what it had sent takes effect without it.
            self._release_later(wish)
            raise
        self._owned[wish.request_id] = hold
        failpoints.hit("hold.placed")
        return hold

    def look(self, wish: HoldRequest) -> Look:
        """What ``reserve`` would do, as ``RedisBudgets.look`` tells. Raises as that does."""
        return self._budgets.look(wish)

    def _release_later(self, wish: HoldRequest) -> None:
        self.backlog.add(wish.request_id, lambda: self._budgets.release_unsure(wish))

    def settle(
        self, hold: Hold, cost_nano: int, tokens: int, output_tokens: int, result: bytes
    ) -> Resolution | None:
        """Settle ``hold``; None where Redis is away, and it will be settled later."""
        ending = Ending(
            hold, result, cost_nano=cost_nano, tokens=tokens, output_tokens=output_tokens
        )
        return self._resolve(ending)

    def release(self, hold: Hold, result: bytes) -> Resolution | None:
        """Release ``hold``; None where Redis is away, and it will be released later."""
        return self._resolve(Ending(hold, result, released=True))

    def hand_over(self, hold: Hold, lease_seconds: int) -> None:
        """Leave ``hold`` to long-lived work, whose follower renews and settles it from now on.

        Where Redis is away that comes later, and this process keeps the lease until then.
        """

        def call() -> bool:
            return self._budgets.hand_over(hold.request_id, hold.client_id, lease_seconds)

        try:
            call()
        except StoreDown as error:
            _log.warning("hold.handed_over_later", request_id=hold.request_id, reason=str(error))
            self.backlog.add(hold.request_id, call)
            return
        self._owned.pop(hold.request_id, None)

    # How requests end

    def _resolve(self, ending: Ending) -> Resolution | None:
        # The answer is already paid for: whatever happens here must not fail the client.
        request_id = ending.hold.request_id
        failpoints.hit("hold.releasing" if ending.released else "hold.settling")
        try:
            resolution = bring(self._budgets, ending)
        except StoreDown as error:
            _log.warning("hold.resolution_delayed", request_id=request_id, reason=str(error))
            self.backlog.add_ending(ending)
            return None
        except Exception:
            _log.exception("hold.resolution_failed", request_id=request_id)
            self._owned.pop(request_id, None)
            return None
        except BaseException:
            # A greenlet that was stopped: whether this took effect is not known.
            gevent.spawn(self.backlog.add_ending, ending)
            raise
        if resolution.outcome == "late":
            # Redis has lost sight of it, so SQL must be asked.
            self.backlog.add_ending(ending)
            return None
        if resolution.outcome == "unheld":
            _log.error("hold.lost_by_redis", request_id=request_id)
        self._no_longer_waits(request_id, ending)
        failpoints.hit("hold.released" if ending.released else "hold.settled")
        return resolution

    def _no_longer_waits(self, request_id: str, ending: Ending | None) -> None:
        self._owned.pop(request_id, None)
        if ending is not None:
            self._recent.append((monotonic(), ending))

    def recent_endings(self) -> list[Ending]:
        """How requests ended lately, oldest first: what a Redis that comes back older may lack."""
        return [ending for _, ending in self._recent]

    def forget_endings(self, before: float) -> None:
        """Forget how requests ended before this moment of the monotonic clock.

        Only for moments that Redis has outlived in good order for long enough to have made them
        durable: while it is away, the seconds before that are what it may come back without.
        """
        while self._recent and self._recent[0][0] < before:
            self._recent.popleft()

    # Greenlets

    def renew_leases(self) -> None:
        """Renew the leases of all owned holds for ever; run it as a greenlet."""
        while True:
            gevent.sleep(self._renew_seconds)
            owned = list(self._owned)
            for start in range(0, len(owned), _RENEW_BATCH):
                try:
                    self._budgets.renew(owned[start : start + _RENEW_BATCH])
                except StoreDown as error:
                    _log.warning("hold.renew_failed", holds=len(owned), reason=str(error))
                    break
                except Exception:
                    # Whatever it is, the other leases run on.
                    _log.exception("hold.renew_failed", holds=len(owned))

    def resolve_backlog(self) -> None:
        """Resolve what waits for Redis, for ever; run it as a greenlet."""
        self.backlog.run()

    def adopt_spools(self) -> None:
        """Resolve what processes that died left behind, for ever; run it as a greenlet."""
        self.backlog.adopt_spools()

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until nothing waits for Redis; False when the time is over first."""
        return self.backlog.drain(timeout_seconds)
