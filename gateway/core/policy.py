"""Policy: who may call, what they may use and which budgets they fall under.

A snapshot is immutable. Each gateway process holds one and replaces it whole when the
version in Redis moves on, so the paid path reads plain dictionaries and no store.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.core.budgets import Budget, Scope
from gateway.core.prices import PriceBook

KEY_PREFIX = "fg-"


def hash_key(secret: str) -> str:
    """The stored form of a key: SHA-256 in hexadecimal.

    A key is 256 random bits, so a plain fast hash is enough: there is nothing to guess.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Sharing(StrEnum):
    """Who of a team may use an object (a file, a job) that one of its clients has made."""

    CLIENT = "client"
    TEAM = "team"


@dataclass(frozen=True, slots=True)
class Client:
    """A consumer of the API, its limits and how its answers may be shortened."""

    id: int
    name: str
    team_id: int
    team_name: str
    allowed_models: tuple[str, ...] = ()
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrent_requests: int = 0
    default_output_tokens: int = 0
    output_floor_tokens: int = 0
    clamp_output: bool = False
    may_fine_tune: bool = False
    outage_allowance_nano: int = 0
    """What each gateway worker sets aside for it, to be spent while Redis is away."""
    sharing: Sharing = Sharing.CLIENT
    """Its team's."""

    def may_use(self, model: str) -> bool:
        """Whether ``model`` matches an allowed pattern; no patterns allow every model."""
        if not self.allowed_models:
            return True
        return any(fnmatch.fnmatchcase(model, pattern) for pattern in self.allowed_models)


@dataclass(frozen=True, slots=True)
class Key:
    """A credential of a client, known by the hash of its secret."""

    id: int
    client_id: int
    display: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Policy:
    """Everything that decides a request, as of ``version``."""

    version: int
    prices: PriceBook
    keys: Mapping[str, Key] = field(default_factory=dict)
    clients: Mapping[int, Client] = field(default_factory=dict)
    budgets: Mapping[int, tuple[Budget, ...]] = field(default_factory=dict)
    """By client id: every budget that the client's requests can fall under."""
    tags: frozenset[str] = frozenset()
    """The names of the tags that requests may carry into their records."""

    def budgets_for(
        self, client: Client, model: str, tags: Mapping[str, str]
    ) -> tuple[Budget, ...]:
        """The budgets that a request of ``client`` for ``model`` with ``tags`` counts against."""
        return tuple(b for b in self.budgets.get(client.id, ()) if b.covers(model, tags))


def budgets_by_client(
    clients: Iterable[Client], budgets: Iterable[Budget]
) -> dict[int, tuple[Budget, ...]]:
    """For each client id, its own budgets, its team's and the organization's."""
    organization: list[Budget] = []
    by_team: dict[int, list[Budget]] = {}
    by_client: dict[int, list[Budget]] = {}
    for budget in budgets:
        if budget.scope is Scope.ORGANIZATION:
            organization.append(budget)
        elif budget.scope is Scope.TEAM and budget.team_id is not None:
            by_team.setdefault(budget.team_id, []).append(budget)
        elif budget.client_id is not None:
            by_client.setdefault(budget.client_id, []).append(budget)
    return {
        client.id: tuple(
            by_client.get(client.id, []) + by_team.get(client.team_id, []) + organization
        )
        for client in clients
    }
