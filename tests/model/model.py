"""What the Redis scripts must do, in plain Python: amounts, states and events of a few requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.budgets import Budget, Enforcement
from gateway.core.holds import Hold, HoldRequest


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
    recorded: int | None = None
    """What SQL would say of it: -1 for nothing, what was charged when it expired, None where it has
    ended for good."""


@dataclass
class Model:
    """All counters, as they must be."""

    spent: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    in_flight: Counter[int] = field(default_factory=Counter)
    sequence: int = 0
    events: list[tuple[str, str, str, int]] = field(default_factory=list)
    """Request id, kind, outcome and cost of each event that is still to be seen."""

    def affordable(self, budgets: tuple[Budget, ...], fixed: int, rate: int, wanted: int) -> int:
        """Output tokens that a reserve grants; below the floor it refuses."""
        granted = wanted
        for one in budgets:
            if one.enforcement is Enforcement.SOFT:
                continue
            room = one.limit_nano - self.spent[one.id] - self.held[one.id]
            if fixed + rate * granted > room:
                granted = min(granted, (room - fixed) // rate if rate and room >= fixed else -1)
        return granted

    def place(self, life: Life) -> None:
        """A hold is there, by a reserve or again."""
        life.state = "open"
        for one in life.budgets:
            self.held[one.id] += life.amount
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
        piece.state = "open"
        self.in_flight[piece.client] += 1
        self.sequence += 1

    def end(self, life: Life, outcome: str, cost: int) -> None:
        """A request is settled, released or expires at ``cost``."""
        if life.state == "open":
            self._unhold(life)
        if life.state == "expired" or (life.state == "lost" and (life.recorded or -1) >= 0):
            before = life.charged if life.state == "expired" else (life.recorded or 0)
            self._charge(life, "correction", outcome, cost - before)
            life.state = "closed"
        else:
            self._charge(life, "request", outcome, cost)
            life.state = "expired" if outcome == "expired" else "closed"

    def _charge(self, life: Life, kind: str, outcome: str, nano: int) -> None:
        life.charged += nano
        for one in life.budgets:
            self.spent[one.id] += nano
        self.sequence += 1
        self.events.append((life.hold.request_id, kind, outcome, nano))

    def _unhold(self, life: Life) -> None:
        for one in life.budgets:
            self.held[one.id] -= life.amount
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
