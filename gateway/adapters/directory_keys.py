"""Keys in SQL: of a secret only its hash is kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, select

from gateway.adapters.directory_changes import (
    Change,
    Directed,
    Ref,
    Seen,
    check_seen,
    id_of,
    now,
)
from gateway.adapters.directory_facts import key_facts
from gateway.adapters.directory_values import InTheWay, NotThere, checked_name
from gateway.adapters.tables import clients, keys
from gateway.core.policy import KEY_PREFIX, hash_key

NAMED: Select[Any] = select(
    keys.c.id,
    keys.c.client_id,
    keys.c.name,
    keys.c.prefix,
    keys.c.last_four,
    keys.c.expires_at,
    keys.c.revoked_at,
    keys.c.created_at,
    clients.c.name.label("client_name"),
    clients.c.team_id,
).join(clients, keys.c.client_id == clients.c.id)
"""Keys as they may be shown."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. ``secret`` is shown once and stored nowhere."""

    id: int
    secret: str
    display: str
    expires_at: datetime | None


def create_key(
    change: Change, client: Ref, name: str = "", expires_in: timedelta | None = None
) -> NewKey:
    """A new key of ``client``: 256 random bits, of which only the hash is kept."""
    return _new_key(change, id_of(change.connection, clients, client, "client"), name, expires_in)


def rotate_key(
    change: Change,
    key_id: int,
    overlap: timedelta,
    expires_in: timedelta | None = None,
    seen: Seen = None,
) -> NewKey:
    """A new key for the same client; the old one works until ``overlap`` has passed."""
    old = _live(change, key_id, seen)
    until = now() + overlap
    if old.expires_at is None or old.expires_at > until:
        change.update(keys, key_id, expires_at=until)
        change.note("rotate", "key", key_facts(old), key_facts(_row(change, key_id)))
    return _new_key(change, old.client_id, old.name, expires_in)


def rename_key(change: Change, key_id: int, name: str, seen: Seen = None) -> None:
    """Say anew what a key is for."""
    old = _live(change, key_id, seen)
    change.update(keys, key_id, name=checked_name(name) if name else "")
    change.note("change", "key", key_facts(old), key_facts(_row(change, key_id)))


def revoke_key(change: Change, key_id: int, seen: Seen = None) -> None:
    """Stop a key at once; its client's budgets are untouched."""
    _revoke(change, _live(change, key_id, seen))


def revoke_keys_of(change: Change, client_id: int) -> None:
    """Stop every key of a client."""
    living = NAMED.where(keys.c.client_id == client_id, keys.c.revoked_at.is_(None))
    for row in change.connection.execute(living.order_by(keys.c.id)).all():
        _revoke(change, row)


def _revoke(change: Change, old: Row[Any]) -> None:
    change.update(keys, old.id, revoked_at=now())
    change.note("revoke", "key", key_facts(old), key_facts(_row(change, old.id)))


def _row(change: Change, key_id: int) -> Row[Any]:
    found = change.connection.execute(NAMED.where(keys.c.id == key_id)).one_or_none()
    if found is None:
        raise NotThere(_absent(key_id))
    return found


def _live(change: Change, key_id: int, seen: Seen) -> Row[Any]:
    found = _row(change, key_id)
    if found.revoked_at is not None:
        raise InTheWay(f"key {key_id} is revoked already")
    check_seen(key_facts(found), seen, "key")
    return found


def _absent(key_id: int) -> str:
    return f"there is no key {key_id}: `faregate key list` shows them"


def _new_key(change: Change, client_id: int, name: str, expires_in: timedelta | None) -> NewKey:
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    expires_at = now() + expires_in if expires_in is not None else None
    prefix, last_four = secret[:7], secret[-4:]
    key_id = change.insert(
        keys,
        "the new key is not unique",
        client_id=client_id,
        name=checked_name(name) if name else "",
        hash=hash_key(secret),
        prefix=prefix,
        last_four=last_four,
        expires_at=expires_at,
        created_at=now(),
    )
    change.note("create", "key", None, key_facts(_row(change, key_id)))
    return NewKey(key_id, secret, f"{prefix}...{last_four}", expires_at)


class Keys(Directed):
    """Reads and changes keys. Methods raise DirectoryError."""

    def create_key(
        self, client: Ref, name: str = "", expires_in: timedelta | None = None
    ) -> NewKey:
        """A new key of ``client``. Its secret is in the answer and nowhere else."""
        with self.change() as change:
            return create_key(change, client, name, expires_in)

    def rotate_key(
        self,
        key_id: int,
        overlap: timedelta,
        expires_in: timedelta | None = None,
        *,
        seen: Seen = None,
    ) -> NewKey:
        """A new key for the same client; the old one works until ``overlap`` has passed."""
        with self.change() as change:
            return rotate_key(change, key_id, overlap, expires_in, seen)

    def rename_key(self, key_id: int, name: str, *, seen: Seen = None) -> None:
        """Say anew what a key is for."""
        with self.change() as change:
            rename_key(change, key_id, name, seen)

    def revoke_key(self, key_id: int, *, seen: Seen = None) -> None:
        """Stop a key at once; its client's budgets are untouched."""
        with self.change() as change:
            revoke_key(change, key_id, seen)

    def key(self, key_id: int) -> Row[Any]:
        """One key, also a revoked one; never a secret or a hash. Raises NotThere."""
        with self._engine.connect() as connection:
            found = connection.execute(NAMED.where(keys.c.id == key_id)).one_or_none()
        if found is None:
            raise NotThere(_absent(key_id))
        return found

    def keys(self) -> Sequence[Row[Any]]:
        """All keys of clients that were not removed, with their client's name."""
        living = NAMED.where(clients.c.removed_at.is_(None))
        return self._all(living.order_by(clients.c.name, keys.c.id))
