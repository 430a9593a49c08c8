"""Accounts of people in the admin API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from gateway.adapters.accounts import Accounts, User, user_facts
from gateway.adapters.passwords import hash_password
from gateway.adapters.threads import on_password_thread
from gateway.core.credentials import (
    EMAIL_LENGTH_MAX,
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    CredentialError,
    checked_email,
    checked_password,
)
from gateway.core.errors import BadRequest
from gateway.core.roles import Role
from gateway.web.admin.endpoint import ADMINS, SEE_ALL, Api, Call, NoBody, NoQuery
from gateway.web.admin.fields import (
    UNSENT,
    Answer,
    Body,
    ETag,
    Id,
    Listed,
    MomentText,
    NextCursor,
    Patch,
    Text,
)
from gateway.web.admin.lists import cut, tagged

api = Api("users", "Accounts of people who use the dashboard.")

RoleField = Annotated[
    Role, Field(strict=False, description="admin, finance (reads), or owner of one team.")
]
Password = Annotated[
    str, StringConstraints(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX)
]


def _email(text: str) -> str:
    try:
        return checked_email(text)
    except CredentialError:
        raise ValueError("not an e-mail address") from None


Email = Annotated[
    str, StringConstraints(min_length=3, max_length=EMAIL_LENGTH_MAX), AfterValidator(_email)
]


class UserAnswer(Answer):
    """An account."""

    id: int
    email: str
    name: str
    role: Role
    team_id: int | None = Field(description="The team of an owner.")
    team: str | None
    has_password: bool
    from_provider: bool = Field(description="Whether it has signed in by OpenID Connect.")
    disabled_at: MomentText | None
    created_at: MomentText
    etag: ETag


class Users(Answer):
    """A page of accounts, by id."""

    data: list[UserAnswer]
    next: NextCursor


class NewUser(Body):
    """An account to make. Without a password it is for OpenID Connect."""

    email: Email
    name: Text | None = Field(None, max_length=128)
    role: RoleField
    team_id: Id | None = Field(None, description="Of an owner.")
    password: Password | None = None


class UserChange(Patch):
    """What to change of an account; exactly one of: its role (with an owner's team), or whether it
    is disabled."""

    role: RoleField = UNSENT
    team_id: Id = UNSENT
    disabled: bool = UNSENT


def _answer(user: User) -> UserAnswer:
    return tagged(UserAnswer, user_facts(user))


def _accounts(call: Call[Any, Any]) -> Accounts:
    return Accounts(call.at.engine)


@api.endpoint("GET", "/users", query=Listed, answer=Users, roles=SEE_ALL)
def list_users(call: Call[Listed, NoBody]) -> Users:
    """List accounts."""
    found = call.sql(_accounts(call).users)
    return cut(Users, call.query, found, lambda user: user.id, _answer)


@api.endpoint("POST", "/users", body=NewUser, answer=UserAnswer, roles=ADMINS, status=201)
def create_user(call: Call[NoQuery, NewUser]) -> UserAnswer:
    """Make an account."""
    body, accounts, hashed = call.body, _accounts(call), None
    if body.password is not None:
        try:
            checked_password(body.password, body.email)
        except CredentialError as error:
            raise BadRequest(f"password: {error}.", param="password") from None
        hashed = on_password_thread(hash_password, body.password)

    def make() -> User:
        made = accounts.create(
            call.principal,
            body.email,
            body.role,
            name=body.name or "",
            team=body.team_id,
            password_hash=hashed,
        )
        return accounts.get(made)

    return _answer(call.sql(make))


@api.endpoint("GET", "/users/<int:user_id>", answer=UserAnswer, roles=SEE_ALL)
def read_user(call: Call[NoQuery, NoBody], user_id: int) -> UserAnswer:
    """Read an account."""
    return _answer(call.sql(_accounts(call).get, user_id))


@api.endpoint("PATCH", "/users/<int:user_id>", body=UserChange, answer=UserAnswer, roles=ADMINS)
def change_user(call: Call[NoQuery, UserChange], user_id: int) -> UserAnswer:
    """Give an account another role, disable it, or enable it again.

    Who is disabled is signed out at once.
    """
    given = call.body.given()
    if ("role" in given) == ("disabled" in given):
        raise BadRequest("Send either `role` or `disabled`.", param="role")
    if "team_id" in given and "role" not in given:
        raise BadRequest("team_id: it goes with `role`.", param="team_id")
    accounts, who = _accounts(call), call.principal

    def make() -> User:
        if "role" in given:
            accounts.change_role(who, user_id, given["role"], given.get("team_id"), seen=call.seen)
        elif given["disabled"]:
            accounts.disable(who, user_id, seen=call.seen)
        else:
            accounts.enable(who, user_id, seen=call.seen)
        return accounts.get(user_id)

    return _answer(call.sql(make))
