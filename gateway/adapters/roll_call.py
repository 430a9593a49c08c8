"""Answers the roll call of a rebuild: tells a Redis that lost something what this process knows.

A worker looks at the state of the counters twice a second, and signs that it lives. Where
admission is suspended, and again where an epoch has begun that it does not know, it presents its
holds and its newest endings before it goes on (``gateway.workers.rebuilder`` waits for that). Redis
says first which of them it lacks, so presenting again costs little.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import TypeVar
from uuid import uuid4

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.backlog import UNRECORDED, bring
from gateway.adapters.database import first_line
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.usage_rows import Ended
from gateway.core.endings import Ending
from gateway.core.holds import Hold

LOOK_SECONDS = 0.5
DURABLE_SECONDS = 30.0
"""What a Redis has kept for this long, it is taken to keep: its disk and its replicas have it."""

_AT_ONCE = 64
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


class RollCall:
    """One worker's part in it."""

    def __init__(self, budgets: RedisBudgets, keeper: HoldKeeper) -> None:
        self._budgets = budgets
        self._keeper = keeper
        self._worker = ""
        self._presented = 0
        """The suspension that everything was presented for."""
        self._answering = BoundedSemaphore(1)
        budgets.present = self.answer

    def watch(self) -> None:
        """Look and answer for ever; run it as a greenlet."""
        while True:
            try:
                self.answer()
            except StoreDown as error:
                _log.warning("roll_call.interrupted", reason=str(error))
            gevent.sleep(LOOK_SECONDS)

    def answer(self) -> None:
        """Present what Redis may lack, if there is need, and adopt its epoch.

        Raises StoreDown, also where SQL does not answer; then it begins again.
        """
        with self._answering:
            # Named here and not before: each process that a server forks is a worker of its own.
            self._worker = self._worker or f"{os.getpid()}-{uuid4().hex[:8]}"
            looked = monotonic()
            state = self._budgets.state(self._worker, self._presented)
            if state.admits:
                if self._budgets.epoch == state.epoch:
                    self._keeper.forget_endings(before=looked - DURABLE_SECONDS)
                elif self._budgets.epoch:
                    # Also where it has presented for the suspension before: there may have been
                    # another one since.
                    self._present()
                self._budgets.adopt(state)
            elif state.suspended_at_ms and state.suspended_at_ms != self._presented:
                self._present()
                self._presented = state.suspended_at_ms
                self._budgets.state(self._worker, self._presented)

    def leave(self) -> None:
        """Sign off: nobody needs to wait for this worker any more."""
        if self._worker:
            self._budgets.forget_worker(self._worker)

    def _present(self) -> None:
        """Bring Redis what it lacks: open holds, and how requests ended lately."""
        holds, endings = self._keeper.owned(), self._keeper.recent_endings()
        aside = self._keeper.aside()
        ids = [hold.request_id for hold in (*holds, *(hold for hold, _ in aside))]
        ids += [ending.hold.request_id for ending in endings]
        states = self._budgets.hold_states(ids)
        known = self._recorded([one for one, state in states.items() if state != "closed"])

        def is_lost(hold: Hold) -> bool:
            # One that has expired meanwhile is charged; its settle will correct that.
            return not states[hold.request_id] and hold.request_id not in known

        placed: list[bool] = []
        _for_all(
            [one for one in aside if is_lost(one[0])],
            lambda one: placed.append(self._place_again(*one, handed=True)),
        )
        _for_all(
            [hold for hold in holds if is_lost(hold)],
            lambda hold: placed.append(self._place_again(hold, self._keeper.lease_seconds)),
        )
        lacking = [e for e in endings if states[e.hold.request_id] != "closed"]
        _for_all(lacking, lambda ending: self._bring_again(ending, states, known))
        _log.warning("holds.presented", holds=len(holds), placed=sum(placed), endings=len(lacking))

    def _recorded(self, request_ids: list[str]) -> Mapping[str, Ended]:
        if not request_ids:
            return {}
        try:
            return self._keeper.ask(request_ids)
        except SQLAlchemyError as error:
            raise StoreDown(f"the database: {first_line(error)}") from error

    def _place_again(self, hold: Hold, lease_seconds: float, *, handed: bool = False) -> bool:
        if not handed and not self._keeper.owns(hold.request_id):
            # It was settled meanwhile.
            return False
        forget_ms = [0] * len(hold.budget_windows)
        return self._budgets.place_again(hold, forget_ms, lease_seconds, handed=handed)

    def _bring_again(
        self, ending: Ending, states: Mapping[str, str], known: Mapping[str, Ended]
    ) -> None:
        request_id = ending.hold.request_id
        end = known.get(request_id)
        if end is None:
            bring(self._budgets, ending, UNRECORDED)
        elif end.charged_nano is None:
            if states[request_id] == "open":
                bring(self._budgets, ending)
        elif states[request_id] != "open":
            bring(self._budgets, ending, end.charged_nano)
        # Else SQL has it as expired, and Redis as open: the rebuild makes it expired there too,
        # and what is presented in the next epoch corrects it.


def _for_all(items: Iterable[_T], call: Callable[[_T], None]) -> None:
    """Call for each, some at once. Raises the first StoreDown, after which none is begun."""
    failures: list[StoreDown] = []

    def one(item: _T) -> None:
        if failures:
            return
        try:
            call(item)
        except StoreDown as error:
            failures.append(error)
        except Exception:
            # One that cannot be brought must not keep the others, and this worker, out for ever.
            _log.exception("roll_call.not_presented")

    for _ in Pool(_AT_ONCE).imap_unordered(one, items):
        pass
    if failures:
        raise failures[0]
