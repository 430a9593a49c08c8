"""What Redis has not taken yet: brought to it, in order, once it is back.

It waits in memory, and endings on disk too (``spool``). What Redis has lost sight of is brought
once SQL has said how its request ended; while SQL is away it stays here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import gevent
import structlog
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.spool import Adopted, Spool
from gateway.adapters.usage_rows import Ended
from gateway.core.endings import Ending
from gateway.core.holds import Resolution

RETRY_SECONDS = 0.2
ADOPT_SECONDS = 5.0
"""How often files of processes that died are looked for."""

UNRECORDED = -1
"""What SQL says of a request that it has no record of."""

_ASKED_AT_ONCE = 500

_log = structlog.get_logger(__name__)

Ask = Callable[[Sequence[str]], Mapping[str, Ended]]
"""Asks SQL how requests ended. Raises SQLAlchemy's errors."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """What Redis has not taken yet: how a request ended, or another call about its hold."""

    request_id: str
    call: Callable[[], object]
    ending: Ending | None = None
    file: Adopted | None = None
    """Where it comes from a process that died: its order in there is kept."""


def bring(budgets: RedisBudgets, ending: Ending, charged_nano: int | None = None) -> Resolution:
    """Bring an ending to Redis, with what SQL knows of it. May be repeated. Raises StoreDown.

    What was drawn from an outage allowance is parted from that first, where it has not expired.
    """
    if ending.hold.drawn_from and charged_nano in (None, UNRECORDED):
        budgets.part(ending.hold, asked=charged_nano is not None)
    if ending.released:
        return budgets.release(ending.hold, ending.result, charged_nano=charged_nano)
    return budgets.settle(
        ending.hold,
        ending.cost_nano,
        ending.tokens,
        ending.output_tokens,
        ending.result,
        charged_nano=charged_nano,
    )


