"""Random lives of many requests against a real Redis, every step held against the model."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_replies import CountersLost
from gateway.core.budgets import Enforcement
from gateway.core.holds import BudgetRefused, Hold, HoldClosed, RateState
from tests.adapters.redis_world import RESULT, UNKNOWN, World, bound, budget
from tests.model.model import Life, Model, Violation, refused, same

BUDGETS = (
    budget(1, 4_000),
    budget(2, 9_000),
    budget(3, 1_500, Enforcement.SOFT),
    budget(4, 2_800),
)
SETS = (
    (BUDGETS[0],),
    BUDGETS[:2],
    BUDGETS[2:],
    BUDGETS,
    (BUDGETS[1], BUDGETS[3]),
    (),
)
CLIENTS = (1, 2, 3)
LIVES_MAX = 40
DEPLOYMENT_STEPS = 2_000
"""Steps until a deployment is left for a fresh one: its budgets are spent by then."""

TAIL = 30
LEASE_SECONDS = 3600.0


class Play:
    """One deployment after the other, until enough steps are played."""

    def __init__(self, url: str, seed: int) -> None:
        self._random = random.Random(seed)
        keys = RedisKeys("test")
        self.world = World(url, RedisBudgets(connect(url, 10.0), keys, LEASE_SECONDS))
        self.redis: Any = self.world.budgets.redis
        self.played: Counter[str] = Counter()
        self.steps = 0
        self.tail: deque[str] = deque(maxlen=TAIL)
        """The last steps, for people who look for what went wrong."""
        self._moves: list[tuple[Callable[[], str], int]] = [
            (self.reserve, 10),
            (self.settle, 7),
            (self.release, 3),
            (self.expire, 3),
            (self.renew, 1),
            (self.hand_over, 2),
            (self.place_again, 2),
            (self.lose, 2),
            (self.reserve_again, 2),
            (self.repeat_all, 1),
            (self.part, 2),
            (self.suspend, 1),
            (self.freeze, 1),
            (self.next_epoch, 1),
        ]
        self._begin()

    def play(self, steps: int) -> None:
        """Play so many steps. Raises Violation."""
        moves, weights = zip(*self._moves, strict=True)
        for _ in range(steps):
            if self.steps and self.steps % DEPLOYMENT_STEPS == 0:
                self._begin()
            move = self._random.choices(moves, weights)[0]
            try:
                said = move()
                self.tail.append(f"{self.steps}: {move.__name__} {said}")
                self.played[move.__name__] += 1
                self.steps += 1
                self.check()
            except Violation:
                raise
            except Exception as error:
                raise Violation(
                    f"{move.__name__} raised {type(error).__name__}: {error}"
                ) from error

    def _begin(self) -> None:
        self.redis.flushall()
        self.world.budgets.publish(1)
        self.model = Model()
        self.lives: list[Life] = []
        self._cursor = "-"
        state = self.world.budgets.state()
        self.world.budgets.epoch = 0
        self.world.budgets.adopt(state)

    # Moves. Each says what it did.

    def reserve(self) -> str:
        rnd = self._random
        budgets, client = rnd.choice(SETS), rnd.choice(CLIENTS)
        fixed, rate, wanted = rnd.randint(0, 400), rnd.randint(0, 9), rnd.randint(0, 60)
        floor = rnd.randint(0, min(20, wanted))
        asked = bound(fixed, per_token=rate, wanted=wanted, floor=floor)
        self.world.client = replace(self.world.client, id=client)
        wish = self.world.wish(*budgets, bounded=asked)
        granted = self.model.affordable(budgets, fixed, rate, wanted)
        if granted < floor:
            refused(BudgetRefused, lambda: self.world.budgets.reserve(wish))
            return f"{wish.request_id} refused"
        hold = self.world.budgets.reserve(wish)
        same(hold.granted_output_tokens, granted, "granted")
        same(hold.amount_nano, fixed + rate * granted, "amount")
        life = Life(wish, hold, budgets, client, amount=hold.amount_nano, recorded=-1)
        self.model.place(life)
        for one in budgets:
            if one.enforcement is not Enforcement.SOFT:
                same(
                    self.model.spent[one.id] + self.model.held[one.id] <= one.limit_nano,
                    True,
                    "I1: within the limit",
                )
        self.lives.append(life)
        if len(self.lives) > LIVES_MAX:
            self._forget()
        return f"{wish.request_id} {hold.amount_nano} on {[one.id for one in budgets]}"

    def settle(self) -> str:
        return self._end("settled", self._cost)

    def release(self) -> str:
        return self._end("released", lambda _life: 0)

    def expire(self) -> str:
        life = self._any()
        if life is None:
            return "nothing"
        lapsed = self._random.random() < 0.6
        if lapsed:
            self.world.lapse(life.hold)
        expired = self.world.budgets.expire(self._now(life), UNKNOWN)
        same(expired, lapsed and life.state == "open", "expired")
        if expired:
            self.model.end(life, "expired", life.amount)
        elif lapsed:
            self.world.budgets.renew([life.hold.request_id])
        return f"{life.hold.request_id} lapsed={lapsed}"

    def renew(self) -> str:
        ids = [life.hold.request_id for life in self.lives]
        alive = sum(life.state == "open" for life in self.lives)
        same(self.world.budgets.renew(ids), alive if ids else 0, "renewed")
        return f"{alive} of {len(ids)}"

    def hand_over(self) -> str:
        life = self._any()
        if life is None:
            return "nothing"
        handed = self.world.budgets.hand_over(life.hold.request_id, life.client, 1000)
        same(handed, life.state == "open", "handed over")
        if handed:
            self.model.hand_over(life)
        elif life.state == "expired":
            life.handed = True
        return life.hold.request_id

    def place_again(self) -> str:
        life = self._any()
        if life is None:
            return "nothing"
        nothing = [0] * len(life.hold.budget_windows)
        placed = self.world.budgets.place_again(self._now(life), nothing, 1000, handed=life.handed)
        same(placed, life.state == "lost", "placed again")
        if placed:
            self.model.place(life)
        return f"{life.hold.request_id} {life.state}"

    def lose(self) -> str:
        """What an older Redis would not have, with its counters."""
        life = self._any("open")
        if life is None:
            return "nothing"
        keys = self.world.budgets.keys
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.hold(life.hold.request_id))
            pipe.zrem(keys.holds, life.hold.request_id)
            for one in life.budgets:
                pipe.hincrby(keys.budget(one.id, 0), "held", -life.amount)
            if not life.handed:
                pipe.hincrby(keys.client(life.client), "inflight", -1)
            pipe.execute()
        self.model.lose(life)
        return life.hold.request_id

    def reserve_again(self) -> str:
        life = self._any()
        if life is None or life.state == "lost" or life.wish.bound.fixed_nano < 0:
            return "nothing"
        if life.state == "open":
            self.world.budgets.reserve(life.wish)
        else:
            refused(HoldClosed, lambda: self.world.budgets.reserve(life.wish))
        return life.hold.request_id

    def repeat_all(self) -> str:
        """I7: what has ended ends no second time, and nothing changes."""
        ended = [life for life in self.lives if life.state == "closed"]
        for life in ended:
            settled = self.world.budgets.settle(self._now(life), 7, 5, 5, RESULT)
            same(settled.outcome, "already", "a settle of what has ended")
            released = self.world.budgets.release(self._now(life), RESULT)
            same(released.outcome, "already", "a release of what has ended")
            same(self.world.budgets.expire(self._now(life), UNKNOWN), False, "expiry")
        return f"{len(ended)}"

    def part(self) -> str:
        """A hold is drawn from one that was handed over, as from an outage allowance."""
        whole = self._any("open")
        if whole is None or not whole.handed or whole.amount == 0 or not whole.budgets:
            return "nothing"
        amount = self._random.randint(1, whole.amount)
        placed = ",".join(
            f"{b.id}:0:{amount}:{b.limit_nano}:{b.enforcement.value}" for b in whole.budgets
        )
        wish = replace(whole.wish, request_id=f"frq_{next(self.world.ids)}")
        piece = Hold(
            wish.request_id,
            whole.client,
            "m",
            whole.hold.budget_windows,
            0,
            amount,
            whole.hold.reserved_at_ms,
            -1,
            RateState(),
            placed,
            wish.context,
            whole.hold.epoch,
            whole.hold.request_id,
        )
        for _ in range(self._random.randint(1, 2)):
            asked = not self._is_of_this_epoch(piece)
            same(self.world.budgets.part(piece, asked=asked), True, "parted")
        wish = replace(wish, bound=replace(wish.bound, fixed_nano=-1))
        life = Life(wish, piece, whole.budgets, whole.client, amount=amount, recorded=-1)
        self.model.part(whole, life)
        self.lives.append(life)
        return f"{piece.request_id} {amount} from {whole.hold.request_id}"

    def suspend(self) -> str:
        """Nothing is admitted and nothing expires; what has begun ends."""
        self.world.budgets.suspend("a test")
        refused(CountersLost, lambda: self.world.budgets.reserve(self.world.wish()))
        life = self._any("open")
        said = "nothing"
        if life is not None:
            self.world.lapse(life.hold)
            same(self.world.budgets.expire(self._now(life), UNKNOWN), False, "expiry")
            self.world.budgets.renew([life.hold.request_id])
            said = self.settle()
        self.redis.hset(self.world.budgets.keys.state, "admits", 1)
        return said

    def freeze(self) -> str:
        """While a rebuild is at work nothing changes."""
        life = self._any()
        if life is None:
            return "nothing"
        state, hold = self.world.budgets.keys.state, self._now(life)
        self.redis.hset(state, mapping={"frozen_until": self.world.now_ms() + 60_000})
        for call in (
            lambda: self.world.budgets.settle(hold, 1, 1, 1, RESULT, charged_nano=-1),
            lambda: self.world.budgets.release(hold, RESULT, charged_nano=-1),
            lambda: self.world.budgets.hand_over(hold.request_id, hold.client_id, 10),
            lambda: self.world.budgets.place_again(hold, [0] * len(hold.budget_windows), 10),
        ):
            refused(StoreDown, call)
        self.redis.hdel(state, "frozen_until")
        return hold.request_id

    def next_epoch(self) -> str:
        keys = self.world.budgets.keys
        epoch = self.redis.hincrby(keys.state, "epoch", 1)
        # A process that knows an older one is told, and goes on in the new one.
        return str(epoch)

    # How moves end, and what is compared

    def _end(self, outcome: str, cost_of: Callable[[Life], int]) -> str:
        life = self._any()
        if life is None:
            return "nothing"
        cost, hold = cost_of(life), self._now(life)
        known: int | None = None
        if life.state in ("lost", "expired"):
            fresh = self._is_of_this_epoch(hold)
            if not fresh:
                late = self._call(outcome, hold, cost, None)
                same(late, "late", f"{outcome} of what another epoch knew")
            known = life.recorded if life.state == "lost" else None if fresh else life.charged
            if life.state == "lost" and fresh and self._random.random() < 0.5:
                # In the same epoch nobody needs to ask, but for a release that is to leave a trace.
                known = None if outcome == "settled" else known
        expected = {
            "open": outcome,
            "expired": "corrected" if outcome == "settled" else "released",
            "closed": "already",
            "lost": "unheld" if outcome == "settled" else "released",
        }[life.state]
        same(self._call(outcome, hold, cost, known), expected, f"{outcome}, {life.state}")
        if expected != "already":
            self.model.end(life, outcome, cost)
        return f"{hold.request_id} {cost} {expected}"

    def _call(self, outcome: str, hold: Hold, cost: int, known: int | None) -> str:
        if outcome == "settled":
            return self.world.budgets.settle(hold, cost, 10, 10, RESULT, charged_nano=known).outcome
        return self.world.budgets.release(hold, RESULT, charged_nano=known).outcome

    def _is_of_this_epoch(self, hold: Hold) -> bool:
        return hold.epoch == int(self.redis.hget(self.world.budgets.keys.state, "epoch"))

    def _cost(self, life: Life) -> int:
        return self._random.randint(0, life.amount)

    def _any(self, state: str | None = None) -> Life | None:
        found = [life for life in self.lives if state in (None, life.state)]
        return self._random.choice(found) if found else None

    def _now(self, life: Life) -> Hold:
        """The hold as its owner knows it: of an allowance, with what is left of it."""
        placed = ",".join(
            f"{b.id}:0:{life.amount}:{b.limit_nano}:{b.enforcement.value}" for b in life.budgets
        )
        return replace(life.hold, amount_nano=life.amount, placed_on=placed)

    def _forget(self) -> None:
        closed = [life for life in self.lives if life.state == "closed"]
        for life in closed[: len(closed) // 2]:
            self.lives.remove(life)
        while len(self.lives) > 2 * LIVES_MAX:
            life = self.lives.pop(0)
            if life.state != "closed":
                if life.state == "lost":
                    self.model.place(life)
                    nothing = [0] * len(life.hold.budget_windows)
                    self.world.budgets.place_again(
                        self._now(life), nothing, 1000, handed=life.handed
                    )
                self.world.budgets.release(self._now(life), RESULT)
                self.model.end(life, "released", 0)

    def check(self) -> None:
        """Counters, open holds, in-flight counts, events and sequence are the model's."""
        keys, model = self.world.budgets.keys, self.model
        with self.redis.pipeline(transaction=False) as pipe:
            for one in BUDGETS:
                pipe.hmget(keys.budget(one.id, 0), "spent", "held")
            for client in CLIENTS:
                pipe.hget(keys.client(client), "inflight")
            pipe.zcard(keys.holds)
            pipe.hget(keys.state, "sequence")
            pipe.xrange(keys.events, self._cursor)
            found = pipe.execute()
        for one, (spent, held) in zip(BUDGETS, found, strict=False):
            # I6: held is the sum of open holds; I5: spent is the sum of what was charged.
            same(
                (int(spent or 0), int(held or 0)),
                (model.spent[one.id], model.held[one.id]),
                f"budget {one.id}: spent, held",
            )
            same(int(held or 0) >= 0, True, "held is not negative")
        for client, number in zip(CLIENTS, found[len(BUDGETS) :], strict=False):
            same(int(number or 0), model.in_flight[client], f"client {client} in flight")
        *_, cards, sequence, entries = found
        same(cards, sum(life.state == "open" for life in self.lives), "open holds listed")
        same(int(sequence), model.sequence, "I10: sequence")
        seen = [
            (
                fields[b"id"].decode(),
                fields[b"kind"].decode(),
                fields[b"outcome"].decode(),
                int(fields[b"cost"]),
            )
            for _, fields in entries
        ]
        # I4: one ending each, at most one correction, and none that the model does not know.
        same(seen, model.events, "events")
        model.events.clear()
        if entries:
            self._cursor = f"({entries[-1][0].decode()}"
