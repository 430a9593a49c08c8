"""Accounts of people who use the dashboard. Every change is in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import sessions, users
from gateway.adapters.directory import now
from gateway.adapters.directory_changes import Ref, Seen, check_seen, id_of
from gateway.adapters.directory_values import DirectoryError, InTheWay, NotThere
from gateway.adapters.tables import teams
from gateway.core.credentials import CredentialError, checked_email
from gateway.core.roles import Principal, Role
from gateway.core.timestamps import timestamp


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in. ``team_id`` is set for owners alone."""

    id: int
    email: str
    name: str
    role: Role
    team_id: int | None
    team_name: str | None
    has_password: bool
    from_provider: bool
    """Whether this person has signed in by the identity provider."""
    disabled_at: datetime | None
    created_at: datetime

    def principal(self, address: str | None = None) -> Principal:
        """This person as who acts."""
        return Principal(f"user:{self.email}", self.role, self.team_id, None, address)


def user_facts(user: User) -> dict[str, Any]:
    """An account as programs see it; neither a password nor its hash."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role.value,
        "team_id": user.team_id,
        "team": user.team_name,
        "has_password": user.has_password,
        "from_provider": user.from_provider,
        "disabled_at": timestamp(user.disabled_at),
        "created_at": timestamp(user.created_at),
    }


class Accounts:
    """Reads and changes accounts. Methods raise DirectoryError for bad input.

    Passwords come hashed (``passwords.hash_password``): hashing is not work for a transaction.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        by: Principal,
        email: str,
        role: Role,
        *,
        name: str = "",
        team: Ref | None = None,
        password_hash: str | None = None,
    ) -> int:
        """A new account; returns its id. Without a password it is for the identity provider."""
        email = _email(email)
        with self._engine.begin() as connection:
            values = {
                "email": email,
                "name": _name(name, email),
                "role": role.value,
                "team_id": team_for(connection, role, team),
                "password_hash": password_hash,
                "created_at": now(),
            }
            return add_user(connection, by, values)

    def set_password(self, by: Principal, email: str, password_hash: str) -> None:
        """A new password; whoever is signed in by the account is signed out."""
        with self._engine.begin() as connection:
            user = _required(connection, email)
            _set(connection, user.id, password_hash=password_hash)
            end_sessions(connection, user.id)
            note(connection, by, "set_password", "user", user.id, user.email, {}, {})

    def change_role(
        self, by: Principal, user: Ref, role: Role, team: Ref | None = None, *, seen: Seen = None
    ) -> None:
        """Another role, from the next request on."""
        with self._engine.begin() as connection:
            found = _required(connection, user, seen)
            set_role(connection, by, found, role, team_for(connection, role, team))

    def disable(self, by: Principal, user: Ref, *, seen: Seen = None) -> None:
        """End an account's sessions and let nobody sign in by it; its row stays."""
        with self._engine.begin() as connection:
            found = _required(connection, user, seen)
            if found.disabled_at is not None:
                raise InTheWay(f"the account {found.email} is disabled already")
            self._switch(connection, by, found, "disable", now())
            end_sessions(connection, found.id)

    def enable(self, by: Principal, user: Ref, *, seen: Seen = None) -> None:
        """Let people sign in by an account that was disabled."""
        with self._engine.begin() as connection:
            found = _required(connection, user, seen)
            if found.disabled_at is None:
                raise InTheWay(f"the account {found.email} is not disabled")
            self._switch(connection, by, found, "enable", None)

    def get(self, user: Ref) -> User:
        """One account, by its id or e-mail address. Raises NotThere."""
        with self._engine.connect() as connection:
            return _required(connection, user)

    def users(self) -> Sequence[User]:
        """All accounts by e-mail address."""
        with self._engine.connect() as connection:
            return [_user(row) for row in connection.execute(_query().order_by(users.c.email))]

    def any(self) -> bool:
        """Whether there is an account at all."""
        with self._engine.connect() as connection:
            return connection.execute(select(users.c.id).limit(1)).first() is not None

    def find(self, email: str) -> tuple[User, str | None] | None:
        """Who may sign in as ``email``, and the hash of the password; None for nobody."""
        try:
            email = checked_email(email)
        except CredentialError:
            return None
        query = _query().where(users.c.email == email, users.c.disabled_at.is_(None), live_team())
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (_user(row), row.password_hash)

    @staticmethod
    def _switch(
        connection: Connection, by: Principal, user: User, action: str, at: datetime | None
    ) -> None:
        _set(connection, user.id, disabled_at=at)
        before, after = {"disabled_at": user.disabled_at}, {"disabled_at": at}
        note(connection, by, action, "user", user.id, user.email, before, after)