class Backlog:
    """The backlog of one process."""

    def __init__(
        self,
        budgets: RedisBudgets,
        ask: Ask,
        ended: Callable[[str, Ending | None], None],
        spool: Spool | None = None,
        drawn_spool: Spool | None = None,
    ) -> None:
        """``ended`` is told of each request that waits no more, with its ending where that is
        known to have reached Redis. ``drawn_spool`` is cleared by who draws from allowances."""
        self._budgets = budgets
        self._ask = ask
        self._spool = spool
        self._drawn_spool = drawn_spool
        self._ended = ended
        self._queue: deque[_Waiting] = deque()
        self._unknown: deque[_Waiting] = deque()
        """Those that SQL must be asked about first."""
        self._ids: Counter[str] = Counter()
        self._left: dict[Adopted, int] = {}
        """How many endings of each adopted file wait."""
        self._some = Event()
        self._empty = Event()
        self._empty.set()
        self.spooled = 0
        """Endings that were written to disk."""
        self.unwritten = 0
        """Endings that could be written to no disk, and were kept in memory alone."""
        self.replayed = 0
        """Endings that reached Redis late."""

    def __len__(self) -> int:
        return len(self._queue) + len(self._unknown)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._ids

    def add(self, request_id: str, call: Callable[[], object]) -> None:
        """Make ``call`` until it raises StoreDown no more."""
        self._add(_Waiting(request_id, call))

    def add_ending(self, ending: Ending) -> None:
        """Bring ``ending`` later; returns once it is on disk, or cannot be written there."""
        self._add(self._waiting(ending))
        spool = self._drawn_spool if ending.hold.drawn_from else self._spool
        if spool is not None:
            self._written_down(spool.write(ending))
        if self._spool is not None and not len(self):
            # Brought while it was written.
            self._spool.clear()

    def _written_down(self, written: bool) -> None:
        if written:
            self.spooled += 1
        else:
            self.unwritten += 1

    def run(self) -> None:
        """Bring what waits, for ever; run it as a greenlet."""
        while True:
            self._some.wait()
            while len(self):
                self._bring_queue()
                self._bring_unknown()
            if self._spool is not None:
                self._spool.clear()
            self._empty.set()
            self._some.clear()

    def adopt_spools(self) -> None:
        """Bring what processes that died had written down, for ever; run it as a greenlet."""
        while self._spool is not None:
            for adopted in self._spool.adopt():
                self.take_on(adopted)
            gevent.sleep(ADOPT_SECONDS)

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until nothing waits; False when the time is over first. The spool is left."""
        drained = bool(self._empty.wait(timeout_seconds))
        if self._spool is not None:
            self._spool.close()
        return drained

    def _waiting(self, ending: Ending, file: Adopted | None = None) -> _Waiting:
        def call() -> Resolution:
            return bring(self._budgets, ending)

        return _Waiting(ending.hold.request_id, call, ending, file)

    def _add(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._ids[waiting.request_id] += 1
        self._empty.clear()
        self._some.set()

    def take_on(self, adopted: Adopted) -> None:
        """Bring what an adopted file has, then remove it."""
        failpoints.hit("spool.adopted")
        if not adopted.endings:
            adopted.done()
            return
        _log.warning("spool.adopted", file=adopted.path.name, endings=len(adopted.endings))
        self._left[adopted] = len(adopted.endings)
        for ending in adopted.endings:
            self._add(self._waiting(ending, adopted))

    def _bring_queue(self) -> None:
        """Bring each that waits for Redis, in order."""
        stuck: set[Adopted | None] = set()
        for waiting in tuple(self._queue):
            if waiting.file is not None and waiting.file in stuck:
                # An allowance is not given back before what was drawn from it is parted from it.
                continue
            while not self._brought(waiting):
                gevent.sleep(RETRY_SECONDS)
                if self._is_reachable():
                    # It alone may fail. Requests are independent, and none may block the others.
                    if not self._brought(waiting):
                        stuck.add(waiting.file)
                    break

    def _brought(self, waiting: _Waiting) -> bool:
        try:
            result = waiting.call()
        except StoreDown:
            return False
        except Exception:
            self._give_up(waiting, self._queue)
            return True
        if isinstance(result, Resolution) and result.outcome == "late":
            self._queue.remove(waiting)
            self._unknown.append(waiting)
            return True
        self._done(waiting, self._queue, waiting.ending)
        return True

    def _bring_unknown(self) -> None:
        """Bring some of those that SQL must be asked about, all of them asked at once."""
        batch = tuple(islice(self._unknown, _ASKED_AT_ONCE))
        if not batch:
            return
        try:
            known = self._ask([waiting.request_id for waiting in batch])
        except SQLAlchemyError as error:
            _log.warning("hold.database_not_asked", waiting=len(batch), reason=first_line(error))
            gevent.sleep(RETRY_SECONDS)
            return
        for waiting in batch:
            assert waiting.ending is not None
            end = known.get(waiting.request_id)
            charged = UNRECORDED if end is None else end.charged_nano
            if charged is None:
                # SQL has its end, so there is nothing that Redis would still need.
                self._done(waiting, self._unknown, None)
                continue
            try:
                bring(self._budgets, waiting.ending, charged)
            except StoreDown:
                # The others are asked about again: more may be known of them by then.
                gevent.sleep(RETRY_SECONDS)
                return
            except Exception:
                self._give_up(waiting, self._unknown)
            else:
                self._done(waiting, self._unknown, waiting.ending)

    def _is_reachable(self) -> bool:
        try:
            self._budgets.state()
        except StoreDown:
            return False
        return True

    def _give_up(self, waiting: _Waiting, queue: deque[_Waiting]) -> None:
        """Leave a hold that cannot be resolved to its lease: it will be charged as unknown."""
        _log.exception("hold.resolution_failed", request_id=waiting.request_id)
        self._done(waiting, queue, None)

    def _done(
        self, waiting: _Waiting, queue: deque[_Waiting], reached_redis: Ending | None
    ) -> None:
        queue.remove(waiting)
        self._ids[waiting.request_id] -= 1
        if not self._ids[waiting.request_id]:
            del self._ids[waiting.request_id]
        self.replayed += waiting.ending is not None
        self._ended(waiting.request_id, reached_redis)
        if waiting.file is not None:
            self._left[waiting.file] -= 1
            if not self._left[waiting.file]:
                del self._left[waiting.file]
                waiting.file.done()
