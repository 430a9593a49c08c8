"""Accounts of people who sign in by the identity provider: made, and changed, as they come."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, update

from gateway.adapters.accounts import User, add_user, find_user, set_role
from gateway.adapters.audit_log import note
from gateway.adapters.control_tables import users
from gateway.adapters.directory import now
from gateway.adapters.directory_values import DirectoryError
from gateway.adapters.identity_provider import Identity
from gateway.core.roles import Principal, Role

NO_GROUP = (
    "None of your groups may use this dashboard. Ask an administrator for access: groups are"
    " named in FAREGATE_OIDC_ADMIN_GROUPS and FAREGATE_OIDC_FINANCE_GROUPS, and an owner of a team"
    " is made with `faregate user create`."
)


class NotAdmitted(DirectoryError):
    """The provider knows this person, and Faregate has no place for them; the message says why."""


def admit(engine: Engine, identity: Identity, role: Role | None, address: str | None) -> User:
    """The account of ``identity``, made at the first sign-in. Raises NotAdmitted.

    The groups decide at every sign-in: ``role`` is what they give. Where they give none, only
    an owner may come in: owners are made by hand.
    """
    with engine.begin() as connection:
        user = find_user(connection, users.c.oidc_subject == identity.subject)
        if user is None:
            user = _first_time(connection, identity, role, address)
        if user.disabled_at is not None:
            raise NotAdmitted("Your account is disabled. Ask an administrator.")
        if role is None and user.role is not Role.OWNER:
            raise NotAdmitted(NO_GROUP)
        if role is not None and user.role is not role:
            set_role(connection, user.principal(address), user, role, None)
            user = _again(connection, user)
        return user


def _first_time(
    connection: Connection, identity: Identity, role: Role | None, address: str | None
) -> User:
    known = find_user(connection, users.c.email == identity.email)
    if known is None:
        if role is None:
            raise NotAdmitted(NO_GROUP)
        values = {
            "email": identity.email,
            "name": (identity.name or identity.email.partition("@")[0])[:128],
            "role": role.value,
            "oidc_subject": identity.subject,
            "created_at": now(),
        }
        add_user(connection, Principal(f"user:{identity.email}", role, address=address), values)
    elif known.has_password or known.from_provider:
        # Whoever controls an address at the provider must not thereby become somebody here.
        raise NotAdmitted(
            f"There is an account for {identity.email} already, which is another one. Sign in"
            " with its password, or ask an administrator."
        )
    else:
        link = update(users).where(users.c.id == known.id)
        connection.execute(link.values(oidc_subject=identity.subject))
        who = known.principal(address)
        before, after = {"from_provider": False}, {"from_provider": True}
        note(connection, who, "change", "user", known.id, known.email, before, after)
    found = find_user(connection, users.c.oidc_subject == identity.subject)
    assert found is not None
    return found


def _again(connection: Connection, user: User) -> User:
    found = find_user(connection, users.c.id == user.id)
    assert found is not None
    return found
