"""Projects, users and keys of the organization, read as OpenAI's: teams, clients, keys, tokens.

They are read here and not changed: the admin API and the command line do that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Blueprint, request
from sqlalchemy import Row

from gateway.adapters import organization_rows
from gateway.adapters.organization_rows import Part, Rows
from gateway.core.errors import BadRequest
from gateway.core.organization_ids import KEY, PROJECT, USER
from gateway.core.roles import Role
from gateway.web.current import services
from gateway.web.openai.organization_lists import (
    after,
    check_query,
    is_descending,
    limit,
    listed,
    not_found,
    number_in,
    project_of,
)
from gateway.web.openai.organization_pages import Answer, from_sql, json_answer
from gateway.web.openai.organization_query import reader
from gateway.web.principals import principal

blueprint = Blueprint("organization_directory", __name__)

ADMIN_KEY = "admin_key_"

_ONE = Part(1)


def _rows(find: Callable[..., Rows], part: Part, **which: Any) -> Rows:
    return from_sql(partial(find, services().engine, part, **which))


def _the_row(find: Callable[..., Rows], what: str, given: str, **which: Any) -> Row[Any]:
    """The one row that is asked for. Raises NotFound."""
    found = _rows(find, _ONE, **which).rows
    if not found:
        raise not_found(what, given)
    return found[0]


@blueprint.get("/v1/organization/projects")
def list_projects() -> Answer:
    """Teams."""
    asks = reader()
    check_query(("limit", "after", "include_archived"))
    archived = request.args.get("include_archived", "false")
    if archived not in ("true", "false"):
        raise BadRequest("'include_archived' must be true or false.", param="include_archived")
    part = Part(limit(), after(PROJECT))
    which = {"only": asks.team_scope(), "archived": archived == "true"}
    found = _rows(organization_rows.projects, part, **which)
    return listed([_project(row) for row in found.rows], found.has_more)


@blueprint.get("/v1/organization/projects/<project_id>")
def retrieve_project(project_id: str) -> Answer:
    """One team, also one that was removed."""
    team_id = project_of(reader(), project_id)
    row = _the_row(organization_rows.projects, "project", project_id, team_id=team_id)
    return json_answer(_project(row))


@blueprint.get("/v1/organization/projects/<project_id>/users")
def list_project_users(project_id: str) -> Answer:
    """The clients of a team."""
    team_id = project_of(reader(), project_id)
    check_query(("limit", "after"))
    found = _rows(organization_rows.users, Part(limit(), after(USER)), team_id=team_id)
    return listed([_project_user(row) for row in found.rows], found.has_more)


@blueprint.get("/v1/organization/projects/<project_id>/users/<user_id>")
def retrieve_project_user(project_id: str, user_id: str) -> Answer:
    """One client of a team."""
    team_id = project_of(reader(), project_id)
    which = {"team_id": team_id, "client_id": number_in(USER, user_id, "user")}
    return json_answer(_project_user(_the_row(organization_rows.users, "user", user_id, **which)))


@blueprint.get("/v1/organization/projects/<project_id>/api_keys")
def list_project_api_keys(project_id: str) -> Answer:
    """The keys of a team's clients; never a secret."""
    team_id = project_of(reader(), project_id)
    check_query(("limit", "after"))
    found = _rows(organization_rows.api_keys, Part(limit(), after(KEY)), team_id=team_id)
    return listed([_api_key(row) for row in found.rows], found.has_more)


@blueprint.get("/v1/organization/projects/<project_id>/api_keys/<key_id>")
def retrieve_project_api_key(project_id: str, key_id: str) -> Answer:
    """One key of a team's clients."""
    team_id = project_of(reader(), project_id)
    which = {"team_id": team_id, "key_id": number_in(KEY, key_id, "API key")}
    return json_answer(_api_key(_the_row(organization_rows.api_keys, "API key", key_id, **which)))


