"""Forms of clients: what they may use, their rate limits, their outage allowance."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.adapters.directory_facts import client_facts
from gateway.adapters.directory_values import NotThere, checked_name, checked_pattern
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import NotFound
from gateway.core.etags import etag_of
from gateway.core.money import usd_from_nano
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("client_forms")

COUNTS = {
    "requests_per_minute": "Requests per minute",
    "tokens_per_minute": "Tokens per minute",
    "concurrent_requests": "Requests at once",
    "default_output_tokens": "Output tokens by default",
    "output_floor_tokens": "Fewest output tokens",
}
HINTS = {
    "requests_per_minute": "0 is no limit.",
    "tokens_per_minute": "Input and output together; 0 is no limit.",
    "concurrent_requests": "0 is no limit.",
    "default_output_tokens": "For requests that name no maximum; 0 is the model's own.",
    "output_floor_tokens": "A budget that affords fewer refuses; 0 is the gateway's 256.",
}
FLAGS = {
    "clamp_output": "Shorten answers to what the budget affords, also where the client asked for"
    " more",
    "may_fine_tune": "May start fine-tuning jobs",
}


@blueprint.route("/clients/new", methods=["GET", "POST"])
def create() -> Response:
    """Make a client of a team."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    form = Form({"team": request.args.get("team", "")})
    teams = _teams(viewer)
    if request.method == "POST":
        form = Form.sent()
        team_id = form.whole("team")
        if team_id not in dict(teams):
            form.fail("team", "choose a team")
        name, limits = form.checked("name", checked_name), _limits(form)
        made = forms.attempt(
            viewer,
            form,
            lambda: forms.change(viewer, lambda to: to.create_client(team_id, name, **limits)),
        )
        if made is not None:
            return forms.done(f"/clients/{made}", f"Client {name} is made. Next it needs a key.")
    return _page(viewer, form, "New client", None, teams)


@blueprint.route("/clients/<int:client_id>/edit", methods=["GET", "POST"])
def edit(client_id: int) -> Response:
    """Change a client."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    row = changeable(viewer, client_id)
    form = _filled(row)
    if request.method == "POST":
        form = Form.sent()
        name, limits = form.checked("name", checked_name), _limits(form)

        def make(to: Directory) -> bool:
            to.change_client(client_id, new_name=name, seen=form.seen, **limits)
            return True

        subject = "client", client_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/clients/{client_id}", f"Client {name} is changed.")
    return _page(viewer, form, f"Change {row.name}", row, [])


@blueprint.route("/clients/<int:client_id>/remove", methods=["GET", "POST"])
def remove(client_id: int) -> Response:
    """Remove a client, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    row = changeable(viewer, client_id)
    form = Form({forms.ETAG: etag_of(client_facts(row))})
    if request.method == "POST":
        form = Form.sent()

        def make(to: Directory) -> bool:
            to.remove_client(client_id, seen=form.seen)
            return True

        subject = "client", client_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/teams/{row.team_id}", f"Client {row.name} is removed.")
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Remove {row.name}?",
        crumbs=crumbs_of(row),
        verb="Remove the client",
        back=f"/clients/{client_id}",
        consequences=[
            "Its keys stop working at once, on every gateway within a second.",
            "Budgets that are set on it are removed.",
            "What it has spent stays in all records, reports and exports.",
        ],
    )


def changeable(viewer: Principal, client_id: int) -> Row[Any]:
    """A client that ``viewer`` may change. Raises NotFound and Forbidden."""
    try:
        row = on_control_thread(Directory(services().engine, viewer).client, client_id)
    except NotThere as error:
        raise NotFound(f"There is no client {client_id}.") from error
    if not viewer.sees_client(row.team_id, row.id):
        raise NotFound(f"There is no client {client_id}.")
    forms.allow(viewer.may_change_client(row.team_id), "Only its team's owner and administrators.")
    return row


def crumbs_of(row: Row[Any]) -> list[shell.Crumb]:
    """The way to a page about a client."""
    return [
        shell.Crumb("Teams", "/teams"),
        shell.Crumb(row.team_name, f"/teams/{row.team_id}"),
        shell.Crumb(row.name, f"/clients/{row.id}"),
    ]


def _teams(viewer: Principal) -> list[tuple[int, str]]:
    rows = on_control_thread(Directory(services().engine, viewer).teams)
    return [(row.id, row.name) for row in rows if viewer.may_change_client(row.id)]


def _limits(form: Form) -> dict[str, Any]:
    models = forms.lines_of(form.values.get("allowed_models", ""))
    for pattern in models:
        try:
            checked_pattern(pattern)
        except ValueError as error:
            form.fail("allowed_models", str(error))
    return {
        "allowed_models": models,
        **{name: form.whole(name) for name in COUNTS},
        **{name: form.flag(name) for name in FLAGS},
        "outage_allowance_nano": form.usd("outage_allowance")
        if form.values.get("outage_allowance")
        else 0,
    }


def _filled(row: Row[Any]) -> Form:
    return Form(
        {
            "name": row.name,
            "allowed_models": "\n".join(json.loads(row.allowed_models)),
            **{name: str(getattr(row, name)) for name in COUNTS},
            **{name: "1" if getattr(row, name) else "" for name in FLAGS},
            "outage_allowance": usd_from_nano(row.outage_allowance_nano).rstrip("0").rstrip("."),
            forms.ETAG: etag_of(client_facts(row)),
        }
    )


def _page(
    viewer: Principal, form: Form, title: str, row: Row[Any] | None, teams: list[tuple[int, str]]
) -> Response:
    if form.conflict and row is not None:
        form.values[forms.ETAG] = etag_of(client_facts(row))
    return forms.render(
        "client_form.html",
        viewer,
        form,
        title=title,
        crumbs=[shell.Crumb("Teams", "/teams")] if row is None else crumbs_of(row),
        row=row,
        teams=teams,
        counts=COUNTS,
        hints=HINTS,
        flags=FLAGS,
    )
