"""Signed-in browsers. The cookie is 256 random bits, of which only the hash is kept here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select

from gateway.adapters.accounts import User, find_user, live_team
from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import sessions, users
from gateway.adapters.directory import now
from gateway.core.credentials import hash_secret, new_secret

LIFETIME = timedelta(hours=12)
"""A working day; after it one signs in again, whatever was done meanwhile."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. ``csrf`` is what its forms must carry."""

    user: User
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just begun; ``cookie`` is stored nowhere."""

    cookie: str
    expires_at: datetime


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, user: User, address: str | None, how: str, old_cookie: str = "") -> NewSession:
        """A new session of ``user``; the one that the browser had before is ended.

        ``how`` the user has proved to be that, ``password`` or ``oidc``, is in the audit log.
        """
        cookie, at = new_secret(), now()
        with self._engine.begin() as connection:
            self._sweep(connection, at, old_cookie)
            connection.execute(
                insert(sessions).values(
                    hash=hash_secret(cookie),
                    user_id=user.id,
                    csrf=new_secret(),
                    created_at=at,
                    expires_at=at + LIFETIME,
                )
            )
            who, told = user.principal(address), {"how": how}
            note(connection, who, "sign_in", "user", user.id, user.email, None, told)
        return NewSession(cookie, at + LIFETIME)

    def find(self, cookie: str) -> Session | None:
        """The session of ``cookie``, with the user as of now.

        None where it is unknown, over, or its user is disabled or owns a team that is gone.
        """
        query = select(sessions).where(
            sessions.c.hash == hash_secret(cookie), sessions.c.expires_at > now()
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            enabled = (users.c.id == row.user_id) & users.c.disabled_at.is_(None) & live_team()
            user = find_user(connection, enabled)
        return None if user is None else Session(user, row.csrf, row.expires_at)

    def end(self, cookie: str) -> None:
        """Sign out: the cookie is worth nothing from now on."""
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == hash_secret(cookie)))

    @staticmethod
    def _sweep(connection: Connection, at: datetime, old_cookie: str) -> None:
        """Drop what is over; whoever signs in pays for it."""
        over = sessions.c.expires_at <= at
        if old_cookie:
            over |= sessions.c.hash == hash_secret(old_cookie)
        connection.execute(delete(sessions).where(over))
