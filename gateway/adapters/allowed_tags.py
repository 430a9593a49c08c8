"""The tags that requests may carry into their records: a part of the directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from gateway.adapters.control_tables import tag_keys
from gateway.adapters.directory_changes import Change, Directed, now
from gateway.adapters.directory_values import DirectoryError, InTheWay, NotThere
from gateway.adapters.tables import budgets
from gateway.core.tags import NAME_MAX, RESERVED, is_name, pair_of
from gateway.core.timestamps import timestamp


def add_tag_key(change: Change, name: str) -> None:
    """Allow the tag ``name``: requests from now on are recorded with it."""
    if name in RESERVED:
        raise DirectoryError(f"{name!r} is a tag that the gateway sets itself")
    if not is_name(name):
        raise DirectoryError(
            f"{name!r} cannot name a tag: use 1 to {NAME_MAX} of a-z, 0-9, _ . and -"
        )
    if _found(change.connection, name) is not None:
        raise InTheWay(f"tag {name!r} is allowed already")
    change.connection.execute(insert(tag_keys).values(name=name, created_at=now()))
    change.note("create", "tag", None, tag_facts(_required(change, name)))


def remove_tag_key(change: Change, name: str) -> None:
    """Allow the tag ``name`` no more; records that have it keep it.

    Raises InTheWay where it narrows a budget.
    """
    found = _required(change, name)
    query = select(budgets.c.name).where(
        budgets.c.removed_at.is_(None), budgets.c.tag.startswith(f"{name}=", autoescape=True)
    )
    narrowed = change.connection.execute(query.order_by(budgets.c.name)).scalars().all()
    if narrowed:
        # They would stop counting, and nobody would see it.
        raise InTheWay(
            f"tag {name!r} narrows {', '.join(map(repr, narrowed))}: remove"
            f" {'these budgets' if len(narrowed) > 1 else 'this budget'} first"
        )
    change.connection.execute(delete(tag_keys).where(tag_keys.c.name == name))
    change.note("remove", "tag", tag_facts(found), None)


def tag_facts(row: Row[Any]) -> dict[str, Any]:
    """A row of the tag_keys table."""
    return {"name": row.name, "created_at": timestamp(row.created_at)}


class AllowedTags(Directed):
    """Reads and changes the allowed tags. Methods raise DirectoryError for bad input."""

    def add_tag_key(self, name: str) -> None:
        """Allow the tag ``name``: requests from now on are recorded with it."""
        with self.change() as change:
            add_tag_key(change, name)

    def remove_tag_key(self, name: str) -> None:
        """Allow the tag ``name`` no more; records that have it keep it."""
        with self.change() as change:
            remove_tag_key(change, name)

    def tag_keys(self) -> Sequence[Row[Any]]:
        """The allowed tags by name."""
        return self._all(select(tag_keys).order_by(tag_keys.c.name))


def checked_tag(connection: Connection, tag: str | None) -> str | None:
    """The ``name=value`` that a budget is narrowed to. Raises DirectoryError."""
    if tag is None:
        return None
    try:
        name, value = pair_of(tag)
    except ValueError as error:
        raise DirectoryError(str(error)) from None
    if name not in RESERVED and not _is_allowed(connection, name):
        raise DirectoryError(
            f"no request carries the tag {name!r}, since it is not allowed: `faregate tag add"
            f" {name}` allows it"
        )
    return f"{name}={value}"


def _is_allowed(connection: Connection, name: str) -> bool:
    return _found(connection, name) is not None


def _found(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(tag_keys).where(tag_keys.c.name == name)).one_or_none()


def _required(change: Change, name: str) -> Row[Any]:
    found = _found(change.connection, name)
    if found is None:
        raise NotThere(f"there is no tag {name!r}: `faregate tag list` shows them")
    return found
