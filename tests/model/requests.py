"""Moves that requests make: placed, renewed, handed over, ended, and each of these again."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.budgets import Enforcement
from gateway.core.holds import BudgetRefused, Hold, HoldClosed, PolicyStale, RateRefused, RateState
from tests.adapters.redis_world import RESULT, UNKNOWN, bound
from tests.model.deployment import CONCURRENT, SCALE, SETS, Deployment
from tests.model.model import Life, refused, same

NOTHING = "nothing"
LONG_SECONDS = 1000


class Requests:
    """Each move says what it did. Raises Violation."""

    def __init__(self, at: Deployment) -> None:
        self.at = at
        self._random = at.random
        self.moves = [
            (self.reserve, 12),
            (self.settle, 7),
            (self.release, 3),
            (self.expire, 3),
            (self.renew, 1),
            (self.hand_over, 2),
            (self.place_again, 2),
            (self.lose, 1),
            (self.reserve_again, 2),
            (self.overtaken, 1),
            (self.stale, 1),
            (self.repeat_all, 1),
            (self.part, 2),
            (self.record, 1),
        ]

    def reserve(self) -> str:
        rnd, at = self._random, self.at
        client = rnd.choice(tuple(SETS))
        wanted = rnd.randint(0, 60)
        asked = bound(
            rnd.randint(0, 400) * SCALE,
            per_token=rnd.randint(0, 9) * SCALE,
            wanted=wanted,
            floor=rnd.randint(0, min(20, wanted)),
            choices=rnd.choice((1, 1, 2)),
        )
        at.world.client = replace(
            at.world.client, id=client, concurrent_requests=CONCURRENT[client]
        )
        wish = at.world.wish(*rnd.choice(SETS[client]), bounded=asked)
        granted = at.model.affordable(wish)
        if granted < asked.floor_output_tokens:
            refused(BudgetRefused, lambda: at.world.budgets.reserve(wish))
            return f"{wish.request_id} refused by a budget"
        if 0 < CONCURRENT[client] <= at.model.in_flight[client]:
            refused(RateRefused, lambda: at.world.budgets.reserve(wish))
            return f"{wish.request_id} refused by the number in flight"
        hold = at.world.budgets.reserve(wish)
        amount = asked.fixed_nano + asked.output_token_nano * asked.choices * granted
        same((hold.granted_output_tokens, hold.amount_nano), (granted, amount), "granted, amount")
        held = {one.id: at.model.holds(one, wish, amount) for one in wish.budgets}
        owner = at.gateways.index(at.world.budgets)
        life = Life(wish, hold, tuple(wish.budgets), client, amount=amount, held=held, owner=owner)
        at.model.place(life)
        for one in wish.budgets:
            if one.enforcement is not Enforcement.SOFT:
                within = at.model.spent[one.id] + at.model.held[one.id] <= one.limit_nano
                same(within, True, f"I1: budget {one.id} is within its limit")
        at.lives.append(life)
        return f"{wish.request_id} {amount} on {sorted(held)}"

    def settle(self) -> str:
        """A request ends; or its end comes once more, and is the same."""
        life = self.at.any()
        if life is None:
            return NOTHING
        cost = self._random.randint(0, life.amount)
        return self.end(life, *(life.ended or ("settled", cost)))

    def release(self) -> str:
        life = self.at.any()
        return NOTHING if life is None else self.end(life, *(life.ended or ("released", 0)))

    def expire(self) -> str:
        life, at = self.at.any(), self.at
        if life is None:
            return NOTHING
        lapsed = self._random.random() < 0.6
        if lapsed:
            at.world.lapse(life.hold)
        expired = at.world.budgets.expire(at.hold(life), UNKNOWN)
        same(expired, lapsed and life.state == "open", "expired")
        if expired:
            at.model.end(life, "expired", life.amount, output=-1, known=None)
            same(at.world.budgets.expire(at.hold(life), UNKNOWN), False, "expired again")
        elif lapsed:
            at.world.budgets.renew([life.id])
        return f"{life.id} lapsed={lapsed}"

    def renew(self) -> str:
        ids = [life.id for life in self.at.lives]
        alive = sum(life.state == "open" for life in self.at.lives)
        same(self.at.world.budgets.renew(ids), alive, "renewed")
        return f"{alive} of {len(ids)}"

    def hand_over(self) -> str:
        life = self.at.any()
        if life is None:
            return NOTHING
        for _ in range(self._random.choice((1, 1, 2))):
            handed = self.at.world.budgets.hand_over(life.id, life.client, LONG_SECONDS)
            same(handed, life.state == "open", "handed over")
            if handed:
                self.at.model.hand_over(life)
            elif life.state == "expired":
                life.handed = True
        return life.id

    def place_again(self) -> str:
        life, at = self.at.any(), self.at
        if life is None:
            return NOTHING
        if at.records.known(life) != -1 or (life.ended and life.state == "lost"):
            # Whoever places one again has asked SQL before, and knows what it has ended itself.
            return f"{life.id} has ended"
        nothing = [0] * len(life.hold.budget_windows)
        for _ in range(self._random.choice((1, 1, 2))):
            placed = at.world.budgets.place_again(
                at.hold(life), nothing, LONG_SECONDS, handed=life.handed
            )
            same(placed, life.state == "lost", "placed again")
            if placed:
                at.model.place(life)
        return f"{life.id} {life.state}"

    def lose(self) -> str:
        """What an older Redis would not have, with its counters."""
        life, at = self.at.any("open"), self.at
        if life is None:
            return NOTHING
        with at.redis.pipeline(transaction=True) as pipe:
            pipe.delete(at.keys.hold(life.id))
            pipe.zrem(at.keys.holds, life.id)
            for budget_id, nano in life.held.items():
                pipe.hincrby(at.keys.budget(budget_id, 0), "held", -nano)
            if not life.handed:
                pipe.hincrby(at.keys.client(life.client), "inflight", -1)
            pipe.execute()
        at.model.lose(life)
        return life.id

    def reserve_again(self) -> str:
        life = self.at.any("open", "expired", "closed")
        if life is None or life.hold.drawn_from:
            return NOTHING
        if life.state == "open":
            again = self.at.world.budgets.reserve(life.wish)
            same(again.amount_nano, life.amount, "the amount of an open hold")
        else:
            refused(HoldClosed, lambda: self.at.world.budgets.reserve(life.wish))
        return life.id

    def overtaken(self) -> str:
        """A reserve that comes after it was given up places nothing."""
        wish = self.at.world.wish(*SETS[1][0], bounded=bound(SCALE))
        for _ in range(self._random.choice((1, 2))):
            self.at.world.budgets.release_unsure(wish)
        refused(HoldClosed, lambda: self.at.world.budgets.reserve(wish))
        return wish.request_id

    def stale(self) -> str:
        """A gateway with an older policy is told so."""
        wish = replace(self.at.world.wish(*SETS[1][0], bounded=bound(SCALE)), policy_version=0)
        refused(PolicyStale, lambda: self.at.world.budgets.reserve(wish))
        same(self.at.world.budgets.publish(0), 1, "the policy in force")
        return wish.request_id

    def repeat_all(self) -> str:
        """I7: what has ended ends no second time, and nothing at all changes."""
        at = self.at
        ended = [life for life in at.lives if life.state == "closed"][-6:]
        before = at.world.everything()
        for life in ended:
            hold = at.hold(life)
            settled = at.world.budgets.settle(hold, 7, 5, 5, RESULT)
            same(settled.outcome, "already", "a settle of what has ended")
            released = at.world.budgets.release(hold, RESULT)
            same(released.outcome, "already", "a release of what has ended")
            same(at.world.budgets.expire(hold, UNKNOWN), False, "expiry of what has ended")
            same(at.world.budgets.hand_over(life.id, life.client, 9), False, "a hand-over")
            nothing = [0] * len(hold.budget_windows)
            same(at.world.budgets.place_again(hold, nothing, 9), False, "placing again")
        same(at.world.everything() == before, True, "I7: nothing has changed")
        return f"{len(ended)}"

    def part(self) -> str:
        """A hold is drawn from one that was handed over, as from an outage allowance."""
        whole, at = self.at.any("open"), self.at
        if whole is None or not whole.handed or whole.amount == 0 or not whole.budgets:
            return NOTHING
        if set(whole.held.values()) != {whole.amount}:
            return NOTHING  # An allowance has no output that could be expected.
        amount = self._random.randint(1, whole.amount)
        placed = ",".join(
            f"{b.id}:0:{amount}:{b.limit_nano}:{b.enforcement.value}" for b in whole.budgets
        )
        wish = replace(whole.wish, request_id=f"frq_{next(at.world.ids)}")
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
            whole.id,
        )
        for _ in range(self._random.choice((1, 2))):
            same(at.world.budgets.part(piece, asked=True), True, "parted")
        held = dict.fromkeys(whole.held, amount)
        life = Life(wish, piece, whole.budgets, whole.client, amount=amount, held=held)
        life.owner = whole.owner
        at.model.part(whole, life)
        at.lives.append(life)
        return f"{life.id} {amount} from {whole.id}"

    def record(self) -> str:
        """The recorder writes down what waits, and SQL has then what the counters have."""
        waiting = len(self.at.waiting)
        self.at.check_records()
        return f"{waiting} events"

    # How requests end

    def end(self, life: Life, outcome: str, cost: int) -> str:
        """End a request as its owner does: where Redis has lost what it knew, SQL is asked."""
        at, known = self.at, None
        output = self._random.randint(0, 60)
        if life.hold.drawn_from:
            self.part_again(life, asked=False)
        if self._must_ask(life, outcome):
            same(self.call(life, outcome, cost, output, None), "late", f"{outcome}, {life.state}")
            known = at.records.known(life)
            if known is None:
                return f"{life.id} {cost} has ended, says SQL"
        elif life.state == "lost" and outcome == "released":
            known = -1
        return self.bring(life, outcome, cost, output, known)

    def bring(self, life: Life, outcome: str, cost: int, output: int, known: int | None) -> str:
        """Bring an ending to Redis, with what SQL says of it; once or twice."""
        if life.hold.drawn_from and known == -1:
            self.part_again(life, asked=True)
        expected = {
            "open": outcome,
            "expired": "corrected" if outcome == "settled" else "released",
            "closed": "already",
            "lost": "unheld" if outcome == "settled" else "released",
        }[life.state]
        if life.state == "lost" and known is not None and known >= 0 and outcome == "settled":
            expected = "corrected"
        same(self.call(life, outcome, cost, output, known), expected, f"{outcome}, {life.state}")
        if expected != "already":
            life.ended = life.ended or (outcome, cost)
            self.at.model.end(life, outcome, cost, output=output, known=known)
            if self._random.random() < 0.2:
                again = self.call(life, outcome, cost, output, known)
                same(again, "already", f"{outcome} again")
        return f"{life.id} {cost} {expected}"

    def part_again(self, life: Life, *, asked: bool) -> None:
        """Part a hold anew that Redis has lost, where its allowance still has it."""
        at = self.at
        whole = next(one for one in at.lives if one.id == life.hold.drawn_from)
        lost = life.state == "lost" and (asked or life.hold.epoch == at.epoch)
        there = whole.state == "open" and whole.amount >= life.amount
        found = at.world.budgets.part(at.hold(life), asked=asked)
        same(found, life.state != "lost" or (lost and there), f"{life.id} parted again")
        if lost and there:
            at.model.part(whole, life)

    def _must_ask(self, life: Life, outcome: str) -> bool:
        """Whether Redis cannot tell by itself if a request has ended."""
        another = life.hold.epoch != self.at.epoch
        return another and life.state in ("lost", "expired")

    def call(self, life: Life, outcome: str, cost: int, output: int, known: int | None) -> str:
        """Settle or release; the outcome."""
        hold, budgets = self.at.hold(life), self.at.world.budgets
        if outcome == "settled":
            found = budgets.settle(hold, cost, 10 + output, output, RESULT, charged_nano=known)
        else:
            found = budgets.release(hold, RESULT, charged_nano=known)
        return found.outcome
