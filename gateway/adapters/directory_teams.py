"""Teams in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select

from gateway.adapters.directory_budgets import remove_budgets_of
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
from gateway.adapters.directory_facts import team_facts
from gateway.adapters.directory_values import DirectoryError, InTheWay, checked_name
from gateway.adapters.tables import clients, organizations, teams
from gateway.core.policy import Sharing


def create_team(change: Change, name: str, sharing: Sharing = Sharing.CLIENT) -> int:
    """A new team; returns its id."""
    organization = change.connection.execute(select(organizations.c.id)).scalar_one_or_none()
    if organization is None:
        raise DirectoryError("the deployment is not set up: run `faregate init`")
    team_id = change.insert(
        teams,
        f"team {name!r} exists already",
        organization_id=organization,
        name=checked_name(name),
        sharing=sharing.value,
        created_at=now(),
    )
    change.note("create", "team", None, team_facts(_row(change, team_id)))
    return team_id


def change_team(
    change: Change,
    team: Ref,
    sharing: Sharing | None = None,
    name: str | None = None,
    seen: Seen = None,
) -> None:
    """Change a team's sharing, its name, or both."""
    before = _seen(change, team, seen)
    values: dict[str, Any] = {}
    if sharing is not None:
        values["sharing"] = sharing.value
    if name is not None:
        values["name"] = checked_name(name)
    if not values:
        raise DirectoryError("nothing to change: name a sharing or a new name")
    change.update(teams, before["id"], f"team {name!r} exists already", **values)
    change.note("change", "team", before, team_facts(_row(change, before["id"])))


def remove_team(change: Change, team: Ref, seen: Seen = None) -> None:
    """Remove a team that has no clients any more, and its budgets. Its records stay.

    Raises InTheWay while it has clients.
    """
    before = _seen(change, team, seen)
    team_id = before["id"]
    living = clients.c.team_id == team_id, clients.c.removed_at.is_(None)
    if count := change.connection.execute(select(func.count()).where(*living)).scalar_one():
        clients_left = "a client" if count == 1 else f"{count} clients"
        raise InTheWay(f"team {before['name']!r} has {clients_left}: remove them first")
    remove_budgets_of(change, team_id=team_id)
    change.update(teams, team_id, removed_at=now(), name=removed_name(before["name"], team_id))
    change.note("remove", "team", before, None)


def _seen(change: Change, team: Ref, seen: Seen) -> dict[str, Any]:
    facts = team_facts(_row(change, team))
    check_seen(facts, seen, "team")
    return facts


def _row(change: Change, team: Ref) -> Row[Any]:
    return one_of(change.connection, _one(team), team, "team")


def _one(team: Ref) -> Select[Any]:
    return select(teams).where(where_is(teams, team))


class Teams(Directed):
    """Reads and changes teams. Methods raise DirectoryError."""

    def create_team(self, name: str, sharing: Sharing = Sharing.CLIENT) -> int:
        """A new team; returns its id. ``sharing`` says whose the objects of its clients are."""
        with self.change() as change:
            return create_team(change, name, sharing)

    def change_team(
        self,
        team: Ref,
        sharing: Sharing | None = None,
        *,
        name: str | None = None,
        seen: Seen = None,
    ) -> None:
        """Change who of a team may use the objects that its clients have made, also before;
        or the team's name."""
        with self.change() as change:
            change_team(change, team, sharing, name, seen)

    def remove_team(self, team: Ref, *, seen: Seen = None) -> None:
        """Remove a team without clients, and its budgets. Its usage records stay."""
        with self.change() as change:
            remove_team(change, team, seen)

    def team(self, team: Ref) -> Row[Any]:
        """One team. Raises NotThere."""
        return self._one(_one(team), team, "team")

    def teams(self) -> Sequence[Row[Any]]:
        """All teams by name, but for removed ones."""
        return self._all(select(teams).where(teams.c.removed_at.is_(None)).order_by(teams.c.name))

    def require_team(self, name: str) -> int:
        """The id of the team ``name``. Raises NotThere."""
        with self._engine.connect() as connection:
            return id_of(connection, teams, name, "team")
