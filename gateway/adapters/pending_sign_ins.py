"""Sign-ins on their way to the identity provider and back: each is answered once, and soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, insert

from gateway.adapters.control_tables import pending_sign_ins
from gateway.adapters.directory import now
from gateway.core.credentials import hash_secret, new_secret

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that the provider is to answer, and the page that it began from."""

    nonce: str
    verifier: str
    next: str


class PendingSignIns:
    """Keeps sign-ins until their answers come."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, next_page: str) -> tuple[str, Pending]:
        """A sign-in that begins, and the state it is known by; only the state's hash is kept."""
        state = new_secret()
        pending = Pending(nonce=new_secret(), verifier=new_secret(), next=next_page)
        at = now()
        with self._engine.begin() as connection:
            over = pending_sign_ins.c.expires_at <= at
            connection.execute(delete(pending_sign_ins).where(over))
            connection.execute(
                insert(pending_sign_ins).values(
                    state_hash=hash_secret(state),
                    nonce=pending.nonce,
                    verifier=pending.verifier,
                    next=pending.next,
                    expires_at=at + LIFETIME,
                )
            )
        return state, pending

    def take(self, state: str) -> Pending | None:
        """The sign-in of ``state``, for the one caller who asks first; None once it is over."""
        table = pending_sign_ins
        taken = (
            delete(table)
            .where(table.c.state_hash == hash_secret(state), table.c.expires_at > now())
            .returning(table.c.nonce, table.c.verifier, table.c.next)
        )
        with self._engine.begin() as connection:
            row = connection.execute(taken).one_or_none()
        return None if row is None else Pending(row.nonce, row.verifier, row.next)
