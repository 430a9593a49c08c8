"""Keeps the holds of this process alive, and resolves them even when Redis is away.

A hold lives by a lease that its process renews. When the process dies, the lease runs out and
the hold is charged; while it lives, however slow the provider, the hold stays open. How a request
ended is kept until Redis has taken it: in memory, and on disk where Redis is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import gevent
import structlog
from gevent.event import Event
from gevent.pool import Pool
from sqlalchemy.exc import SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.spool import Adopted, Spool
from gateway.adapters.usage_rows import Ended
from gateway.core.endings import Ending
from gateway.core.holds import Hold, HoldRequest, Resolution

_RENEW_BATCH = 500
_RETRY_SECONDS = 0.2
ADOPT_SECONDS = 5.0
"""How often files of processes that died are looked for."""

RECENT_SECONDS = 30.0
RECENT_MAX = 50_000
"""How long, and how many, endings are remembered that a Redis that comes back older may lack."""

_AT_ONCE = 64
UNRECORDED = -1
"""What SQL says of a request that it has no record of."""

_log = structlog.get_logger(__name__)

Ask = Callable[[Sequence[str]], Mapping[str, Ended]]
"""Asks SQL how requests ended. Raises SQLAlchemy's errors."""


@dataclass(frozen=True)
class _Late:
    """What Redis has not taken yet."""

    request_id: str
    call: Callable[[], object]
    adopted: Callable[[], None] | None = None
    """Called once it is done, where it comes from a process that died."""