@blueprint.get("/v1/organization/users")
def list_users() -> Answer:
    """Clients, which have no e-mail addresses."""
    asks = reader()
    check_query(("limit", "after", "emails"))
    part = Part(limit(), after(USER))
    if request.args.getlist("emails") + request.args.getlist("emails[]"):
        return listed([], has_more=False)
    found = _rows(organization_rows.users, part, team_id=asks.team_scope())
    return listed([_user(row) for row in found.rows], found.has_more)


@blueprint.get("/v1/organization/users/<user_id>")
def retrieve_user(user_id: str) -> Answer:
    """One client."""
    which = {"team_id": reader().team_scope(), "client_id": number_in(USER, user_id, "user")}
    return json_answer(_user(_the_row(organization_rows.users, "user", user_id, **which)))


@blueprint.get("/v1/organization/admin_api_keys")
def list_admin_api_keys() -> Answer:
    """Admin tokens; never a secret."""
    principal(Role.ADMIN, Role.FINANCE)
    check_query(("limit", "after", "order"))
    part = Part(limit(), after(ADMIN_KEY), is_descending())
    found = _rows(organization_rows.admin_keys, part)
    return listed([_admin_key(row) for row in found.rows], found.has_more)


@blueprint.get("/v1/organization/admin_api_keys/<key_id>")
def retrieve_admin_api_key(key_id: str) -> Answer:
    """One admin token."""
    principal(Role.ADMIN, Role.FINANCE)
    number = number_in(ADMIN_KEY, key_id, "admin API key")
    row = _the_row(organization_rows.admin_keys, "admin API key", key_id, token_id=number)
    return json_answer(_admin_key(row))


# How each is shown


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _project(row: Row[Any]) -> dict[str, Any]:
    return {
        "object": "organization.project",
        "id": f"{PROJECT}{row.id}",
        "name": row.name,
        "created_at": _seconds(row.created_at),
        "archived_at": _seconds(row.removed_at),
        "status": "active" if row.removed_at is None else "archived",
    }


def _user(row: Row[Any]) -> dict[str, Any]:
    return {
        "object": "organization.user",
        "id": f"{USER}{row.id}",
        "name": row.name,
        "email": None,
        "role": "reader",
        "is_service_account": True,
        "added_at": _seconds(row.created_at),
        "projects": {"object": "list", "data": [{"id": f"{PROJECT}{row.team_id}"}]},
    }


def _project_user(row: Row[Any]) -> dict[str, Any]:
    return {
        "object": "organization.project.user",
        "id": f"{USER}{row.id}",
        "name": row.name,
        "email": None,
        "role": "member",
        "added_at": _seconds(row.created_at),
    }


def _api_key(row: Row[Any]) -> dict[str, Any]:
    expired = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
    return {
        "object": "organization.project.api_key",
        "id": f"{KEY}{row.id}",
        "name": row.name,
        "redacted_value": f"{row.prefix}...{row.last_four}",
        "created_at": _seconds(row.created_at),
        "expires_at": _seconds(row.expires_at),
        "last_used_at": None,
        "owner_project_access": "inactive" if expired or row.revoked_at else "active",
        "owner": {
            "type": "service_account",
            "service_account": {
                "object": "organization.project.service_account",
                "id": f"{USER}{row.client_id}",
                "name": row.client_name,
                "role": "member",
                "created_at": _seconds(row.client_created_at),
            },
        },
    }


def _admin_key(row: Row[Any]) -> dict[str, Any]:
    return {
        "object": "organization.admin_api_key",
        "id": f"{ADMIN_KEY}{row.id}",
        "name": row.name,
        "redacted_value": f"{row.prefix}...{row.last_four}",
        "created_at": _seconds(row.created_at),
        "expires_at": _seconds(row.expires_at),
        "last_used_at": None,
        "role": row.role,
        "owner": {
            "object": "organization.user",
            "type": "user",
            "name": row.created_by,
            "role": "owner",
        },
    }
