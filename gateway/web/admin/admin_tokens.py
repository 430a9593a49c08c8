"""Admin tokens in the admin API: a secret is in the answer that makes it, and in no other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from gateway.adapters.admin_tokens import AdminTokens, NewToken, Token, token_facts
from gateway.adapters.directory import now
from gateway.core.roles import Role
from gateway.web.admin.endpoint import ADMINS, Api, Call, NoBody, NoQuery
from gateway.web.admin.fields import Answer, Body, ETag, Id, Listed, MomentText, Name, NextCursor
from gateway.web.admin.keys import Seconds
from gateway.web.admin.lists import cut, tagged
from gateway.web.admin.users import RoleField

api = Api("admin-tokens", "Credentials of programs that call this API and OpenAI's usage API.")


class AdminToken(Answer):
    """An admin token, without its secret."""

    id: int
    name: str
    display: str
    role: Role
    team_id: int | None
    team: str | None
    state: Literal["active", "expired", "revoked"]
    expires_at: MomentText | None
    revoked_at: MomentText | None
    created_at: MomentText
    created_by: str
    etag: ETag


class AdminTokenList(Answer):
    """A page of admin tokens, by id."""

    data: list[AdminToken]
    next: NextCursor


class MadeAdminToken(AdminToken):
    """A token just made, with its secret, which is shown this once."""

    secret: str


class NewAdminToken(Body):
    """An admin token to make."""

    name: Name
    role: RoleField
    team_id: Id | None = Field(None, description="Of an owner.")
    expires_in_seconds: Seconds | None = Field(None, description="Without: it does not expire.")


def _answer(token: Token, at: datetime) -> AdminToken:
    return tagged(AdminToken, token_facts(token), state=token.state(at))


def _tokens(call: Call[Any, Any]) -> AdminTokens:
    return AdminTokens(call.at.engine)


@api.endpoint("GET", "/admin-tokens", query=Listed, answer=AdminTokenList, roles=ADMINS)
def list_admin_tokens(call: Call[Listed, NoBody]) -> AdminTokenList:
    """List admin tokens, without their secrets."""
    found, at = call.sql(_tokens(call).tokens), now()
    return cut(
        AdminTokenList, call.query, found, lambda token: token.id, lambda token: _answer(token, at)
    )


@api.endpoint(
    "POST", "/admin-tokens", body=NewAdminToken, answer=MadeAdminToken, roles=ADMINS, status=201
)
def create_admin_token(call: Call[NoQuery, NewAdminToken]) -> MadeAdminToken:
    """Make an admin token.

    Its secret is in this answer and stored nowhere.
    """
    body, tokens = call.body, _tokens(call)
    seconds = body.expires_in_seconds

    def make() -> tuple[NewToken, Token]:
        expires_in = None if seconds is None else timedelta(seconds=seconds)
        made = tokens.create(
            call.principal, body.name, body.role, team=body.team_id, expires_in=expires_in
        )
        return made, tokens.get(made.id)

    made, token = call.sql(make)
    facts = token_facts(token)
    return tagged(MadeAdminToken, facts, state=token.state(now()), secret=made.secret)


@api.endpoint("GET", "/admin-tokens/<int:token_id>", answer=AdminToken, roles=ADMINS)
def read_admin_token(call: Call[NoQuery, NoBody], token_id: int) -> AdminToken:
    """Read an admin token, also one that was revoked."""
    return _answer(call.sql(_tokens(call).get, token_id), now())


@api.endpoint("DELETE", "/admin-tokens/<int:token_id>", answer=AdminToken, roles=ADMINS)
def revoke_admin_token(call: Call[NoQuery, NoBody], token_id: int) -> AdminToken:
    """Stop an admin token at once."""
    tokens = _tokens(call)

    def make() -> Token:
        tokens.revoke(call.principal, token_id, seen=call.seen)
        return tokens.get(token_id)

    return _answer(call.sql(make), now())