class HoldKeeper:
    """The holds in flight of one process, and the resolutions that Redis has not taken yet."""

    def __init__(
        self, budgets: RedisBudgets, lease_seconds: float, ask: Ask, spool: Spool | None = None
    ) -> None:
        """``ask`` tells how requests ended whose holds Redis has lost."""
        self._budgets = budgets
        self._ask = ask
        self._spool = spool
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / 4
        self._owned: dict[str, Hold | None] = {}
        self._recent: deque[tuple[float, Ending]] = deque(maxlen=RECENT_MAX)
        self._backlog: deque[_Late] = deque()
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

    @property
    def unwritten(self) -> int:
        """Endings that could be written to no disk while Redis was away."""
        return 0 if self._spool is None else self._spool.failures

    def is_open(self, hold: Hold) -> bool:
        """Whether nothing has resolved ``hold`` or handed it over, not even for later."""
        waiting = any(late.request_id == hold.request_id for late in self._backlog)
        return hold.request_id in self._owned and not waiting

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

    def _release_later(self, wish: HoldRequest) -> None:
        self._later(_Late(wish.request_id, lambda: self._budgets.release_unsure(wish)))

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
            self._later(_Late(hold.request_id, call))
            return
        self._owned.pop(hold.request_id, None)

    # How requests end

    def _resolve(self, ending: Ending) -> Resolution | None:
        # The answer is already paid for: whatever happens here must not fail the client.
        request_id = ending.hold.request_id
        failpoints.hit("hold.releasing" if ending.released else "hold.settling")
        try:
            resolution = self._bring(ending, None)
        except StoreDown as error:
            _log.warning("hold.resolution_delayed", request_id=request_id, reason=str(error))
            self._resolve_later(ending)
            return None
        except Exception:
            self._give_up(request_id)
            return None
        if resolution.outcome == "late":
            # SQL must be asked, which the client's answer does not wait for.
            self._resolve_later(ending)
            return None
        self._ended(ending, resolution)
        self._owned.pop(request_id, None)
        failpoints.hit("hold.released" if ending.released else "hold.settled")
        return resolution

    def _resolve_later(self, ending: Ending) -> None:
        self._later(_Late(ending.hold.request_id, lambda: self._bring_surely(ending)))
        if self._spool is not None:
            self._spool.write(ending)

    def _bring(self, ending: Ending, charged_nano: int | None) -> Resolution:
        """Bring an ending to Redis, with what SQL knows of it. Raises StoreDown."""
        if ending.released:
            return self._budgets.release(ending.hold, ending.result, charged_nano=charged_nano)
        return self._budgets.settle(
            ending.hold,
            ending.cost_nano,
            ending.tokens,
            ending.output_tokens,
            ending.result,
            charged_nano=charged_nano,
        )

    def _bring_surely(self, ending: Ending) -> None:
        """Bring an ending, asking SQL where Redis has lost what it knew. Raises StoreDown."""
        resolution = self._bring(ending, None)
        if resolution.outcome == "late":
            request_id = ending.hold.request_id
            known = self._asked([request_id])
            charged = UNRECORDED if request_id not in known else known[request_id].charged_nano
            if charged is None:
                return
            resolution = self._bring(ending, charged)
        self._ended(ending, resolution)

    def _asked(self, request_ids: Sequence[str]) -> Mapping[str, Ended]:
        try:
            return self._ask(request_ids)
        except SQLAlchemyError as error:
            raise StoreDown(f"the database: {first_line(error)}") from error

    def _ended(self, ending: Ending, resolution: Resolution) -> None:
        """Remember an ending for a while, and log what should not happen."""
        if resolution.outcome == "unheld":
            _log.error("hold.lost_by_redis", request_id=ending.hold.request_id)
        if resolution.outcome != "already":
            self._recent.append((monotonic(), ending))

    def _later(self, late: _Late) -> None:
        self._backlog.append(late)
        self._empty.clear()
        self._waiting.set()

    def _give_up(self, request_id: str) -> None:
        """Leave a hold that cannot be resolved to its lease: it will be charged as unknown."""
        _log.exception("hold.resolution_failed", request_id=request_id)
        self._owned.pop(request_id, None)

    # What a Redis that has lost something is told

    def present(self) -> None:
        """Bring Redis what it may have lost: open holds, and how requests ended lately.

        May be repeated. Raises StoreDown, also where SQL does not answer.
        """
        waiting = {late.request_id for late in self._backlog}
        holds = [h for h in self._owned.values() if h is not None and h.request_id not in waiting]
        lost = set(self._budgets.missing([hold.request_id for hold in holds]))
        known = self._asked(sorted(lost)) if lost else {}
        placed = 0
        for hold in holds:
            # One that has expired meanwhile is charged; its settle will correct that.
            if hold.request_id not in lost or hold.request_id in known:
                continue
            if hold.request_id in self._owned:
                nothing = [0] * len(hold.budget_windows)
                placed += self._budgets.place_again(
                    hold, nothing, self._lease_seconds, handed=False
                )
        self._forget_old()
        endings = [ending for _, ending in self._recent]
        for error in Pool(_AT_ONCE).imap_unordered(self._bring_again, endings):
            if error is not None:
                raise error
        _log.warning("holds.presented", holds=len(holds), placed=placed, endings=len(endings))

    def _bring_again(self, ending: Ending) -> StoreDown | None:
        try:
            resolution = self._bring(ending, None)
            if resolution.outcome == "late":
                self._bring_surely(ending)
        except StoreDown as error:
            return error
        return None

    def _forget_old(self) -> None:
        oldest = monotonic() - RECENT_SECONDS
        while self._recent and self._recent[0][0] < oldest:
            self._recent.popleft()

    # Greenlets

    def renew_leases(self) -> None:
        """Renew the leases of all owned holds for ever; run it as a greenlet."""
        while True:
            gevent.sleep(self._renew_seconds)
            self._forget_old()
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
                late = self._backlog[0]
                try:
                    late.call()
                except StoreDown:
                    # The next one first: holds are independent, and none may block the others.
                    self._backlog.rotate(-1)
                    gevent.sleep(_RETRY_SECONDS)
                    continue
                except Exception:
                    self._give_up(late.request_id)
                self._backlog.popleft()
                self._owned.pop(late.request_id, None)
                if late.adopted is not None:
                    late.adopted()
            if self._spool is not None:
                self._spool.clear()
            self._empty.set()
            self._waiting.clear()

    def adopt_spools(self) -> None:
        """Bring what processes that died had written down, for ever; run it as a greenlet."""
        while self._spool is not None:
            for adopted in self._spool.adopt():
                self._take_on(adopted)
            gevent.sleep(ADOPT_SECONDS)

    def _take_on(self, adopted: Adopted) -> None:
        failpoints.hit("spool.adopted")
        if not adopted.endings:
            adopted.done()
            return
        _log.warning("spool.adopted", file=adopted.path.name, endings=len(adopted.endings))
        left = len(adopted.endings)

        def done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                adopted.done()

        for ending in adopted.endings:

            def call(ending: Ending = ending) -> None:
                self._bring_surely(ending)

            self._later(_Late(ending.hold.request_id, call, done))

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until nothing waits for Redis; False when the time is over first."""
        drained = bool(self._empty.wait(timeout_seconds))
        if self._spool is not None:
            self._spool.close()
        return drained
