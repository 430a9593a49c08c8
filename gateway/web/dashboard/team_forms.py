"""Forms of teams: create, change, remove."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.adapters.directory_facts import team_facts
from gateway.adapters.directory_values import NotThere, checked_name
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import NotFound
from gateway.core.etags import etag_of
from gateway.core.policy import Sharing
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("team_forms")

SHARING = (
    (Sharing.CLIENT.value, "The client that made them"),
    (Sharing.TEAM.value, "Every client of the team"),
)
TEAMS = shell.Crumb("Teams", "/teams")


@blueprint.route("/teams/new", methods=["GET", "POST"])
def create() -> Response:
    """Make a team."""
    viewer = principals.principal(Role.ADMIN)
    form = Form({"sharing": Sharing.CLIENT.value})
    if request.method == "POST":
        form = Form.sent()
        name = form.checked("name", checked_name)
        sharing = form.choice("sharing", Sharing)
        made = forms.attempt(
            viewer,
            form,
            lambda: forms.change(viewer, lambda to: to.create_team(name, sharing)),
        )
        if made is not None:
            return forms.done(f"/teams/{made}", f"Team {name} is made. Next it needs a client.")
    return _page(viewer, form, "New team", None)


@blueprint.route("/teams/<int:team_id>/edit", methods=["GET", "POST"])
def edit(team_id: int) -> Response:
    """Change a team's name, or whose the objects of its clients are."""
    viewer = principals.principal(Role.ADMIN)
    row = _team(viewer, team_id)
    form = _filled(row)
    if request.method == "POST":
        form = Form.sent()
        name = form.checked("name", checked_name)
        sharing = form.choice("sharing", Sharing)

        def make(to: Directory) -> bool:
            to.change_team(team_id, sharing, name=name, seen=form.seen)
            return True

        subject = "team", team_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/teams/{team_id}", f"Team {name} is changed.")
    return _page(viewer, form, f"Change {row.name}", row)


@blueprint.route("/teams/<int:team_id>/remove", methods=["GET", "POST"])
def remove(team_id: int) -> Response:
    """Remove a team, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN)
    row = _team(viewer, team_id)
    form = Form({forms.ETAG: etag_of(team_facts(row))})
    if request.method == "POST":
        form = Form.sent()

        def make(to: Directory) -> bool:
            to.remove_team(team_id, seen=form.seen)
            return True

        subject = "team", team_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done("/teams", f"Team {row.name} is removed.")
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Remove {row.name}?",
        crumbs=[TEAMS, shell.Crumb(row.name, f"/teams/{team_id}")],
        verb="Remove the team",
        back=f"/teams/{team_id}",
        consequences=[
            "Budgets that are set on the team are removed too.",
            "What it has spent stays in all records, reports and exports.",
            "A team that still has clients cannot be removed.",
        ],
    )


def _team(viewer: Principal, team_id: int) -> Row[Any]:
    try:
        return on_control_thread(Directory(services().engine, viewer).team, team_id)
    except NotThere as error:
        raise NotFound(f"There is no team {team_id}.") from error


def _filled(row: Row[Any]) -> Form:
    etag = etag_of(team_facts(row))
    return Form({"name": row.name, "sharing": row.sharing, forms.ETAG: etag})


def _page(viewer: Principal, form: Form, title: str, row: Row[Any] | None) -> Response:
    if form.conflict and row is not None:
        form.values[forms.ETAG] = _filled(row).values[forms.ETAG]
    return forms.render(
        "team_form.html",
        viewer,
        form,
        title=title,
        crumbs=[TEAMS] if row is None else [TEAMS, shell.Crumb(row.name, f"/teams/{row.id}")],
        row=row,
        sharing=SHARING,
    )
