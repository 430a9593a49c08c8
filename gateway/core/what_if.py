"""What a budget would have done, had it been there: recorded requests played against a limit.

As the reserve script decides: a request is refused where what is spent, what is held for others in
flight and its own hold come to more than the limit. A request that the gateway would have granted
fewer output tokens is counted as refused, since no record says what its answer would have been.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

from gateway.core.budgets import Window, WindowKind, window_at


@dataclass(frozen=True, slots=True)
class Proposal:
    """A limit in nano-dollars per window, in a time zone."""

    limit_nano: int
    window: WindowKind
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Use:
    """One record: when it was held and ended (milliseconds since 1970), what was held for it and
    what it cost, in nano-dollars. A correction (``corrects``) changes the cost of its request,
    which came before it."""

    request_id: str
    held_ms: int
    ended_ms: int
    hold_nano: int
    cost_nano: int
    corrects: bool = False
    may_be_corrected: bool = False


@dataclass(slots=True)
class Played:
    """What became of one window. Amounts in nano-dollars; moments in milliseconds since 1970."""

    window: Window
    requests: int = 0
    refused: int = 0
    recorded_nano: int = 0
    """What was really spent."""
    spent_nano: int = 0
    """What would have been spent."""
    refused_nano: int = 0
    """What the refused requests have cost."""
    exhausted_ms: int | None = None
    """When the first request was refused."""
    held_nano: int = 0
    """What is held for requests in flight."""


class Replay:
    """Plays records against one proposal. ``add`` them in the order of their holds."""

    def __init__(self, proposal: Proposal) -> None:
        self._proposal = proposal
        self.windows: list[Played] = []
        self._in_flight: list[tuple[int, int, Played, int, int]] = []
        self._order = count()
        self._refused: set[str] = set()
        """Refused requests that a correction may follow."""

    def add(self, use: Use) -> None:
        """Take one record."""
        played = self._window(use.held_ms)
        if use.corrects:
            self._correct(played, use)
            return
        self._settle(use.held_ms)
        played.requests += 1
        played.recorded_nano += use.cost_nano
        taken = played.spent_nano + played.held_nano
        if use.hold_nano and taken + use.hold_nano > self._proposal.limit_nano:
            played.refused += 1
            played.refused_nano += use.cost_nano
            if played.exhausted_ms is None:
                played.exhausted_ms = use.held_ms
            if use.may_be_corrected:
                self._refused.add(use.request_id)
            return
        played.held_nano += use.hold_nano
        entry = (use.ended_ms, next(self._order), played, use.hold_nano, use.cost_nano)
        heapq.heappush(self._in_flight, entry)

    def finish(self) -> list[Played]:
        """Settle what is in flight; the windows, in order."""
        while self._in_flight:
            self._settle(self._in_flight[0][0])
        return self.windows

    def _correct(self, played: Played, use: Use) -> None:
        played.recorded_nano += use.cost_nano
        if use.request_id in self._refused:
            self._refused.discard(use.request_id)
            played.refused_nano += use.cost_nano
        else:
            played.spent_nano += use.cost_nano

    def _settle(self, at_ms: int) -> None:
        """Replace the holds of what has ended until ``at_ms`` by its cost."""
        while self._in_flight and self._in_flight[0][0] <= at_ms:
            _, _, played, hold_nano, cost_nano = heapq.heappop(self._in_flight)
            played.held_nano -= hold_nano
            played.spent_nano += cost_nano

    def _window(self, at_ms: int) -> Played:
        if not self.windows or not self.windows[-1].window.contains(at_ms):
            window = window_at(self._proposal.window, self._proposal.time_zone, at_ms)
            self.windows.append(Played(window))
        return self.windows[-1]
