"""Spend limits and spend alerts of the organization and of projects, in OpenAI's form.

A spend limit is the monthly budget that refuses (``adapters.spend_limits``), a spend alert a rule
on a soft one (``adapters.spend_alerts``). Amounts are whole cents; what is spent, held and left of
a limit stands beside them, exact.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request
from sqlalchemy import Row

from gateway.adapters.budget_state import BudgetState, counted_states, recorded_states
from gateway.adapters.directory import Directory
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.spend_alerts import SpendAlert, SpendAlerts
from gateway.adapters.spend_limits import SpendLimits
from gateway.core.errors import BadRequest, NotFound
from gateway.core.money import usd_from_nano
from gateway.core.organization_ids import number_of
from gateway.core.roles import Principal, Role
from gateway.core.spend_terms import alert_of, cents_of, limit_of
from gateway.web.admin.announcing import announce
from gateway.web.current import services
from gateway.web.json_body import json_object
from gateway.web.openai.organization_lists import (
    changed,
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

blueprint = Blueprint("organization_spend", __name__)

ALERT = "alert_"


def _whose(project_id: str | None, *, writes: bool = False) -> tuple[Principal, int | None]:
    """Who asks, and the team that is meant; None for the organization. Raises ApiError."""
    if writes or project_id is None:
        readers = () if writes else (Role.FINANCE,)
        asks = principal(Role.ADMIN, *readers)
    else:
        asks = reader()
    if project_id is None:
        return asks, None
    team_id = project_of(asks, project_id)
    changed(Directory(services().engine).team, team_id)
    return asks, team_id


def _kind(team_id: int | None) -> str:
    return "organization" if team_id is None else "project"


# Limits


@blueprint.get("/v1/organization/spend_limit")
@blueprint.get(
    "/v1/organization/projects/<project_id>/spend_limit", endpoint="retrieve_project_spend_limit"
)
def retrieve_spend_limit(project_id: str | None = None) -> Answer:
    """The monthly budget that refuses, and how it stands."""
    _, team_id = _whose(project_id)
    return json_answer(_limit(team_id))


@blueprint.post("/v1/organization/spend_limit")
@blueprint.post(
    "/v1/organization/projects/<project_id>/spend_limit", endpoint="update_project_spend_limit"
)
def update_spend_limit(project_id: str | None = None) -> Answer:
    """Set it, or make one."""
    asks, team_id = _whose(project_id, writes=True)
    body, _ = json_object(services().gate.settings)
    changed(SpendLimits(services().engine, asks).set, team_id, limit_of(body))
    _announce()
    return json_answer(_limit(team_id))


@blueprint.delete("/v1/organization/spend_limit")
@blueprint.delete(
    "/v1/organization/projects/<project_id>/spend_limit", endpoint="delete_project_spend_limit"
)
def delete_spend_limit(project_id: str | None = None) -> Answer:
    """Remove it."""
    asks, team_id = _whose(project_id, writes=True)
    if not changed(SpendLimits(services().engine, asks).remove, team_id):
        raise _no_limit(team_id)
    _announce()
    return json_answer({"object": f"{_kind(team_id)}.spend_limit.deleted", "deleted": True})


def _no_limit(team_id: int | None) -> NotFound:
    return NotFound(f"The {_kind(team_id)} has no spend limit.", code="spend_limit_not_found")


def _announce() -> None:
    at = services()
    announce(at, from_sql(Directory(at.engine).version))


def _limit(team_id: int | None) -> dict[str, Any]:
    row = from_sql(SpendLimits(services().engine).find, team_id)
    if row is None:
        raise _no_limit(team_id)
    state = _state(row)
    held = state.held_nano or 0
    left = row.limit_nano - state.spent_nano - held
    return {
        "object": f"{_kind(team_id)}.spend_limit",
        "threshold_amount": cents_of(row.limit_nano),
        "currency": "USD",
        "interval": "month",
        "enforcement": {"status": "enforcing" if left <= 0 else "inactive"},
        "budget": row.name,
        "limit_usd": usd_from_nano(row.limit_nano),
        "spent_usd": usd_from_nano(state.spent_nano),
        "held_usd": None if state.held_nano is None else usd_from_nano(held),
        "left_usd": usd_from_nano(left),
    }


def _state(row: Row[Any]) -> BudgetState:
    """As Redis counts; where it cannot say, as SQL has recorded."""
    at = services()
    try:
        (state,) = counted_states(at.budgets, [row])
    except (StoreDown, CountersLost):
        (state,) = from_sql(recorded_states, at.engine, [row], datetime.now(UTC))
    return state


# Alerts


@blueprint.get("/v1/organization/spend_alerts")
@blueprint.get(
    "/v1/organization/projects/<project_id>/spend_alerts", endpoint="list_project_spend_alerts"
)
def list_spend_alerts(project_id: str | None = None) -> Answer:
    """A page of alerts, oldest first."""
    _, team_id = _whose(project_id)
    check_query(("limit", "order", "after", "before"))
    every = from_sql(SpendAlerts(services().engine).all, team_id)
    if is_descending():
        every.reverse()
    first, last = 0, len(every)
    for name, given in (
        ("after", request.args.get("after")),
        ("before", request.args.get("before")),
    ):
        if given is None:
            continue
        places = [place for place, one in enumerate(every) if one.id == number_of(ALERT, given)]
        if not places:
            raise BadRequest(f"'{name}' must be the id of a spend alert.", param=name)
        first, last = (places[0] + 1, last) if name == "after" else (first, places[0])
    most = limit()
    if "before" in request.args and "after" not in request.args:
        # The page that comes before it, and not the first of all.
        first = max(last - most, 0)
        shown, more = every[first:last], first > 0
    else:
        shown, more = every[first : min(first + most, last)], first + most < last
    return listed([_alert(team_id, one) for one in shown], more)


@blueprint.post("/v1/organization/spend_alerts")
@blueprint.post(
    "/v1/organization/projects/<project_id>/spend_alerts", endpoint="create_project_spend_alert"
)
def create_spend_alert(project_id: str | None = None) -> Answer:
    """A new alert, with a soft budget of its own."""
    asks, team_id = _whose(project_id, writes=True)
    body, _ = json_object(services().gate.settings)
    nano, recipients = alert_of(body)
    alerts = SpendAlerts(services().engine, asks)
    alert_id = changed(alerts.create, team_id, nano, recipients)
    _announce()
    return json_answer(_alert(team_id, _found(alerts, team_id, f"{ALERT}{alert_id}")))


@blueprint.get("/v1/organization/spend_alerts/<alert_id>")
@blueprint.get(
    "/v1/organization/projects/<project_id>/spend_alerts/<alert_id>",
    endpoint="retrieve_project_spend_alert",
)
def retrieve_spend_alert(alert_id: str, project_id: str | None = None) -> Answer:
    """One alert."""
    _, team_id = _whose(project_id)
    return json_answer(_alert(team_id, _found(SpendAlerts(services().engine), team_id, alert_id)))


@blueprint.post("/v1/organization/spend_alerts/<alert_id>")
@blueprint.post(
    "/v1/organization/projects/<project_id>/spend_alerts/<alert_id>",
    endpoint="update_project_spend_alert",
)
def update_spend_alert(alert_id: str, project_id: str | None = None) -> Answer:
    """Set when it is sent, and to whom."""
    asks, team_id = _whose(project_id, writes=True)
    body, _ = json_object(services().gate.settings)
    nano, recipients = alert_of(body)
    alerts = SpendAlerts(services().engine, asks)
    changed(alerts.change, _found(alerts, team_id, alert_id), nano, recipients)
    _announce()
    return json_answer(_alert(team_id, _found(alerts, team_id, alert_id)))


@blueprint.delete("/v1/organization/spend_alerts/<alert_id>")
@blueprint.delete(
    "/v1/organization/projects/<project_id>/spend_alerts/<alert_id>",
    endpoint="delete_project_spend_alert",
)
def delete_spend_alert(alert_id: str, project_id: str | None = None) -> Answer:
    """Remove it and its budget."""
    asks, team_id = _whose(project_id, writes=True)
    alerts = SpendAlerts(services().engine, asks)
    changed(alerts.remove, _found(alerts, team_id, alert_id))
    _announce()
    kind = f"{_kind(team_id)}.spend_alert.deleted"
    return json_answer({"object": kind, "id": alert_id, "deleted": True})


def _found(alerts: SpendAlerts, team_id: int | None, given: str) -> SpendAlert:
    found = from_sql(alerts.find, team_id, number_in(ALERT, given, "spend alert"))
    if found is None:
        raise not_found("spend alert", given)
    return found


def _alert(team_id: int | None, alert: SpendAlert) -> dict[str, Any]:
    return {
        "object": f"{_kind(team_id)}.spend_alert",
        "id": f"{ALERT}{alert.id}",
        "threshold_amount": cents_of(alert.limit_nano),
        "currency": "USD",
        "interval": "month",
        "notification_channel": {
            "type": "email",
            "recipients": list(alert.recipients),
            "subject_prefix": None,
        },
    }
