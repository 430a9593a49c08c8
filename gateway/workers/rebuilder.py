"""Computes the counters anew after Redis may have lost some, before anything is admitted.

Redis can come back empty, or older than it was: after a power loss, from a backup, when a replica
that lagged took over. Admission is suspended then (``gateway.adapters.redis_state``). The gateways
present what they know: holds of requests in flight, and how requests ended in the last seconds.
What each budget window has spent then comes from SQL, after all that waits has been recorded, and
what it holds from the holds that are left.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import failpoints
from gateway.adapters.database import first_line
from gateway.adapters.directory import Directory
from gateway.adapters.epochs import Recorded, next_epoch, note_epoch, recorded_state
from gateway.adapters.intents import open_intents, sweep_intents
from gateway.adapters.object_rows import open_work
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_rebuild import Counters, Kept, RedisRebuild, TimeLost, Window
from gateway.adapters.redis_state import CounterState
from gateway.adapters.usage_rows import ended, record
from gateway.adapters.window_rows import spent_windows
from gateway.core.events import InvalidEvent, UsageEvent, parse_event
from gateway.core.long_work import LEASE_SECONDS, work_from

PAUSE_SECONDS = 0.5
ROLL_CALL_SECONDS = 1.0
"""How long gateways have at least to present what they know, and to sign that they have."""

ROLL_CALL_SECONDS_MAX = 5.0
"""How long a gateway that lives is waited for: what one that hangs presents later is charged too,
and asked about in SQL first."""

ALIVE_MS = 3_000
"""A gateway that has not signed for this long is not waited for."""

FORGOTTEN_MS = 3_600_000

_RECORDED_AT_ONCE = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    epoch: int
    why: str
    windows: int
    recorded: int
    """Usage events that SQL did not have yet."""
    kept: int
    """Holds that stay open."""
    placed: int
    """Of these, holds that Redis had lost."""
    closed: int
    """Holds that Redis took for open, and SQL has the end of."""


class Rebuilder:
    """Any number may run; one at a time rebuilds, and the others go on with what it did."""

    def __init__(
        self,
        budgets: RedisBudgets,
        engine: Engine,
        lease_seconds: float,
        roll_call_seconds: float | None = None,
    ) -> None:
        self._budgets = budgets
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._roll_call = ROLL_CALL_SECONDS if roll_call_seconds is None else roll_call_seconds

    def run(self, stop: threading.Event) -> None:
        """Watch over the counters until ``stop`` is set, and rebuild them where there is need."""
        while True:
            try:
                self.step()
            except (StoreDown, RedisError) as error:
                _log.warning("rebuilder.redis_unreachable", reason=first_line(error))
            except SQLAlchemyError as error:
                _log.warning("rebuilder.database_refuses", reason=first_line(error))
            except TimeLost:
                _log.warning("rebuilder.took_too_long")
            if stop.wait(PAUSE_SECONDS):
                return

    def step(self) -> Rebuilt | None:
        """Rebuild if there is need, and all have presented; what was done where it was done here.

        Raises the stores' errors and TimeLost.
        """
        version = Directory(self._engine).version()
        recorded = recorded_state(self._engine)
        state = self._budgets.state()
        if version == 0 or self._is_sound(state, recorded):
            return None
        if state.admits or not state.suspended_at_ms:
            why = _what_is_wrong(state, recorded)
            _log.error("redis.counters_lost", reason=why)
            self._budgets.suspend(why)
            state = self._budgets.state()
        if not self._all_presented(state):
            return None
        return self._rebuild(state, version)

    def rebuild(self, why: str, wait: Callable[[float], object]) -> Rebuilt:
        """Rebuild although there may be no need. ``wait`` waits for so many seconds.

        Raises the stores' errors and TimeLost.
        """
        begun = self._budgets.state().epoch
        self._budgets.suspend(why)
        while True:
            rebuilt = self.step()
            if rebuilt is not None:
                return rebuilt
            if self._budgets.state().epoch > begun:
                # The recorder was quicker: once more, to tell what was done.
                begun = self._budgets.state().epoch
                self._budgets.suspend(why)
            wait(0.1)

    def _is_sound(self, state: CounterState, recorded: Recorded) -> bool:
        if not state.admits or state.sequence < recorded.sequence:
            return False
        if recorded.late and recorded.late == state.epoch:
            return False
        if recorded.epoch == 0:
            # A deployment that has just begun, or was upgraded: SQL learns the epoch.
            note_epoch(self._engine, state.epoch)
            return True
        if state.epoch == recorded.epoch:
            return True
        # Another rebuild may have ended between the two reads.
        return self._budgets.state().epoch == recorded_state(self._engine).epoch

    def _all_presented(self, state: CounterState) -> bool:
        """Whether the roll call for a suspension is over."""
        # By the clock of Redis: a rebuilder that takes over from one that died waits for the rest.
        waited = (state.now_ms - state.suspended_at_ms) / 1000
        if waited < self._roll_call:
            return False
        missing = [
            name
            for name, (signed_at, presented) in RedisRebuild(self._budgets).workers().items()
            if state.now_ms - signed_at < ALIVE_MS and presented != state.suspended_at_ms
        ]
        if missing and waited < ROLL_CALL_SECONDS_MAX:
            return False
        if missing:
            _log.warning("rebuilder.not_presented", workers=len(missing))
        return True

    def _rebuild(self, state: CounterState, version: int) -> Rebuilt | None:
        attempt = RedisRebuild(self._budgets)
        epoch = next_epoch(self._engine, at_least=max(state.epoch + 1, state.now_ms))
        # Most of what waits is recorded before the counters are frozen, to keep that short.
        last, before = self._record_all(attempt, None)
        failpoints.hit("rebuilder.recorded")
        if not attempt.freeze():
            return None
        failpoints.hit("rebuilder.frozen")
        _, rest = self._record_all(attempt, last)
        attempt.freeze()
        kept, placed, closed = self._settle_holds(attempt)
        failpoints.hit("rebuilder.placed")
        windows = self._set_counters(attempt, kept, epoch)
        failpoints.hit("rebuilder.counted")
        sequence = recorded_state(self._engine).sequence
        server = self._budgets.server()
        if not attempt.reopen(epoch, sequence, server, version, state.suspended_at_ms):
            return None
        failpoints.hit("rebuilder.reopened")
        gone = [
            name
            for name, (signed_at, _) in attempt.workers().items()
            if state.now_ms - signed_at > FORGOTTEN_MS
        ]
        attempt.forget_workers(gone)
        done = Rebuilt(epoch, state.why, windows, before + rest, len(kept), placed, closed)
        _log.warning(
            "redis.counters_rebuilt",
            epoch=epoch,
            reason=state.why,
            windows=windows,
            events_recorded=done.recorded,
            holds_kept=done.kept,
            holds_placed=placed,
            holds_closed=closed,
        )
        return done

    def _record_all(self, attempt: RedisRebuild, last: str | None) -> tuple[str | None, int]:
        """Record what waits behind ``last``; returns the newest event and how many were new.

        Nothing is acknowledged: the recorder is offered all of it again, and SQL knows it.
        """
        batch: list[UsageEvent] = []
        new = 0
        for entry, fields in attempt.events(last):
            last = entry
            try:
                batch.append(parse_event(fields))
            except InvalidEvent:
                continue  # The recorder sets it aside, and says so.
            if len(batch) == _RECORDED_AT_ONCE:
                new += record(self._engine, batch)
                batch = []
        return last, new + record(self._engine, batch)

    def _settle_holds(self, attempt: RedisRebuild) -> tuple[list[Kept], int, int]:
        """Close the holds that have ended, keep the others, and place those that were lost.

        Returns the open ones, and how many of them were lost and how many were closed.
        """
        found = attempt.open_holds()
        known = ended(self._engine, [one.hold.request_id for one in found])
        kept = []
        for one in found:
            end = known.get(one.hold.request_id)
            if end is None:
                kept.append(one)
                attempt.keep_hold(one, self._lease_seconds)
            else:
                attempt.end_hold(one, end.charged_nano)
        closed = len(found) - len(kept)
        present = {one.hold.request_id for one in kept}
        lost = [one for one in self._written_down() if one.hold.request_id not in present]
        known = ended(self._engine, [one.hold.request_id for one in lost])
        lost = [one for one in lost if one.hold.request_id not in known]
        for one in lost:
            attempt.keep_hold(one, LEASE_SECONDS if one.handed else self._lease_seconds)
        return [*kept, *lost], len(lost), closed

    def _written_down(self) -> list[Kept]:
        """The holds that SQL knows of: of long-lived work, and of requests that may be sent."""
        works = [one.work for one in open_work(self._engine) if one.work is not None]
        found = {
            hold.request_id: Kept(hold, handed=True)
            for hold in (work_from(work).hold for work in works)
        }
        sweep_intents(self._engine)
        for hold in open_intents(self._engine):
            found.setdefault(hold.request_id, Kept(hold))
        return list(found.values())

    def _set_counters(self, attempt: RedisRebuild, kept: list[Kept], epoch: int) -> int:
        """Set what every window has spent and holds, and the requests in flight of clients."""
        held: dict[Window, int] = defaultdict(int)
        in_flight: dict[int, int] = dict.fromkeys(attempt.clients(), 0)
        for one in kept:
            for part in filter(None, one.hold.placed_on.split(",")):
                budget_id, start, amount, *_ = part.split(":")
                held[(int(budget_id), int(start))] += int(amount)
            if not one.handed:
                client_id = int(orjson.loads(one.hold.context)["client_id"])
                in_flight[client_id] = in_flight.get(client_id, 0) + 1
        now_ms = self._budgets.state().now_ms
        spent, forget = spent_windows(self._engine, now_ms, epoch)
        keys = self._budgets.keys
        windows = sorted({*spent, *held, *attempt.windows()})
        attempt.set_counters(
            Counters(
                keys.budget(*window),
                (("spent", spent.get(window, 0)), ("held", held.get(window, 0))),
                forget.of(window),
            )
            for window in windows
        )
        attempt.set_counters(
            Counters(keys.client(client_id), (("inflight", number),))
            for client_id, number in sorted(in_flight.items())
        )
        return len(windows)


def _what_is_wrong(state: CounterState, recorded: Recorded) -> str:
    if not state.epoch:
        return "Redis came up without counters"
    if state.sequence < recorded.sequence:
        return (
            f"Redis is at change {state.sequence} of its counters, the records know of"
            f" {recorded.sequence}"
        )
    if recorded.late and recorded.late == state.epoch:
        return "usage of an earlier epoch was recorded after the counters had been set"
    return f"Redis is in epoch {state.epoch}, the database in {recorded.epoch}"
