"""What the Redis scripts must do, in plain Python: amounts, states and events of a few requests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.core.budgets import Budget, Enforcement
from gateway.core.holds import Hold, HoldRequest

Event = tuple[str, str, str, int]
"""Request id, kind, outcome and cost."""


class Violation(AssertionError):
    """Redis does not do as the model says."""


@dataclass
class Life:
    """What the model knows of one request."""

    wish: HoldRequest
    hold: Hold
    budgets: tuple[Budget, ...]
    client: int
    state: str = "open"
    """open, expired, closed, or lost: Redis knows nothing of it."""
    handed: bool = False
    charged: int = 0
    """Nano-dollars, over all its events."""
    amount: int = 0
    """What it still holds: less than at first where others were parted from it."""
    held: dict[int, int] = field(default_factory=dict)
    """The same by budget: one that expects less than the worst holds less."""
    free: bool = False
    """Whether it was released, so that nothing was billed."""
    owner: int = 0
    """The gateway that has it."""
    ended: tuple[str, int] | None = None
    """How its owner ended it, and what the provider had billed."""

    @property
    def id(self) -> str:
        return self.hold.request_id


@dataclass
class Records:
    """SQL: what was recorded, each end once."""

    rows: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """Outcome and cost by request id and kind."""
    sequence: int = 0

    def record(self, events: Iterable[Event], sequence: int) -> None:
        """Record events that SQL may know already."""
        for request_id, kind, outcome, cost in events:
            self.rows.setdefault((request_id, kind), (outcome, cost))
        self.sequence = max(self.sequence, sequence)

    def known(self, life: Life) -> int | None:
        """As ``usage_rows.ended``: -1 for no record, what was charged where it has expired, None
        where it has ended for good."""
        first = self.rows.get((life.id, "request"))
        if (life.id, "correction") in self.rows or (first and first[0] != "expired"):
            return None
        return -1 if first is None else first[1]

    def charged(self, life: Life) -> int:
        """What a request has cost, by all its rows."""
        rows = (self.rows.get((life.id, kind)) for kind in ("request", "correction"))
        return sum(row[1] for row in rows if row is not None)


@dataclass
class Model:
    """All counters, as they must be."""

    spent: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    in_flight: Counter[int] = field(default_factory=Counter)
    needs: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Mean and deviation of output tokens x 1000, by client."""
    sequence: int = 0
    events: list[Event] = field(default_factory=list)
    """Events that are still to be seen."""

    def expected(self, client: int) -> int | None:
        """Output tokens that a client's next request is expected to need."""
        if client not in self.needs:
            return None
        mean, deviation = self.needs[client]
        return math.ceil((mean + 4 * deviation) / 1000)

    def affordable(self, wish: HoldRequest) -> int:
        """Output tokens that a reserve grants; below the floor it refuses."""
        bound, granted = wish.bound, wish.bound.wanted_output_tokens
        per_token = bound.output_token_nano * bound.choices
        for one in wish.budgets:
            if one.enforcement is Enforcement.SOFT:
                continue
            room = one.limit_nano - self.spent[one.id] - self.held[one.id]
            needed = self.holds(one, wish, bound.fixed_nano + per_token * granted)
            if needed > room:
                affordable = -1
                if room >= bound.fixed_nano:
                    affordable = (room - bound.fixed_nano) // per_token if per_token else granted
                granted = min(granted, affordable)
        return granted

    def holds(self, budget: Budget, wish: HoldRequest, amount: int) -> int:
        """What a budget holds of a request that costs ``amount`` at worst."""
        expected = self.expected(wish.client.id)
        if budget.enforcement is not Enforcement.EXPECTED or expected is None:
            return amount
        return min(amount, wish.bound.fixed_nano + wish.bound.output_token_nano * expected)

    def place(self, life: Life) -> None:
        """A hold is there, by a reserve or again."""
        life.state = "open"
        for budget_id, nano in life.held.items():
            self.held[budget_id] += nano
        if not life.handed:
            self.in_flight[life.client] += 1
        self.sequence += 1

    def lose(self, life: Life) -> None:
        """Redis forgets a hold, as one that comes back older does."""
        self._unhold(life)
        life.state = "lost"

    def hand_over(self, life: Life) -> None:
        """It is no request in flight any more."""
        if not life.handed:
            life.handed = True
            self.in_flight[life.client] -= 1
            self.sequence += 1

    def part(self, whole: Life, piece: Life) -> None:
        """A hold is parted from an allowance: what is held stays the same."""
        whole.amount -= piece.amount
        for budget_id in whole.held:
            whole.held[budget_id] -= piece.amount
        piece.state = "open"
        self.in_flight[piece.client] += 1
        self.sequence += 1

    def end(self, life: Life, outcome: str, cost: int, *, output: int, known: int | None) -> None:
        """A request is settled, released or expires at ``cost``; ``known`` is what SQL said."""
        if life.state == "open":
            self._unhold(life)
            if outcome == "settled" and not life.handed and output >= 0:
                self._learn(life.client, output)
        before = life.charged if life.state == "expired" else (known if known is not None else -1)
        if life.state == "expired" or (life.state == "lost" and before >= 0):
            self._charge(life, "correction", outcome, cost - before)
            life.state = "closed"
        else:
            self._charge(life, "request", outcome, cost)
            life.state = "expired" if outcome == "expired" else "closed"
        life.free = outcome == "released"

    def _learn(self, client: int, output: int) -> None:
        sample = output * 1000
        mean, deviation = float(sample), sample / 2
        if client in self.needs:
            mean, deviation = self.needs[client]
            miss = sample - mean
            mean += miss / 8
            deviation += (abs(miss) - deviation) / 4
        self.needs[client] = int(f"{mean:.0f}"), int(f"{deviation:.0f}")

    def _charge(self, life: Life, kind: str, outcome: str, nano: int) -> None:
        life.charged += nano
        for one in life.budgets:
            self.spent[one.id] += nano
        self.sequence += 1
        self.events.append((life.id, kind, outcome, nano))

    def _unhold(self, life: Life) -> None:
        for budget_id, nano in life.held.items():
            self.held[budget_id] -= nano
        if not life.handed:
            self.in_flight[life.client] -= 1


def same(found: object, expected: object, what: str) -> None:
    """Raise Violation unless the two are equal."""
    if found != expected:
        raise Violation(f"{what}: {found!r}, and the model says {expected!r}")


def refused(kind: type[Exception], call: Callable[[], object]) -> None:
    """Raise Violation unless ``call`` raises ``kind``."""
    try:
        call()
    except kind:
        return
    raise Violation(f"not refused with {kind.__name__}")
