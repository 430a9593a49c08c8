"""The tags that requests may carry into their records: a part of the directory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from gateway.adapters.control_tables import tag_keys
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.tables import budgets
from gateway.core.tags import NAME_MAX, RESERVED, is_name, pair_of


class AllowedTags:
    """Reads and changes the allowed tags. Methods raise DirectoryError for bad input."""

    _engine: Engine

    @abstractmethod
    def _change(self) -> AbstractContextManager[Connection, None]:
        """A transaction that moves the policy version."""

    def add_tag_key(self, name: str) -> None:
        """Allow the tag ``name``: requests from now on are recorded with it."""
        if name in RESERVED:
            raise DirectoryError(f"{name!r} is a tag that the gateway sets itself")
        if not is_name(name):
            raise DirectoryError(
                f"{name!r} cannot name a tag: use 1 to {NAME_MAX} of a-z, 0-9, _ . and -"
            )
        with self._change() as connection:
            if _is_allowed(connection, name):
                raise DirectoryError(f"tag {name!r} is allowed already")
            connection.execute(insert(tag_keys).values(name=name, created_at=datetime.now(UTC)))

    def remove_tag_key(self, name: str) -> None:
        """Allow the tag ``name`` no more; records that have it keep it."""
        with self._change() as connection:
            if not _is_allowed(connection, name):
                raise DirectoryError(f"there is no tag {name!r}: `faregate tag list` shows them")
            query = select(budgets.c.name).where(
                budgets.c.removed_at.is_(None), budgets.c.tag.startswith(f"{name}=", autoescape=True)
            )
            narrowed = connection.execute(query.order_by(budgets.c.name)).scalars().all()
            if narrowed:
                # They would stop counting, and nobody would see it.
                raise DirectoryError(
                    f"tag {name!r} narrows {', '.join(map(repr, narrowed))}: remove"
                    f" {'these budgets' if len(narrowed) > 1 else 'this budget'} first"
                )
            connection.execute(delete(tag_keys).where(tag_keys.c.name == name))

    def tag_keys(self) -> Sequence[Row[Any]]:
        """The allowed tags by name."""
        with self._engine.connect() as connection:
            return connection.execute(select(tag_keys).order_by(tag_keys.c.name)).all()


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
    query = select(tag_keys.c.name).where(tag_keys.c.name == name)
    return connection.execute(query).one_or_none() is not None
