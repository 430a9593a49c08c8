"""Keys of the admin API: a secret is in the answer that makes it, and in no other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Row

from gateway.adapters.directory import Directory, NewKey, now
from gateway.adapters.directory_facts import key_facts
from gateway.adapters.directory_pages import keys_page
from gateway.web.admin.clients import seen_client
from gateway.web.admin.endpoint import WRITERS, Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    UNSENT,
    Answer,
    Body,
    ETag,
    Id,
    Listed,
    MomentText,
    Name,
    NextCursor,
    Patch,
    QueryId,
)
from gateway.web.admin.lists import listed, part_of, tagged

api = Api("keys", "Credentials of clients. Rotating a key resets no budget.")

SECONDS_MAX = 10 * 366 * 24 * 3600
Seconds = Annotated[int, Field(ge=1, le=SECONDS_MAX)]
State = Literal["active", "expired", "revoked"]


class ClientKey(Answer):
    """A key, without its secret."""

    id: int
    name: str
    display: str = Field(description="Its first and last characters.")
    client_id: int
    client: str
    team_id: int
    state: State
    expires_at: MomentText | None
    revoked_at: MomentText | None
    created_at: MomentText
    etag: ETag


class ClientKeys(Answer):
    """A page of keys, by id."""

    data: list[ClientKey]
    next: NextCursor


class MadeKey(ClientKey):
    """A key just made, with its secret, which is shown this once."""

    secret: str = Field(description="What clients send as `Authorization: Bearer`.")


class RotatedKey(MadeKey):
    """The key that replaces another."""

    replaced: ClientKey = Field(description="The old key, which works until it expires.")


class KeysQuery(Listed):
    """Which keys."""

    team_id: QueryId | None = None
    client_id: QueryId | None = None
    state: State | None = None


class NewKeyBody(Body):
    """A key to make."""

    client_id: Id
    name: Name | None = Field(None, description="What it is for.")
    expires_in_seconds: Seconds | None = Field(None, description="Without: it does not expire.")


class Rotation(Body):
    """How to replace a key."""

    overlap_seconds: Annotated[int, Field(ge=0, le=SECONDS_MAX)] = Field(
        24 * 3600, description="How long the old key still works."
    )
    expires_in_seconds: Seconds | None = Field(None, description="When the new one expires.")


class KeyChange(Patch):
    """What to change of a key."""

    name: Name = UNSENT


def _answer(row: Row[Any], at: datetime) -> ClientKey:
    return tagged(ClientKey, key_facts(row), state=_state(row, at))


def _state(row: Row[Any], at: datetime) -> State:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= at else "active"


def _seconds(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _seen(call: Call[Any, Any], key_id: int) -> Row[Any]:
    row = call.sql(call.directory.key, key_id)
    if not call.principal.sees_client(row.team_id, row.client_id):
        raise not_found("key", key_id)
    return row


@api.endpoint("GET", "/keys", query=KeysQuery, answer=ClientKeys)
def list_keys(call: Call[KeysQuery, NoBody]) -> ClientKeys:
    """List keys, without their secrets.

    An owner sees those of the own team's clients.
    """
    query, part, at = call.query, part_of(call.query), now()
    page = call.sql(
        lambda: keys_page(
            call.at.engine,
            part,
            team_ids=(query.team_id, call.principal.team_scope()),
            client_id=query.client_id,
            state=query.state,
            at=at,
        )
    )
    return listed(ClientKeys, page, lambda row: _answer(row, at))


@api.endpoint("POST", "/keys", body=NewKeyBody, answer=MadeKey, roles=WRITERS, status=201)
def create_key(call: Call[NoQuery, NewKeyBody]) -> MadeKey:
    """Make a key of a client.

    Its secret is in this answer and stored nowhere.
    """
    body = call.body
    seen_client(call, body.client_id)
    expires_in = _seconds(body.expires_in_seconds)

    def make(directory: Directory) -> tuple[NewKey, Row[Any]]:
        made = directory.create_key(body.client_id, body.name or "", expires_in)
        return made, directory.key(made.id)

    made, row = call.change(make)
    return tagged(MadeKey, key_facts(row), state=_state(row, now()), secret=made.secret)


@api.endpoint("GET", "/keys/<int:key_id>", answer=ClientKey)
def read_key(call: Call[NoQuery, NoBody], key_id: int) -> ClientKey:
    """Read a key, also one that was revoked."""
    return _answer(_seen(call, key_id), now())


@api.endpoint("PATCH", "/keys/<int:key_id>", body=KeyChange, answer=ClientKey, roles=WRITERS)
def change_key(call: Call[NoQuery, KeyChange], key_id: int) -> ClientKey:
    """Say anew what a key is for."""
    _seen(call, key_id)

    def make(directory: Directory) -> Row[Any]:
        directory.rename_key(key_id, call.body.name, seen=call.seen)
        return directory.key(key_id)

    return _answer(call.change(make), now())


@api.endpoint(
    "POST",
    "/keys/<int:key_id>/rotate",
    body=Rotation,
    answer=RotatedKey,
    roles=WRITERS,
    status=201,
)
def rotate_key(call: Call[NoQuery, Rotation], key_id: int) -> RotatedKey:
    """Replace a key by a new one of the same client.

    The old one works until the overlap is over, so that clients can change over in peace.
    """
    _seen(call, key_id)
    overlap = timedelta(seconds=call.body.overlap_seconds)
    expires_in = _seconds(call.body.expires_in_seconds)

    def make(directory: Directory) -> tuple[NewKey, Row[Any], Row[Any]]:
        made = directory.rotate_key(key_id, overlap, expires_in, seen=call.seen)
        return made, directory.key(made.id), directory.key(key_id)

    made, row, old = call.change(make)
    at = now()
    return tagged(
        RotatedKey,
        key_facts(row),
        state=_state(row, at),
        secret=made.secret,
        replaced=_answer(old, at),
    )


@api.endpoint("DELETE", "/keys/<int:key_id>", answer=ClientKey, roles=WRITERS)
def revoke_key(call: Call[NoQuery, NoBody], key_id: int) -> ClientKey:
    """Stop a key at once, on every replica.

    In a hurry, send `If-Match: *`. The key stays in lists as revoked.
    """
    _seen(call, key_id)

    def make(directory: Directory) -> Row[Any]:
        directory.revoke_key(key_id, seen=call.seen)
        return directory.key(key_id)

    return _answer(call.change(make), now())
