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
class Check:
    """One invariant: what it says, what was compared, and every difference found.

    ``id`` is the invariant's number, as ARCHITECTURE.md lists them.
    """

    id: str
    name: str
    says: str
    compared: int
    differences: tuple[str, ...] = ()
    remedy: str = ""
    """What a platform engineer does about differences."""

    @property
    def ok(self) -> bool:
        """Whether the invariant holds."""
        return not self.differences


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
