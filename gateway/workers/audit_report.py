"""What an audit says: its checks, and the charges of the provider that it may compare with."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.usage import Usage

DIFFERENCES_MAX = 1000
"""Differences that a check keeps; it says how many there are beyond."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What the provider says it charged for one request of ours."""

    request_id: str
    usage: Usage
    service_tier: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be.

    ``expected`` and ``found`` are nano-dollars where nothing else is said. ``explanation`` says
    which of the two is right, as far as that can be told, and what to do.
    """

    about: str
    """What differs, in words."""
    expected: int | str | None
    found: int | str | None
    explanation: str
    request_id: str | None = None
    """The request that differs, where it is one."""
    window: str | None = None
    """The budget window that differs, where it is one: ``budget id:window start in ms``."""
    requests: tuple[str, ...] = ()
    """Requests that may be behind a difference of sums."""

    def __str__(self) -> str:
        """The difference in one line, for people."""
        return f"{self.about}: found {self.found}, expected {self.expected}. {self.explanation}"


class Found:
    """Collects the differences of one check; beyond a thousand only their number."""

    def __init__(self) -> None:
        self._kept: list[Difference] = []
        self.more = 0

    def add(self, difference: Difference) -> None:
        """One more difference."""
        if len(self._kept) < DIFFERENCES_MAX:
            self._kept.append(difference)
        else:
            self.more += 1

    def request(
        self, request_id: str, expected: int | str | None, found: int | str | None, explanation: str
    ) -> None:
        """A difference of one request."""
        about = f"request {request_id}"
        self.add(Difference(about, expected, found, explanation, request_id=request_id))

    def all(self) -> tuple[Difference, ...]:
        """The differences that were kept."""
        return tuple(self._kept)


@dataclass(frozen=True, slots=True)
class Check:
    """One part of an invariant: what it says, what was compared, and every difference found.

    ``id`` is the invariant's number, as ARCHITECTURE.md lists them.
    """

    id: str
    name: str
    says: str
    compared: int
    differences: tuple[Difference, ...] = ()
    more: int = 0
    """Differences beyond those that are listed."""
    notes: tuple[str, ...] = ()
    """What is as it was declared to be, and worth knowing all the same."""

    @property
    def ok(self) -> bool:
        """Whether the invariant holds."""
        return not self.differences


def check(
    number: str, name: str, says: str, compared: int, found: Found, notes: tuple[str, ...] = ()
) -> Check:
    """The check that ``found`` was collected for."""
    return Check(number, name, says, compared, found.all(), found.more, notes)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All checks of one audit, and the totals they were made on."""

    checks: tuple[Check, ...]
    records: int
    waiting: int
    open_holds: int
    cost_nano: int

    @property
    def ok(self) -> bool:
        """Whether every invariant holds."""
        return all(check.ok for check in self.checks)
