"""What rules are about: budgets with where they stand, teams and clients by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, func, select

from gateway.adapters.budget_state import counted_states
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.tables import budgets, clients, organizations, teams
from gateway.core.alerts import LATE_MS, Standing, Watched
from gateway.core.anomalies import ORGANIZATION, Subject
from gateway.core.budgets import Scope


@dataclass(frozen=True, slots=True)
class WatchedRow:
    """A budget in force: as SQL has it, and as rules see it."""

    row: Row[Any]
    budget: Watched


def watched_budgets(engine: Engine) -> list[WatchedRow]:
    """Every budget in force."""
    query = (
        select(
            budgets,
            clients.c.name.label("client_name"),
            teams.c.name.label("team_name"),
            func.coalesce(budgets.c.team_id, clients.c.team_id).label("of_team_id"),
        )
        .join(clients, budgets.c.client_id == clients.c.id, isouter=True)
        .join(teams, budgets.c.team_id == teams.c.id, isouter=True)
        .where(budgets.c.removed_at.is_(None))
        .order_by(budgets.c.id)
    )
    with engine.connect() as connection:
        return [WatchedRow(row, _watched(row)) for row in connection.execute(query)]


def standings(
    counters: RedisBudgets, watched: Sequence[WatchedRow], *, ended: bool = False
) -> list[Standing]:
    """Where budgets stand in their windows, as the gateways count.

    With ``ended``, also in windows that have just ended: what was spent in the last second of
    one is else seen by nobody. Raises StoreDown and CountersLost.
    """
    rows = [one.row for one in watched]
    found = [
        Standing(one.budget, state.window, state.spent_nano, state.held_nano or 0)
        for one, state in zip(watched, counted_states(counters, rows), strict=True)
    ]
    if ended:
        before = zip(watched, counted_states(counters, rows, ago_ms=LATE_MS), strict=True)
        found += [
            Standing(one.budget, state.window, state.spent_nano, state.held_nano or 0)
            for (one, state), present in zip(before, found, strict=True)
            if state.window != present.window
        ]
    return found


def names_of_subjects(engine: Engine) -> dict[Subject, str]:
    """What people call every client, every team and the organization."""
    with engine.connect() as connection:
        found = {
            (row.team_id, row.id): f"client {row.name}"
            for row in connection.execute(select(clients.c.team_id, clients.c.id, clients.c.name))
        }
        for row in connection.execute(select(teams.c.id, teams.c.name)):
            found[(row.id, 0)] = f"team {row.name}"
        organization = connection.execute(select(organizations.c.name)).scalar_one_or_none()
    return found | {ORGANIZATION: f"organization {organization or ''}".strip()}


def _watched(row: Row[Any]) -> Watched:
    if row.scope == Scope.TEAM:
        on = f"team {row.team_name}"
    else:
        on = f"client {row.client_name}" if row.scope == Scope.CLIENT else "the organization"
    return Watched(
        id=row.id,
        name=row.name,
        on=on,
        limit_nano=row.limit_nano,
        created_ms=milliseconds(row.created_at),
        team_id=row.of_team_id,
        client_id=row.client_id,
    )


def milliseconds(at: datetime) -> int:
    """A moment in milliseconds since 1970."""
    return int(at.astimezone(UTC).timestamp() * 1000)
