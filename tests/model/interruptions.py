"""Moves that Redis makes: it stops admitting, is frozen, comes back older or empty, and is rebuilt.

A crash here is what a rebuild is for: the gateways that live present what they know, what SQL has
counts, and whatever was lost with them is charged when its owner comes at last.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gateway.adapters import redis_rebuild
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_rebuild import Counters, Kept, RedisRebuild
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.redis_script import Script
from tests.adapters.redis_world import RESULT, UNKNOWN
from tests.model.beside import Beside
from tests.model.deployment import BUDGETS, SETS, Deployment
from tests.model.model import Life, Violation, refused, same
from tests.model.requests import LONG_SECONDS, NOTHING, Requests

MEET = Script("meet")


@dataclass
class Snapshot:
    """All of Redis as it was, and what the model knew beside requests; empty as it stands."""

    dump: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    sequence: int = 0
    beside: Any = ({}, {})


class Interruptions:
    """Each move says what it did. Raises Violation."""

    def __init__(self, at: Deployment, requests: Requests, beside: Beside) -> None:
        self.at = at
        self._requests = requests
        self._beside = beside
        self._random = at.random
        self.begin()
        self.moves = [
            (self.suspend, 1),
            (self.freeze, 1),
            (self.next_epoch, 1),
            (self.remember, 0.4),
            (self.crash, 0.4),
        ]

    def begin(self) -> None:
        """A fresh deployment has no past."""
        self._snapshot: Snapshot | None = None

    def suspend(self) -> str:
        """Nothing is admitted and nothing expires; what has begun ends."""
        at, said = self.at, NOTHING
        at.world.budgets.suspend("a test")
        self._check_suspended()
        life = at.any("open")
        if life is not None:
            at.world.lapse(life.hold)
            same(at.world.budgets.expire(at.hold(life), UNKNOWN), False, "expiry")
            at.world.budgets.renew([life.id])
            said = self._requests.end(life, *(life.ended or ("settled", life.amount // 2)))
        at.redis.hset(at.keys.state, "admits", 1)
        return said

    def _check_suspended(self) -> None:
        for one in self.at.gateways:
            refused(CountersLost, lambda one=one: one.reserve(self.at.world.wish()))  # type: ignore[misc]

    def freeze(self) -> str:
        """While a rebuild is at work nothing changes."""
        at, life = self.at, self.at.any()
        if life is None:
            return NOTHING
        hold = at.hold(life)
        at.redis.hset(at.keys.state, mapping={"frozen_until": at.world.now_ms() + 60_000})
        before = at.world.everything()
        for call in (
            lambda: at.world.budgets.settle(hold, 1, 1, 1, RESULT, charged_nano=-1),
            lambda: at.world.budgets.release(hold, RESULT, charged_nano=-1),
            lambda: at.world.budgets.expire(hold, UNKNOWN),
            lambda: at.world.budgets.hand_over(hold.request_id, hold.client_id, 10),
            lambda: at.world.budgets.place_again(hold, [0] * len(hold.budget_windows), 10),
        ):
            refused(StoreDown, call)
        same(at.world.everything() == before, True, "nothing has changed while frozen")
        at.redis.hdel(at.keys.state, "frozen_until")
        return hold.request_id

    def next_epoch(self) -> str:
        """A process that knows an older epoch is told, and goes on in the new one."""
        self.at.epoch = self.at.redis.hincrby(self.at.keys.state, "epoch", 1)
        return str(self.at.epoch)

    # Loss and rebuild

    def remember(self) -> str:
        """A backup is made, or a replica falls behind."""
        redis = self.at.redis
        names = sorted(redis.keys())
        with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.dump(name)
                pipe.pttl(name)
            found = pipe.execute()
        dump = {name: (found[2 * n], max(found[2 * n + 1], 0)) for n, name in enumerate(names)}
        self._snapshot = Snapshot(dump, self.at.model.sequence, self._beside.past())
        return f"at change {self.at.model.sequence}"

    def crash(self) -> str:
        """Redis comes back empty, or as it was; it is detected, and rebuilt."""
        at = self.at
        if self._random.random() < 0.7:
            at.record()
        lost = Snapshot()
        if self._snapshot is not None and self._random.random() < 0.7:
            lost = self._snapshot
        self._come_back(lost)
        self._beside.come_back(lost.beside)
        how = self._detect(lost)
        self._check_suspended()
        present = {number for number in range(len(at.gateways)) if self._random.random() < 0.85}
        self._present(present)
        self._rebuild()
        for life in at.lives:
            if life.owner not in present and self._random.random() < 0.7:
                self._present_late(life)
        return f"to change {lost.sequence}, found by {how}, presented by {sorted(present)}"

    def _come_back(self, older: Snapshot) -> None:
        redis = self.at.redis
        redis.flushall()
        with redis.pipeline(transaction=False) as pipe:
            for name, (value, ttl) in older.dump.items():
                pipe.restore(name, ttl, value)
            pipe.execute()

    def _detect(self, older: Snapshot) -> str:
        """How the loss shows: to a new connection, to a gateway, or to who compares with SQL."""
        at = self.at
        if not older.dump:
            return "its emptiness"
        if self._random.random() < 0.5:
            same(MEET(at.redis, [at.keys.state], ["another server"]), 1, "D1")
            return "its other name"
        seen = max(at.gateways, key=lambda one: one._seen)
        state = at.gateways[0].state()
        if seen.epoch == state.epoch and seen._seen > state.sequence:
            refused(CountersLost, lambda: seen.reserve(at.world.wish()))
            return "a gateway that has seen more"
        at.gateways[0].suspend("SQL has more")
        return "the records"

    def _present(self, present: set[int]) -> None:
        """The roll call: open holds that are lost are placed again, endings are brought again.

        As ``gateway.adapters.roll_call`` does it. What it makes of the counters is computed anew
        afterwards, so nothing is compared yet.
        """
        at = self.at
        states = at.gateways[0].hold_states([life.id for life in at.lives])
        for life in at.lives:
            if life.owner not in present or life.handed or life.hold.drawn_from:
                continue
            budgets = at.world.budgets = at.gateways[life.owner]
            state, known = states[life.id], at.records.known(life)
            if life.ended is not None and state != "closed":
                if known == -1 or (state == "open") == (known is None):
                    self._requests.call(life, *life.ended, -1, known)
            elif life.ended is None and life.state == "open" and not state and known == -1:
                nothing = [0] * len(life.hold.budget_windows)
                budgets.place_again(at.hold(life), nothing, LONG_SECONDS, handed=False)

    def _present_late(self, life: Life) -> None:
        """A gateway that hung during the roll call presents what it knows in the next epoch."""
        at, known = self.at, self.at.records.known(life)
        if life.handed or life.hold.drawn_from or known is None or life.state == "closed":
            return
        if life.ended is not None:
            self._requests.bring(life, *life.ended, -1, known)
        elif life.state == "lost" and known == -1:
            nothing = [0] * len(life.hold.budget_windows)
            placed = at.gateways[life.owner].place_again(at.hold(life), nothing, 60, handed=False)
            same(placed, True, "placed late")
            at.model.place(life)

    def _rebuild(self) -> None:
        """As ``gateway.workers.rebuilder`` does it, with the records of the model for SQL."""
        at = self.at
        redis_rebuild.FROZEN_SECONDS = 600.0
        attempt = RedisRebuild(at.gateways[0])
        state = at.gateways[0].state()
        same(attempt.freeze(), True, "frozen")
        same(RedisRebuild(at.gateways[0]).freeze(), False, "one leader")
        at._cursor = "-"
        at.records.record(at.seen(at.redis.xrange(at.keys.events)), state.sequence)
        found = {one.hold.request_id: one for one in attempt.open_holds()}
        kept: list[Life] = []
        for life in at.lives:
            there, known = found.get(life.id), at.records.known(life)
            if there is not None and known == -1:
                attempt.keep_hold(there, LONG_SECONDS)
                kept.append(self._as_kept(life, there))
            elif there is not None:
                attempt.end_hold(there, known)
            elif known == -1 and life.handed and life.state == "open":
                # What was drawn from it since is parted from it anew.
                whole = Kept(life.hold, handed=True)
                attempt.keep_hold(whole, LONG_SECONDS)
                kept.append(self._as_kept(life, whole))
        self._set_counters(attempt, kept)
        epoch = max(state.epoch, *(one.epoch for one in at.gateways)) + 1
        sequence = at.records.sequence
        server = at.gateways[0].server()
        opened = attempt.reopen(epoch, sequence, server, 1, state.suspended_at_ms)
        same(opened, True, "admits again")
        at.epoch = epoch
        self._take_stock(kept, sequence)

    def _as_kept(self, life: Life, kept: Kept) -> Life:
        """The request with what its hold is from now on: what was parted from it may be back."""
        same(life.amount <= kept.hold.amount_nano <= life.hold.amount_nano, True, f"{life.id} kept")
        life.handed, life.amount = kept.handed, kept.hold.amount_nano
        parts = (part.split(":") for part in kept.hold.placed_on.split(",") if part)
        life.held = {int(part[0]): int(part[2]) for part in parts}
        return life

    def _set_counters(self, attempt: RedisRebuild, kept: list[Life]) -> None:
        at = self.at
        spent: Counter[int] = Counter()
        for life in at.lives:
            for one in life.budgets:
                spent[one.id] += at.records.charged(life)
        held: Counter[int] = Counter()
        flying: Counter[int] = Counter()
        for life in kept:
            held.update(life.held)
            flying[life.client] += not life.handed
        keys = at.keys
        attempt.set_counters(
            Counters(keys.budget(b.id, 0), (("spent", spent[b.id]), ("held", held[b.id])))
            for b in BUDGETS
        )
        attempt.set_counters(
            Counters(keys.client(client), (("inflight", flying[client]),)) for client in SETS
        )
        at.model.spent, at.model.held, at.model.in_flight = spent, held, flying

    def _take_stock(self, kept: list[Life], recorded: int) -> None:
        """What the model knows from now on: what Redis has been made to know."""
        at = self.at
        at.waiting.clear()
        at.model.events.clear()
        at.redis.xtrim(at.keys.events, maxlen=0)
        at._cursor = "-"
        with at.redis.pipeline(transaction=False) as pipe:
            for life in at.lives:
                pipe.hmget(at.keys.hold(life.id), "state", "free", "charged", "amount")
            holds: list[Any] = pipe.execute()
        for life, hold in zip(at.lives, holds, strict=True):
            life.charged = at.records.charged(life)
            life.state = hold[0].decode() if hold[0] else "lost"
            life.free = hold[1] == b"1"
            known = at.records.known(life)
            if life.state == "open" and life not in kept:
                raise Violation(f"{life.id} is open, and nobody has kept it")
            if life in kept:
                same((life.state, int(hold[3])), ("open", life.amount), f"{life.id} is kept")
            elif life.state == "expired" and known not in (None, -1):
                same(int(hold[2]), known, f"{life.id} has been charged")
        state = at.gateways[0].state()
        same(state.admits, True, "admits")
        same(state.sequence > recorded, True, "I10: the sequence goes on")
        at.model.sequence = state.sequence
        needs = {
            client: at.redis.hmget(at.keys.need(client, "m"), "mean", "deviation")
            for client in SETS
        }
        at.model.needs = {
            client: (int(mean), int(deviation))
            for client, (mean, deviation) in needs.items()
            if mean is not None
        }
        self._snapshot = None