# Within a transaction


def live_team() -> Any:
    """The condition that a user's team, if any, has not been removed: nobody owns it then."""
    return users.c.team_id.is_(None) | teams.c.removed_at.is_(None)


def team_for(connection: Connection, role: Role, team: Ref | None) -> int | None:
    """The id of an owner's team. Raises DirectoryError where role and team do not go together."""
    if role is Role.CLIENT:
        raise DirectoryError("an account is an admin, finance or an owner; clients have keys")
    if role is not Role.OWNER:
        if team is not None:
            raise DirectoryError(f"{role} is for all teams: only an owner has one")
        return None
    if team is None:
        raise DirectoryError("an owner is of a team: name it")
    return id_of(connection, teams, team, "team")


def add_user(connection: Connection, by: Principal, values: dict[str, Any]) -> int:
    """Insert a row of ``users``; returns its id. Raises DirectoryError."""
    try:
        done = connection.execute(insert(users).values(**values))
    except IntegrityError as error:
        raise InTheWay(f"there is an account {values['email']} already") from error
    found = done.inserted_primary_key
    assert found is not None
    after = {
        "email": values["email"],
        "name": values["name"],
        "role": values["role"],
        "team_id": values.get("team_id"),
        "has_password": values.get("password_hash") is not None,
    }
    note(connection, by, "create", "user", found[0], values["email"], None, after)
    return int(found[0])


def set_role(
    connection: Connection, by: Principal, user: User, role: Role, team_id: int | None
) -> None:
    """Give ``user`` a role, and write down that it was another one."""
    if (user.role, user.team_id) == (role, team_id):
        return
    _set(connection, user.id, role=role.value, team_id=team_id)
    before = {"role": user.role, "team_id": user.team_id}
    after = {"role": role, "team_id": team_id}
    note(connection, by, "change", "user", user.id, user.email, before, after)


def end_sessions(connection: Connection, user_id: int) -> None:
    """Sign out every browser of a user."""
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id))


def find_user(connection: Connection, condition: Any) -> User | None:
    """The one account, disabled or not, that ``condition`` picks."""
    row = connection.execute(_query().where(condition)).one_or_none()
    return None if row is None else _user(row)


def _set(connection: Connection, user_id: int, **values: Any) -> None:
    connection.execute(update(users).where(users.c.id == user_id).values(**values))


def _query() -> Select[Any]:
    return select(users, teams.c.name.label("team_name")).join(
        teams, users.c.team_id == teams.c.id, isouter=True
    )


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        team_id=row.team_id,
        team_name=row.team_name,
        has_password=row.password_hash is not None,
        from_provider=row.oidc_subject is not None,
        disabled_at=row.disabled_at,
        created_at=row.created_at,
    )


def _required(connection: Connection, user: Ref, seen: Seen = None) -> User:
    named = users.c.id == user if isinstance(user, int) else users.c.email == _email(user)
    found = find_user(connection, named)
    if found is None:
        raise NotThere(f"there is no account {user!r}: `faregate user list` shows them")
    check_seen(user_facts(found), seen, "account")
    return found


def _email(text: str) -> str:
    try:
        return checked_email(text)
    except CredentialError as error:
        raise DirectoryError(str(error)) from None


def _name(name: str, email: str) -> str:
    name = name.strip() or email.partition("@")[0]
    if len(name) > 128 or not name.isprintable():
        raise DirectoryError("a person's name has at most 128 printable characters")
    return name
