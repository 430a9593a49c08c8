"""Forms of budgets: create, change, remove."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from flask import Response, request
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.adapters.directory_facts import budget_facts
from gateway.adapters.directory_values import (
    NotThere,
    checked_limit,
    checked_name,
    checked_pattern,
    checked_zone,
)
from gateway.adapters.threads import on_control_thread
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.errors import NotFound
from gateway.core.etags import etag_of
from gateway.core.money import usd_from_nano
from gateway.core.roles import Principal, Role
from gateway.core.tags import pair_of
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("budget_forms")

WINDOWS = (
    (WindowKind.HOUR.value, "Each hour"),
    (WindowKind.DAY.value, "Each day"),
    (WindowKind.WEEK.value, "Each week, from Monday"),
    (WindowKind.MONTH.value, "Each month"),
    (WindowKind.TOTAL.value, "In total"),
)
ENFORCEMENTS = (
    (Enforcement.STRICT.value, "Strict: never exceeded; holds the most a request could cost"),
    (Enforcement.EXPECTED.value, "Expected: holds what requests usually need; may overrun a bit"),
    (Enforcement.SOFT.value, "Soft: never refuses, and counts what passes the limit"),
)
BUDGETS = shell.Crumb("Budgets", "/budgets")
_MAY_NOT = "You may change the budgets of your team's clients; those of the team bound you too."
_ZONES = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


@blueprint.route("/budgets/new", methods=["GET", "POST"])
def create() -> Response:
    """Make a budget on the organization, a team or a client."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    places = _places(viewer)
    form = Form(
        {
            "on": _asked_place(),
            "window": WindowKind.MONTH.value,
            "time_zone": "UTC",
            "enforcement": Enforcement.STRICT.value,
        }
    )
    if request.method == "POST":
        form = Form.sent()
        name, terms = form.checked("name", checked_name), _terms(form)
        kind, _, place_id = form.values.get("on", "").partition(":")
        if form.values.get("on") not in dict(places):
            form.fail("on", "choose what the budget is on")
        elif kind != "organization":
            terms[kind] = int(place_id)
        made = forms.attempt(
            viewer,
            form,
            lambda: forms.change(viewer, lambda to: to.create_budget(name, **terms)),
            fields={"tag": "tag", "budget's limit": "limit"},
        )
        if made is not None:
            return forms.done(f"/budgets/{made}", f"Budget {name} is made, and in force.")
    return _page(viewer, form, "New budget", None, places)


@blueprint.route("/budgets/<int:budget_id>/edit", methods=["GET", "POST"])
def edit(budget_id: int) -> Response:
    """Change a budget's name, limit or enforcement."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    row = _changeable(viewer, budget_id)
    form = _filled(row)
    if request.method == "POST":
        form = Form.sent()
        name = form.checked("name", checked_name)
        limit, enforcement = _limit(form), form.choice("enforcement", Enforcement)

        def make(to: Directory) -> bool:
            to.change_budget(
                budget_id,
                limit_nano=limit,
                enforcement=enforcement,
                new_name=name,
                seen=form.seen,
            )
            return True

        subject = "budget", budget_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/budgets/{budget_id}", f"Budget {name} is changed.")
    return _page(viewer, form, f"Change {row.name}", row, [])


@blueprint.route("/budgets/<int:budget_id>/remove", methods=["GET", "POST"])
def remove(budget_id: int) -> Response:
    """Remove a budget, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    row = _changeable(viewer, budget_id)
    form = Form({forms.ETAG: etag_of(budget_facts(row))})
    if request.method == "POST":
        form = Form.sent()

        def make(to: Directory) -> bool:
            to.remove_budget(budget_id, seen=form.seen)
            return True

        subject = "budget", budget_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done("/budgets", f"Budget {row.name} is removed.")
        form.values[forms.ETAG] = etag_of(budget_facts(row))
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Remove {row.name}?",
        crumbs=[BUDGETS, shell.Crumb(row.name, f"/budgets/{budget_id}")],
        verb="Remove the budget",
        back=f"/budgets/{budget_id}",
        consequences=[
            "It refuses nothing any more, on every gateway within a second.",
            "What has been charged to it stays in its records.",
        ],
    )


def _changeable(viewer: Principal, budget_id: int) -> Row[Any]:
    try:
        row = on_control_thread(Directory(services().engine, viewer).budget, budget_id)
    except NotThere as error:
        raise NotFound(f"There is no budget {budget_id}.") from error
    team_id = row.team_id if row.team_id is not None else row.client_team_id
    if not viewer.sees_budget(team_id, row.client_id):
        raise NotFound(f"There is no budget {budget_id}.")
    forms.allow(viewer.may_change_budget(team_id, row.client_id), _MAY_NOT)
    return row


def _asked_place() -> str:
    """What a link to the form says that the budget is to be on."""
    for kind in ("team", "client"):
        if request.args.get(kind):
            return f"{kind}:{request.args[kind]}"
    return "organization:0"


def _places(viewer: Principal) -> list[tuple[str, str]]:
    """What ``viewer`` may put a budget on, as values and labels of a select."""
    directory = Directory(services().engine, viewer)
    found: list[tuple[str, str]] = []
    if viewer.may_administer:
        found.append(("organization:0", "The organization"))
        found += [
            (f"team:{row.id}", f"Team {row.name}") for row in on_control_thread(directory.teams)
        ]
    for row in on_control_thread(directory.clients):
        if viewer.may_change_client(row.team_id):
            found.append((f"client:{row.id}", f"Client {row.name} of {row.team_name}"))
    return found


def _limit(form: Form) -> int:
    limit = form.usd("limit")
    if "limit" not in form.errors:
        try:
            checked_limit(limit)
        except ValueError as error:
            form.fail("limit", str(error))
    return limit


def _tag(text: str) -> str:
    pair_of(text)
    return text


def _terms(form: Form) -> dict[str, Any]:
    return {
        "limit_nano": _limit(form),
        "window": form.choice("window", WindowKind),
        "time_zone": form.checked("time_zone", checked_zone, "UTC"),
        "enforcement": form.choice("enforcement", Enforcement),
        "model_pattern": form.optional("model_pattern", checked_pattern),
        "tag": form.optional("tag", _tag),
    }


def _filled(row: Row[Any]) -> Form:
    limit = usd_from_nano(row.limit_nano)
    whole, _, fraction = limit.partition(".")
    fraction = fraction.rstrip("0")
    return Form(
        {
            "name": row.name,
            "limit": f"{whole}.{fraction.ljust(2, '0')}" if fraction else whole,
            "enforcement": row.enforcement,
            forms.ETAG: etag_of(budget_facts(row)),
        }
    )


def _page(
    viewer: Principal,
    form: Form,
    title: str,
    row: Row[Any] | None,
    places: list[tuple[str, str]],
) -> Response:
    if form.conflict and row is not None:
        form.values[forms.ETAG] = etag_of(budget_facts(row))
    here = [] if row is None else [shell.Crumb(row.name, f"/budgets/{row.id}")]
    return forms.render(
        "budget_form.html",
        viewer,
        form,
        title=title,
        crumbs=[BUDGETS, *here],
        row=row,
        places=places,
        windows=WINDOWS,
        enforcements=ENFORCEMENTS,
        zones=_ZONES,
    )
