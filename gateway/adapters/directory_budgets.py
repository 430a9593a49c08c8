"""Budgets in SQL. What they have spent is counted elsewhere, and no change here touches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, select

from gateway.adapters.allowed_tags import checked_tag
from gateway.adapters.directory_changes import (
    Change,
    Directed,
    Ref,
    Seen,
    check_seen,
    id_of,
    now,
    one_of,
    removed_name,
    where_is,
)
from gateway.adapters.directory_facts import budget_facts
from gateway.adapters.directory_values import (
    DirectoryError,
    checked_limit,
    checked_name,
    checked_pattern,
    checked_zone,
)
from gateway.adapters.tables import budgets, clients, teams
from gateway.core.budgets import Enforcement, Scope, WindowKind

NAMED = (
    select(
        budgets,
        teams.c.name.label("team_name"),
        clients.c.name.label("client_name"),
        clients.c.team_id.label("client_team_id"),
    )
    .join(teams, budgets.c.team_id == teams.c.id, isouter=True)
    .join(clients, budgets.c.client_id == clients.c.id, isouter=True)
)
"""Budgets with the names of what they are set on, and of a client's with its team."""


def create_budget(
    change: Change,
    name: str,
    *,
    limit_nano: int,
    window: WindowKind,
    team: Ref | None = None,
    client: Ref | None = None,
    time_zone: str = "UTC",
    enforcement: Enforcement = Enforcement.STRICT,
    model_pattern: str | None = None,
    tag: str | None = None,
) -> int:
    """A new budget on a client, a team or (neither named) the organization; returns its id.

    ``model_pattern`` and ``tag`` (``name=value``) narrow it to some of the requests.
    """
    if team is not None and client is not None:
        raise DirectoryError("a budget is on a team or on a client, not both")
    scope, team_id, client_id = Scope.ORGANIZATION, None, None
    if team is not None:
        scope, team_id = Scope.TEAM, id_of(change.connection, teams, team, "team")
    if client is not None:
        scope, client_id = Scope.CLIENT, id_of(change.connection, clients, client, "client")
    budget_id = change.insert(
        budgets,
        f"budget {name!r} exists already",
        name=checked_name(name),
        scope=scope.value,
        team_id=team_id,
        client_id=client_id,
        limit_nano=checked_limit(limit_nano),
        window=window.value,
        time_zone=checked_zone(time_zone),
        enforcement=enforcement.value,
        model_pattern=checked_pattern(model_pattern),
        tag=checked_tag(change.connection, tag),
        created_at=now(),
    )
    change.note("create", "budget", None, budget_facts(_row(change, budget_id)))
    return budget_id


def change_budget(
    change: Change,
    budget: Ref,
    *,
    limit_nano: int | None = None,
    enforcement: Enforcement | None = None,
    new_name: str | None = None,
    seen: Seen = None,
) -> None:
    """Change a budget's limit, enforcement or name; what is spent and held stays."""
    values: dict[str, Any] = {}
    if limit_nano is not None:
        values["limit_nano"] = checked_limit(limit_nano)
    if enforcement is not None:
        values["enforcement"] = enforcement.value
    if new_name is not None:
        values["name"] = checked_name(new_name)
    if not values:
        raise DirectoryError("nothing to change: name a limit or an enforcement")
    before = _seen(change, budget, seen)
    change.update(budgets, before["id"], f"budget {new_name!r} exists already", **values)
    change.note("change", "budget", before, budget_facts(_row(change, before["id"])))


def remove_budget(change: Change, budget: Ref, seen: Seen = None) -> None:
    """Stop enforcing a budget. Its row stays, since usage records point at it."""
    before = _seen(change, budget, seen)
    change.update(
        budgets, before["id"], removed_at=now(), name=removed_name(before["name"], before["id"])
    )
    change.note("remove", "budget", before, None)


def remove_budgets_of(
    change: Change, *, team_id: int | None = None, client_id: int | None = None
) -> None:
    """Stop enforcing what is set on a team, or on a client."""
    owned = budgets.c.team_id == team_id if client_id is None else budgets.c.client_id == client_id
    living = select(budgets.c.id).where(owned, budgets.c.removed_at.is_(None))
    for row in change.connection.execute(living.order_by(budgets.c.id)).all():
        remove_budget(change, row.id)


def _seen(change: Change, budget: Ref, seen: Seen) -> dict[str, Any]:
    facts = budget_facts(_row(change, budget))
    check_seen(facts, seen, "budget")
    return facts


def _row(change: Change, budget: Ref) -> Row[Any]:
    return one_of(change.connection, _one(budget), budget, "budget")


def _one(budget: Ref) -> Select[Any]:
    return NAMED.where(where_is(budgets, budget))


class Budgets(Directed):
    """Reads and changes budgets. Methods raise DirectoryError."""

    def create_budget(self, name: str, **terms: Any) -> int:
        """A new budget; ``terms`` are those of ``create_budget`` above. Returns its id."""
        with self.change() as change:
            return create_budget(change, name, **terms)

    def change_budget(
        self,
        budget: Ref,
        *,
        limit_nano: int | None = None,
        enforcement: Enforcement | None = None,
        new_name: str | None = None,
        seen: Seen = None,
    ) -> None:
        """Change a budget's limit, enforcement or name; what is spent and held stays."""
        with self.change() as change:
            change_budget(
                change,
                budget,
                limit_nano=limit_nano,
                enforcement=enforcement,
                new_name=new_name,
                seen=seen,
            )

    def remove_budget(self, budget: Ref, *, seen: Seen = None) -> None:
        """Stop enforcing a budget. Its row stays, since usage records point at it."""
        with self.change() as change:
            remove_budget(change, budget, seen)

    def budget(self, budget: Ref) -> Row[Any]:
        """One budget with the names of what it is set on. Raises NotThere."""
        return self._one(_one(budget), budget, "budget")

    def budgets(self, *, removed: bool = False) -> Sequence[Row[Any]]:
        """Budgets with the names of what they are set on; removed ones only on request."""
        query = NAMED.order_by(budgets.c.id)
        return self._all(query if removed else query.where(budgets.c.removed_at.is_(None)))
