"""Keeps the holds of this process alive, and resolves them even when Redis is away.

A hold lives by a lease that its process renews. When the process dies, the lease runs out and
the hold is charged; while it lives, however slow the provider, the hold stays open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gevent
import structlog
from gevent.event import Event

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.holds import Hold, HoldRequest, Resolution

_RENEW_BATCH = 500
_RETRY_SECONDS = 0.2

_log = structlog.get_logger(__name__)


class HoldKeeper:
    """The holds in flight of one process, and the resolutions that Redis has not taken yet."""

    def __init__(
        self,
        budgets: RedisBudgets,
        lease_seconds: float,
        count_late: Callable[[], None] = lambda: None,
    ) -> None:
        """``count_late`` is called for each settle that came too late to be charged."""
        self._budgets = budgets
        self._count_late = count_late
        self._renew_seconds = lease_seconds / 4
        self._owned: set[str] = set()
        self._backlog: deque[tuple[str, Callable[[], object]]] = deque()
        self._waiting = Event()
        self._empty = Event()
        self._empty.set()

    @property
    def in_flight(self) -> int:
        """Holds that this process owns."""
        return len(self._owned)

    @property
    def unresolved(self) -> int:
        """Resolutions that still wait for Redis."""
        return len(self._backlog)

    def is_open(self, hold: Hold) -> bool:
        """Whether nothing has resolved ``hold`` or handed it over, not even for later."""
        waiting = any(request_id == hold.request_id for request_id, _ in self._backlog)
        return hold.request_id in self._owned and not waiting

    def reserve(self, wish: HoldRequest) -> Hold:
        """Place a hold and own it. Raises as ``RedisBudgets.reserve`` does.

        Where Redis did not answer, or the caller was stopped while it waited, a hold may exist
        all the same; it is owned until it is released.
        """
        self._owned.add(wish.request_id)
        try:
            return self._budgets.reserve(wish)
        except StoreDown:
            self._release_later(wish)
            raise
        except Exception:
            self._owned.discard(wish.request_id)
            raise
        except BaseException:
            # A greenlet that was stopped: what it had sent takes effect without it.
            self._release_later(wish)
            raise

    def _release_later(self, wish: HoldRequest) -> None:
        self._later(wish.request_id, lambda: self._budgets.release_unsure(wish))

    def settle(
        self, hold: Hold, cost_nano: int, tokens: int, output_tokens: int, result: bytes
    ) -> Resolution | None:
        """Settle ``hold``; None where Redis is away, and it will be settled later."""
        return self._resolve(
            hold, lambda: self._budgets.settle(hold, cost_nano, tokens, output_tokens, result)
        )

    def release(self, hold: Hold, result: bytes) -> Resolution | None:
        """Release ``hold``; None where Redis is away, and it will be released later."""
        return self._resolve(hold, lambda: self._budgets.release(hold, result))

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
            self._later(hold.request_id, call)
            return
        self._owned.discard(hold.request_id)

    def _resolve(self, hold: Hold, call: Callable[[], Resolution]) -> Resolution | None:
        # The answer is already paid for: whatever happens here must not fail the client.
        try:
            resolution = call()
        except StoreDown as error:
            _log.warning("hold.resolution_delayed", request_id=hold.request_id, reason=str(error))
            self._later(hold.request_id, call)
            return None
        except Exception:
            self._give_up(hold.request_id)
            return None
        self._tell(hold.request_id, resolution)
        self._owned.discard(hold.request_id)
        return resolution

    def _tell(self, request_id: str, resolution: object) -> None:
        """Log what should not happen."""
        outcome = resolution.outcome if isinstance(resolution, Resolution) else ""
        if outcome == "unheld":
            _log.error("hold.lost_by_redis", request_id=request_id)
        elif outcome == "late":
            # Charging might charge twice. The audit finds it, if it was not charged before.
            _log.error("hold.settled_too_late", request_id=request_id)
            self._count_late()

    def _later(self, request_id: str, call: Callable[[], object]) -> None:
        self._backlog.append((request_id, call))
        self._empty.clear()
        self._waiting.set()

    def _give_up(self, request_id: str) -> None:
        """Leave a hold that cannot be resolved to its lease: it will be charged as unknown."""
        _log.exception("hold.resolution_failed", request_id=request_id)
        self._owned.discard(request_id)

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
        while True:
            self._waiting.wait()
            while self._backlog:
                request_id, call = self._backlog[0]
                try:
                    self._tell(request_id, call())
                except StoreDown:
                    # The next one first: holds are independent, and none may block the others.
                    self._backlog.rotate(-1)
                    gevent.sleep(_RETRY_SECONDS)
                    continue
                except Exception:
                    self._give_up(request_id)
                self._backlog.popleft()
                self._owned.discard(request_id)
            self._empty.set()
            self._waiting.clear()

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until nothing waits for Redis; False when the time is over first."""
        return bool(self._empty.wait(timeout_seconds))
