"""Holds: what is asked of the budgets, what they grant, and why they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.bounds import Bound
from gateway.core.budgets import Budget, Window
from gateway.core.policy import Client


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """One request's wish to be admitted."""

    request_id: str
    client: Client
    model: str
    bound: Bound
    budgets: Sequence[Budget]
    policy_version: int
    context: bytes
    """JSON that becomes part of the usage record, also when the hold expires unowned."""


@dataclass(frozen=True, slots=True)
class RateState:
    """What is left of a client's rate limits after a grant; -1 where there is no limit."""

    requests_left: int = -1
    requests_reset_ms: int = 0
    tokens_left: int = -1
    tokens_reset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """A placed hold. ``left_nano`` is what the tightest hard budget has left, -1 for none."""

    request_id: str
    client_id: int
    model: str
    budget_windows: tuple[tuple[int, int], ...]
    """(budget id, window start in ms), in the order of the hold."""
    granted_output_tokens: int
    amount_nano: int
    reserved_at_ms: int
    left_nano: int
    rates: RateState
    placed_on: str = ""
    """The budgets as the hold keeps them in Redis, should Redis lose it."""
    context: bytes = b"{}"
    epoch: int = 0
    """The epoch of the counters that it was placed in; 0 where that is not known."""
    drawn_from: str = ""
    """The request id of the outage allowance that it was drawn from, while Redis was away."""


class Refused(Exception):
    """The reserve script refused; nothing was written."""


class PolicyStale(Refused):
    """The policy in this process is not the one in force; reload and ask again."""

    def __init__(self, version: int | None) -> None:
        super().__init__(f"policy version in force: {version}")
        self.version = version


class BudgetRefused(Refused):
    """A budget cannot afford the request. Amounts in nano-dollars."""

    def __init__(
        self, budget: Budget, window: Window, spent: int, held: int, affordable: int
    ) -> None:
        super().__init__(budget.name)
        self.budget = budget
        self.window = window
        self.spent_nano = spent
        self.held_nano = held
        self.affordable_output_tokens = affordable


class RateRefused(Refused):
    """A rate limit is reached. ``wait_ms`` is -1 where waiting does not help."""

    def __init__(self, limit: str, wait_ms: int, left: int) -> None:
        super().__init__(limit)
        self.limit = limit
        self.wait_ms = wait_ms
        self.left = left


class HoldClosed(Refused):
    """The request id was used before and its hold is already resolved."""


@dataclass(frozen=True, slots=True)
class BudgetLook:
    """How a budget stands that a request would count against. Amounts in nano-dollars."""

    budget: Budget
    window: Window
    spent_nano: int
    held_nano: int
    would_hold_nano: int
    """-1 where the request would be refused."""


@dataclass(frozen=True, slots=True)
class Look:
    """What would become of a request that asked to be admitted now; nothing was written."""

    hold: Hold | None
    """The hold that it would get; None where it would be refused."""
    refused: BudgetRefused | RateRefused | None
    decides: Budget | None
    """The budget that refuses, or that grants fewer output tokens than are wanted; None where no
    budget does."""
    budgets: tuple[BudgetLook, ...]
    in_flight: int
    requests_busy_us: int
    """Until when, from now, a whole minute's requests are available again; likewise tokens."""
    tokens_busy_us: int
    mean_output_tokens: float | None
    """What this client's requests to this model have needed; None where there were none."""
    deviation_output_tokens: float | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a settle or release ended.

    ``settled``, ``released``; ``corrected`` where the hold had expired; ``unheld`` where Redis
    had lost it, and it was charged all the same; ``already`` where it had ended before;
    ``late`` where Redis does not know any more whether it had, and nothing was charged.
    """

    outcome: str
    left_nano: int = -1
    amount_nano: int = 0
