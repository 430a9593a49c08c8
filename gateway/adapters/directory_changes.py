"""How the directory is changed: one transaction, one step of the policy version, one audit trail.

A change moves the policy version as its first statement, which takes the row's lock: changes are
serialised, and a reader that sees the version sees the change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from gateway.adapters import audit_log
from gateway.adapters.directory_values import (
    ChangedMeanwhile,
    DirectoryError,
    InTheWay,
    NotThere,
)
from gateway.adapters.tables import deployment
from gateway.core.etags import matches
from gateway.core.roles import Principal, Role

Ref = int | str
"""What names a team, a client or a budget: its id, or its name."""

Seen = Collection[str] | None
"""The entity tags that a caller has seen (``core.etags``); None where it asks for no check."""

Facts = Mapping[str, Any]
"""A resource as programs see it: what the audit log keeps, and what an entity tag is of."""

COMMAND_LINE = Principal("cli", Role.ADMIN)
"""Who changes the directory where nobody is named: someone with the deployment's own settings."""


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def move_policy_version(connection: Connection) -> int:
    """Advance the policy version inside the transaction of a change; returns the new one."""
    connection.execute(
        update(deployment)
        .where(deployment.c.name == "policy_version")
        .values(value=deployment.c.value + 1)
    )
    return policy_version(connection)


def lock_policy(connection: Connection) -> None:
    """Make every other change wait until this transaction ends; the version stays."""
    connection.execute(
        update(deployment)
        .where(deployment.c.name == "policy_version")
        .values(value=deployment.c.value)
    )


def policy_version(connection: Connection) -> int:
    """The policy version that SQL is at; 0 before `faregate init`."""
    found = connection.execute(
        select(deployment.c.value).where(deployment.c.name == "policy_version")
    ).scalar_one_or_none()
    return int(found or 0)


def insert_once(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row unless its key is there already."""
    module = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(module.insert(table).values(**values).on_conflict_do_nothing())


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction under way, and who makes it."""

    connection: Connection
    actor: Principal

    def insert(self, table: Table, conflict: str, **values: Any) -> int:
        """Insert a row; returns its id. Raises InTheWay with the text ``conflict``."""
        try:
            done = self.connection.execute(insert(table).values(**values))
        except IntegrityError as error:
            raise InTheWay(conflict) from error
        found = done.inserted_primary_key
        assert found is not None
        return int(found[0])

    def update(self, table: Table, row_id: int, conflict: str = "", **values: Any) -> None:
        """Change columns of one row. Raises InTheWay with the text ``conflict``."""
        try:
            self.connection.execute(update(table).where(table.c.id == row_id).values(**values))
        except IntegrityError as error:
            raise InTheWay(conflict) from error

    def note(self, action: str, subject: str, before: Facts | None, after: Facts | None) -> None:
        """Write the change of one resource to the audit log, in its transaction."""
        facts = after if after is not None else before
        assert facts is not None
        name = str(facts.get("name") or facts.get("display") or facts.get("model") or "")
        subject_id = str(facts.get("id", name))
        audit_log.note(
            self.connection, self.actor, action, subject, subject_id, name, before, after
        )


@contextmanager
def changing(engine: Engine, actor: Principal) -> Iterator[Change]:
    """A transaction that changes policy. Raises DirectoryError before `faregate init`."""
    with engine.begin() as connection:
        if move_policy_version(connection) == 0:
            raise DirectoryError("the deployment is not set up: run `faregate init`")
        yield Change(connection, actor)


class Directed:
    """What every part of the directory has: a database, and who acts."""

    def __init__(self, engine: Engine, actor: Principal = COMMAND_LINE) -> None:
        self._engine = engine
        self._actor = actor

    def change(self) -> AbstractContextManager[Change]:
        """A transaction of several changes: ``with directory.change() as change``."""
        return changing(self._engine, self._actor)

    def _all(self, query: Select[Any]) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _one(self, query: Select[Any], ref: Ref, what: str) -> Row[Any]:
        with self._engine.connect() as connection:
            return one_of(connection, query, ref, what)


def one_of(connection: Connection, query: Select[Any], ref: Ref, what: str) -> Row[Any]:
    """The one row of ``query``. Raises NotThere, in which ``ref`` is called a ``what``."""
    found = connection.execute(query).one_or_none()
    if found is None:
        raise NotThere(_absent(ref, what))
    return found


def where_is(table: Table, ref: Ref) -> Any:
    """The condition that a row of ``table`` is the one named ``ref``, and was not removed."""
    named = table.c.name == ref if isinstance(ref, str) else table.c.id == ref
    return named & table.c.removed_at.is_(None)


def id_of(connection: Connection, table: Table, ref: Ref, what: str) -> int:
    """The id of what ``ref`` names. Raises NotThere."""
    query = select(table.c.id).where(where_is(table, ref))
    return int(one_of(connection, query, ref, what).id)


def check_seen(facts: Facts, seen: Seen, what: str) -> None:
    """Raises ChangedMeanwhile where ``facts`` are not those that the caller has seen."""
    if not matches(facts, seen):
        raise ChangedMeanwhile(f"this {what} has been changed since you read it: read it again")


def removed_name(name: str, row_id: int) -> str:
    """The name that a removed row keeps, so that its own can be used again."""
    return f"{name} (removed {row_id})"


def _absent(ref: Ref, what: str) -> str:
    shown = repr(ref) if isinstance(ref, str) else ref
    return f"there is no {what} {shown}: `faregate {what} list` shows them"
