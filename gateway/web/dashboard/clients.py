"""One client: what it spends, what bounds it, its keys. Also what a client sees of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import redirect, request
from sqlalchemy import Engine
from werkzeug.wrappers import Response

from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import NotThere
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core.errors import NotFound
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, formats, scopes, shell
from gateway.web.dashboard.budget_lines import budget_lines
from gateway.web.dashboard.spend_files import spend_file

blueprint = shell.pages("clients")

_ABSENT = "There is no such client, or it is not yours to see."


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key of the client; never its secret."""

    id: int
    name: str
    display: str
    state: str
    tone: str
    created_at: datetime
    expires_at: datetime | None


@blueprint.get("/clients/<int:client_id>")
def show(client_id: int) -> Response:
    """One client."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE, Role.OWNER)
    now = datetime.now(UTC)
    client, keys = on_control_thread(client_and_keys, services().engine, client_id, now)
    if not viewer.sees_client(client.team_id, client.id):
        raise NotFound(_ABSENT)
    team = shell.Crumb(client.team_name, f"/teams/{client.team_id}")
    crumbs = [shell.Crumb("Teams", "/teams"), team] if viewer.sees_everything else [team]
    return _page(viewer, client, keys, f"/clients/{client_id}", client.name, crumbs, now)


@blueprint.get("/me")
def me() -> Response:
    """What is the viewer's own: a client's page, an owner's team, else everything."""
    viewer = principals.principal()
    if viewer.role is Role.OWNER:
        return redirect(f"/teams/{viewer.team_id}", 303)
    if viewer.role is not Role.CLIENT:
        return redirect("/", 303)
    now = datetime.now(UTC)
    assert viewer.client_id is not None
    client, keys = on_control_thread(client_and_keys, services().engine, viewer.client_id, now)
    return _page(viewer, client, keys, "/me", "My usage", [], now)


def _page(
    viewer: Principal,
    client: Any,
    keys: list[KeyLine],
    path: str,
    title: str,
    crumbs: list[shell.Crumb],
    now: datetime,
) -> Response:
    scope = scopes.for_request(scopes.client_scope(path, client.id))
    engine, query = services().engine, request.args.to_dict(flat=False)
    report = on_report_thread(scopes.read, engine, scope, query, viewer, scopes.past(), now)
    if kind := exports.wanted():
        return spend_file(kind, f"client-{client.id}", report.view, report.spend)
    return shell.render(
        "client.html",
        viewer,
        title=title,
        crumbs=crumbs,
        live=shell.LIVE_SECONDS,
        client=client,
        may_change=viewer.may_change_client(client.team_id),
        models=json.loads(client.allowed_models),
        limits=limits_of(client),
        keys=keys,
        budgets=budget_lines(viewer, now, client_id=client.id),
        **on_report_thread(scopes.shown, report, now),
    )


def client_and_keys(engine: Engine, client_id: int, now: datetime) -> tuple[Any, list[KeyLine]]:
    """A client with its keys, those that work first. Raises NotFound."""
    directory = Directory(engine)
    try:
        client = directory.client(client_id)
    except NotThere as error:
        raise NotFound(_ABSENT) from error
    every = directory.keys()
    keys = [key_line(key, now) for key in every if key.client_id == client_id]
    return client, sorted(keys, key=lambda key: (key.tone == "", -key.id))


def key_line(key: Any, now: datetime) -> KeyLine:
    """A key as the page shows it."""
    state, tone = "active", "good"
    if key.revoked_at is not None:
        state, tone = "revoked", ""
    elif key.expires_at is not None and key.expires_at <= now:
        state, tone = "expired", ""
    elif key.expires_at is not None:
        state, tone = f"expires {formats.until(key.expires_at, now)}", "warn"
    display = f"{key.prefix}...{key.last_four}"
    return KeyLine(key.id, key.name, display, state, tone, key.created_at, key.expires_at)


def limits_of(client: Any) -> list[tuple[str, str]]:
    """What bounds a client besides budgets and its models, as (words, value)."""
    return [
        ("Requests per minute", _limit(client.requests_per_minute)),
        ("Tokens per minute", _limit(client.tokens_per_minute)),
        ("Requests at once", _limit(client.concurrent_requests)),
        ("Output where none is asked for", _limit(client.default_output_tokens, "model's maximum")),
        ("Shortens answers to fit a budget", "yes" if client.clamp_output else "no"),
    ]


def _limit(value: int, none: str = "no limit") -> str:
    return formats.grouped(value) if value else none
