"""Admin tokens: credentials of programs that call the admin, usage and costs APIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from gateway.adapters.accounts import team_for
from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import admin_tokens
from gateway.adapters.directory import now
from gateway.adapters.directory_changes import Ref, Seen, check_seen
from gateway.adapters.directory_values import InTheWay, NotThere, checked_name
from gateway.adapters.tables import teams
from gateway.core.credentials import TOKEN_PREFIX, hash_secret, new_secret
from gateway.core.roles import Principal, Role
from gateway.core.timestamps import timestamp


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. ``secret`` is shown once and stored nowhere."""

    id: int
    secret: str
    display: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Token:
    """An admin token, without its secret."""

    id: int
    name: str
    display: str
    role: Role
    team_id: int | None
    team_name: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    created_by: str

    def state(self, at: datetime) -> str:
        """``active``, ``expired`` or ``revoked``, as of ``at``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= at else "active"

    def principal(self, address: str | None = None) -> Principal:
        """The token as who acts."""
        return Principal(f"token:{self.id}", self.role, self.team_id, None, address)


def token_facts(token: Token) -> dict[str, Any]:
    """A token as programs see it, without its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "display": token.display,
        "role": token.role.value,
        "team_id": token.team_id,
        "team": token.team_name,
        "expires_at": timestamp(token.expires_at),
        "revoked_at": timestamp(token.revoked_at),
        "created_at": timestamp(token.created_at),
        "created_by": token.created_by,
    }


class AdminTokens:
    """Makes, lists, finds and revokes admin tokens. Methods raise DirectoryError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        by: Principal,
        name: str,
        role: Role,
        *,
        team: Ref | None = None,
        expires_in: timedelta | None = None,
    ) -> NewToken:
        """A new token: 256 random bits, of which only the hash is kept."""
        secret = TOKEN_PREFIX + new_secret()
        at = now()
        expires_at = at + expires_in if expires_in is not None else None
        with self._engine.begin() as connection:
            told = {
                "name": checked_name(name),
                "role": role.value,
                "team_id": team_for(connection, role, team),
                "expires_at": expires_at,
            }
            done = connection.execute(
                insert(admin_tokens).values(
                    **told,
                    hash=hash_secret(secret),
                    prefix=secret[:8],
                    last_four=secret[-4:],
                    created_at=at,
                    created_by=by.actor[:128],
                )
            )
            found = done.inserted_primary_key
            assert found is not None
            note(connection, by, "create", "token", found[0], name, None, told)
        return NewToken(int(found[0]), secret, f"{secret[:8]}...{secret[-4:]}", expires_at)

    def revoke(self, by: Principal, token_id: int, *, seen: Seen = None) -> None:
        """Stop a token at once."""
        at = now()
        with self._engine.begin() as connection:
            token = _required(connection, token_id)
            check_seen(token_facts(token), seen, "token")
            if token.revoked_at is not None:
                raise InTheWay(f"the token {token_id} is revoked already")
            chosen = update(admin_tokens).where(admin_tokens.c.id == token_id)
            connection.execute(chosen.values(revoked_at=at))
            before, after = {"revoked_at": None}, {"revoked_at": at}
            note(connection, by, "revoke", "token", token_id, token.name, before, after)

    def get(self, token_id: int) -> Token:
        """One token. Raises NotThere."""
        with self._engine.connect() as connection:
            return _required(connection, token_id)

    def tokens(self) -> Sequence[Token]:
        """All tokens, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(_QUERY.order_by(admin_tokens.c.id))
            return [_token(row) for row in rows]

    def find(self, secret: str) -> Token | None:
        """The token of ``secret``, whatever its state; None where its team is gone."""
        query = _QUERY.where(
            admin_tokens.c.hash == hash_secret(secret),
            admin_tokens.c.team_id.is_(None) | teams.c.removed_at.is_(None),
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _token(row)


_QUERY = select(admin_tokens, teams.c.name.label("team_name")).join(
    teams, admin_tokens.c.team_id == teams.c.id, isouter=True
)


def _required(connection: Connection, token_id: int) -> Token:
    row = connection.execute(_QUERY.where(admin_tokens.c.id == token_id)).one_or_none()
    if row is None:
        raise NotThere(f"there is no token {token_id}: `faregate token list` shows them")
    return _token(row)


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        display=f"{row.prefix}...{row.last_four}",
        role=Role(row.role),
        team_id=row.team_id,
        team_name=row.team_name,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        created_at=row.created_at,
        created_by=row.created_by,
    )
