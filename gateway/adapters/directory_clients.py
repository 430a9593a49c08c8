"""Clients in SQL: what they may use, and their rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, select

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
from gateway.adapters.directory_facts import client_facts
from gateway.adapters.directory_keys import revoke_keys_of
from gateway.adapters.directory_values import DirectoryError, checked_limits, checked_name
from gateway.adapters.tables import clients, teams

NAMED = select(clients, teams.c.name.label("team_name")).join(
    teams, clients.c.team_id == teams.c.id
)
"""Clients with their team's name."""


def create_client(change: Change, team: Ref, name: str, **limits: Any) -> int:
    """A new client of ``team``; returns its id. ``limits`` are columns of the clients table."""
    team_id = id_of(change.connection, teams, team, "team")
    client_id = change.insert(
        clients,
        f"client {name!r} exists already",
        team_id=team_id,
        name=checked_name(name),
        created_at=now(),
        **checked_limits(limits),
    )
    change.note("create", "client", None, client_facts(_row(change, client_id)))
    return client_id


def change_client(
    change: Change, client: Ref, new_name: str | None = None, seen: Seen = None, **limits: Any
) -> None:
    """Change a client's limits, its name, or both."""
    before = _seen(change, client, seen)
    values = checked_limits(limits)
    if new_name is not None:
        values["name"] = checked_name(new_name)
    if not values:
        raise DirectoryError("nothing to change: name at least one limit")
    change.update(clients, before["id"], f"client {new_name!r} exists already", **values)
    change.note("change", "client", before, client_facts(_row(change, before["id"])))


def remove_client(change: Change, client: Ref, seen: Seen = None) -> None:
    """Remove a client: its keys are revoked, its budgets removed. Its records stay."""
    before = _seen(change, client, seen)
    client_id = before["id"]
    revoke_keys_of(change, client_id)
    remove_budgets_of(change, client_id=client_id)
    change.update(
        clients, client_id, removed_at=now(), name=removed_name(before["name"], client_id)
    )
    change.note("remove", "client", before, None)


def _seen(change: Change, client: Ref, seen: Seen) -> dict[str, Any]:
    facts = client_facts(_row(change, client))
    check_seen(facts, seen, "client")
    return facts


def _row(change: Change, client: Ref) -> Row[Any]:
    return one_of(change.connection, _one(client), client, "client")


def _one(client: Ref) -> Select[Any]:
    return NAMED.where(where_is(clients, client))


class Clients(Directed):
    """Reads and changes clients. Methods raise DirectoryError."""

    def create_client(self, team: Ref, name: str, **limits: Any) -> int:
        """A new client of ``team``; ``limits`` are columns of the clients table."""
        with self.change() as change:
            return create_client(change, team, name, **limits)

    def change_client(
        self, client: Ref, *, new_name: str | None = None, seen: Seen = None, **limits: Any
    ) -> None:
        """Change the limits of a client, or its name."""
        with self.change() as change:
            change_client(change, client, new_name, seen, **limits)

    def remove_client(self, client: Ref, *, seen: Seen = None) -> None:
        """Remove a client, its keys and its budgets. Its usage records stay."""
        with self.change() as change:
            remove_client(change, client, seen)

    def client(self, client: Ref) -> Row[Any]:
        """One client with its team's name. Raises NotThere."""
        return self._one(_one(client), client, "client")

    def clients(self) -> Sequence[Row[Any]]:
        """All clients with their team's name, but for removed ones."""
        living = NAMED.where(clients.c.removed_at.is_(None))
        return self._all(living.order_by(teams.c.name, clients.c.name))

    def require_client(self, name: str) -> int:
        """The id of the client ``name``. Raises NotThere."""
        with self._engine.connect() as connection:
            return id_of(connection, clients, name, "client")
