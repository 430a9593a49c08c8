"""Teams, clients, keys and budgets in SQL. Every change moves the policy version with it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from gateway.adapters.allowed_tags import AllowedTags, checked_tag
from gateway.adapters.directory_values import DirectoryError as DirectoryError
from gateway.adapters.directory_values import (
    checked_limit,
    checked_limits,
    checked_name,
    checked_pattern,
    checked_zone,
)
from gateway.adapters.tables import budgets, clients, deployment, keys, organizations, teams
from gateway.core.budgets import Enforcement, Scope, WindowKind
from gateway.core.policy import KEY_PREFIX, Sharing, hash_key


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. ``secret`` is shown once and stored nowhere."""

    id: int
    secret: str
    display: str
    expires_at: datetime | None


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


class Directory(AllowedTags):
    """Reads and changes the directory. Methods raise DirectoryError for bad input."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def initialise(self, organization: str) -> str:
        """Create the organization and the policy version, once; returns the name in force."""
        name = checked_name(organization)
        with self._engine.begin() as connection:
            # First, because this waits for a deployment being set up at the same time.
            insert_once(connection, deployment, name="policy_version", value=1)
            found = connection.execute(select(organizations.c.name)).scalar_one_or_none()
            if found is not None:
                return str(found)
            connection.execute(insert(organizations).values(name=name, created_at=now()))
            return name

    def version(self) -> int:
        """The policy version that SQL is at."""
        with self._engine.connect() as connection:
            return policy_version(connection)

    def overtake(self, version: int) -> None:
        """Move the policy version past ``version``."""
        with self._engine.begin() as connection:
            connection.execute(
                update(deployment)
                .where(deployment.c.name == "policy_version", deployment.c.value <= version)
                .values(value=version + 1)
            )

    # Teams

    def create_team(self, name: str, sharing: Sharing = Sharing.CLIENT) -> int:
        """A new team; returns its id. ``sharing`` says whose the objects of its clients are."""
        with self._change() as connection:
            organization = connection.execute(select(organizations.c.id)).scalar_one_or_none()
            if organization is None:
                raise DirectoryError("the deployment is not set up: run `faregate init`")
            return _insert(
                connection,
                teams,
                f"team {name!r} exists already",
                organization_id=organization,
                name=checked_name(name),
                sharing=sharing.value,
                created_at=now(),
            )

    def change_team(self, name: str, sharing: Sharing) -> None:
        """Change who of a team may use the objects that its clients have made, also before."""
        with self._change() as connection:
            team_id = _id_of(connection, teams, name, "team")
            connection.execute(
                update(teams).where(teams.c.id == team_id).values(sharing=sharing.value)
            )

    def teams(self) -> Sequence[Row[Any]]:
        """All teams by name."""
        with self._engine.connect() as connection:
            return connection.execute(select(teams).order_by(teams.c.name)).all()

    def require_team(self, name: str) -> int:
        """The id of the team ``name``."""
        with self._engine.connect() as connection:
            return _id_of(connection, teams, name, "team")

    # Clients

    def create_client(self, team: str, name: str, **limits: Any) -> int:
        """A new client of ``team``; ``limits`` are columns of the clients table."""
        with self._change() as connection:
            team_id = _id_of(connection, teams, team, "team")
            return _insert(
                connection,
                clients,
                f"client {name!r} exists already",
                team_id=team_id,
                name=checked_name(name),
                created_at=now(),
                **checked_limits(limits),
            )

    def change_client(self, name: str, **limits: Any) -> None:
        """Change the limits of a client."""
        with self._change() as connection:
            client_id = _id_of(connection, clients, name, "client")
            values = checked_limits(limits)
            if not values:
                raise DirectoryError("nothing to change: name at least one limit")
            connection.execute(update(clients).where(clients.c.id == client_id).values(**values))

    def clients(self) -> Sequence[Row[Any]]:
        """All clients with their team's name."""
        query = (
            select(clients, teams.c.name.label("team_name"))
            .join(teams)
            .order_by(teams.c.name, clients.c.name)
        )
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    def require_client(self, name: str) -> int:
        """The id of the client ``name``."""
        with self._engine.connect() as connection:
            return _id_of(connection, clients, name, "client")

    # Keys

    def create_key(
        self, client: str, name: str = "", expires_in: timedelta | None = None
    ) -> NewKey:
        """A new key of ``client``: 256 random bits, of which only the hash is kept."""
        with self._change() as connection:
            return self._new_key(
                connection, _id_of(connection, clients, client, "client"), name, expires_in
            )

    def rotate_key(
        self, key_id: int, overlap: timedelta, expires_in: timedelta | None = None
    ) -> NewKey:
        """A new key for the same client; the old one works until ``overlap`` has passed."""
        with self._change() as connection:
            old = self._live_key(connection, key_id)
            until = now() + overlap
            if old.expires_at is None or old.expires_at > until:
                connection.execute(update(keys).where(keys.c.id == key_id).values(expires_at=until))
            return self._new_key(connection, old.client_id, old.name, expires_in)

    def revoke_key(self, key_id: int) -> None:
        """Stop a key at once; its client's budgets are untouched."""
        with self._change() as connection:
            self._live_key(connection, key_id)
            connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=now()))

    def keys(self) -> Sequence[Row[Any]]:
        """All keys with their client's name; never a secret or a hash."""
        query: Select[Any] = (
            select(
                keys.c.id,
                keys.c.name,
                keys.c.prefix,
                keys.c.last_four,
                keys.c.expires_at,
                keys.c.revoked_at,
                keys.c.created_at,
                clients.c.name.label("client_name"),
            )
            .join(clients)
            .order_by(clients.c.name, keys.c.id)
        )
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    # Budgets

    def create_budget(
        self,
        name: str,
        *,
        limit_nano: int,
        window: WindowKind,
        team: str | None = None,
        client: str | None = None,
        time_zone: str = "UTC",
        enforcement: Enforcement = Enforcement.STRICT,
        model_pattern: str | None = None,
        tag: str | None = None,
    ) -> int:
        """A new budget on a client, a team or (neither named) the organization.

        ``model_pattern`` and ``tag`` (``name=value``) narrow it to some of the requests.
        """
        if team is not None and client is not None:
            raise DirectoryError("a budget is on a team or on a client, not both")
        with self._change() as connection:
            scope, team_id, client_id = Scope.ORGANIZATION, None, None
            if team is not None:
                scope, team_id = Scope.TEAM, _id_of(connection, teams, team, "team")
            if client is not None:
                scope, client_id = Scope.CLIENT, _id_of(connection, clients, client, "client")
            return _insert(
                connection,
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
                tag=checked_tag(connection, tag),
                created_at=now(),
            )

    def change_budget(
        self,
        name: str,
        *,
        limit_nano: int | None = None,
        enforcement: Enforcement | None = None,
    ) -> None:
        """Change a budget's limit or enforcement; what is spent and held stays."""
        values: dict[str, Any] = {}
        if limit_nano is not None:
            values["limit_nano"] = checked_limit(limit_nano)
        if enforcement is not None:
            values["enforcement"] = enforcement.value
        if not values:
            raise DirectoryError("nothing to change: name a limit or an enforcement")
        with self._change() as connection:
            budget_id = _id_of(connection, budgets, name, "budget")
            connection.execute(update(budgets).where(budgets.c.id == budget_id).values(**values))

    def remove_budget(self, name: str) -> None:
        """Stop enforcing a budget. Its row stays, since usage records point at it."""
        with self._change() as connection:
            budget_id = _id_of(connection, budgets, name, "budget")
            connection.execute(
                update(budgets)
                .where(budgets.c.id == budget_id)
                .values(removed_at=now(), name=f"{name} (removed {budget_id})")
            )

    def budgets(self, *, removed: bool = False) -> Sequence[Row[Any]]:
        """Budgets with the names of what they are set on; removed ones only on request."""
        query = (
            select(budgets, teams.c.name.label("team_name"), clients.c.name.label("client_name"))
            .join(teams, budgets.c.team_id == teams.c.id, isouter=True)
            .join(clients, budgets.c.client_id == clients.c.id, isouter=True)
            .order_by(budgets.c.id)
        )
        if not removed:
            query = query.where(budgets.c.removed_at.is_(None))
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    # How a change is made

    def _change(self) -> _Change:
        return _Change(self._engine)

    def _live_key(self, connection: Connection, key_id: int) -> Row[Any]:
        found = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
        if found is None:
            raise DirectoryError(f"there is no key {key_id}: `faregate key list` shows them")
        if found.revoked_at is not None:
            raise DirectoryError(f"key {key_id} is revoked already")
        return found

    def _new_key(
        self, connection: Connection, client_id: int, name: str, expires_in: timedelta | None
    ) -> NewKey:
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        expires_at = now() + expires_in if expires_in is not None else None
        prefix, last_four = secret[:7], secret[-4:]
        key_id = _insert(
            connection,
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
        return NewKey(key_id, secret, f"{prefix}...{last_four}", expires_at)


class _Change:
    """A transaction that moves the policy version as its first statement.

    First, because that takes the row's lock: changes are serialised, and a reader that sees
    the version sees the change.
    """

    def __init__(self, engine: Engine) -> None:
        self._transaction = engine.begin()

    def __enter__(self) -> Connection:
        connection = self._transaction.__enter__()
        try:
            if move_policy_version(connection) == 0:
                raise DirectoryError("the deployment is not set up: run `faregate init`")
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise
        return connection

    def __exit__(self, *exc: Any) -> None:
        self._transaction.__exit__(*exc)


def _insert(connection: Connection, table: Any, conflict: str, **values: Any) -> int:
    try:
        done = connection.execute(insert(table).values(**values))
    except IntegrityError as error:
        raise DirectoryError(conflict) from error
    found = done.inserted_primary_key
    assert found is not None
    return int(found[0])


def _id_of(connection: Connection, table: Any, name: str, what: str) -> int:
    query = select(table.c.id).where(table.c.name == name)
    if "removed_at" in table.c:
        query = query.where(table.c.removed_at.is_(None))
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise DirectoryError(f"there is no {what} {name!r}: `faregate {what} list` shows them")
    return int(found)
