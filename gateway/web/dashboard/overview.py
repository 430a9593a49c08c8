"""The overview: what everything costs, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from flask import current_app, redirect, request
from sqlalchemy import Engine
from werkzeug.wrappers import Response

from gateway.adapters.threads import on_sql_thread
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import charts, shell
from gateway.web.dashboard.budget_lines import budget_lines
from gateway.web.dashboard.filters import View, view_of
from gateway.web.dashboard.month import Month, PastHours, read_month
from gateway.web.dashboard.spend import (
    Spend,
    bars_of,
    certainty_of,
    chart_of,
    figures,
    named_refusals,
    read_spend,
    tag_names,
    with_choices,
)

BUDGETS_MAX = 6
_PAST = "faregate.dashboard.past_hours"
_LISTS = {"team": "Top teams", "client": "Top clients", "key": "Top keys", "model": "Top models"}

blueprint = shell.pages("overview")


@dataclass(frozen=True, slots=True)
class Overview:
    """What the rollups say of it."""

    view: View
    spend: Spend
    month: Month
    began: bool
    """Whether anything was ever recorded that the viewer may see."""


@blueprint.get("/")
def show() -> Response:
    """The overview of what the viewer sees; a client's is its own page."""
    viewer = principals.principal()
    if viewer.role is Role.CLIENT:
        return redirect("/me", 303)
    now = datetime.now(UTC)
    query = request.args.to_dict(flat=False)
    found = on_sql_thread(read_overview, services().engine, query, viewer, past(), now)
    view, spend = found.view, found.spend
    return shell.render(
        "overview.html",
        viewer,
        title="Overview",
        live=shell.LIVE_SECONDS,
        view=view,
        spend=spend,
        month=found.month,
        began=found.began,
        now=now,
        chart=chart_of(view, spend),
        figures=figures(spend),
        budgets=budget_lines(viewer, now, limit=BUDGETS_MAX),
        tops=[
            (_LISTS[by], bars_of(view, by, groups, spend.now), by)
            for by, groups in spend.tops.items()
        ],
        certainty=certainty_of(spend.now),
        refusals=named_refusals(spend.refusals),
        latencies=charts.latencies("Requests by duration", spend.latency),
    )


def read_overview(
    engine: Engine,
    query: Mapping[str, Sequence[str]],
    viewer: Principal,
    past_hours: PastHours,
    now: datetime,
) -> Overview:
    """What ``query`` asks for, as far as ``viewer`` may see it. On the SQL thread."""
    everything = viewer.sees_everything
    first = ("team", "client") if everything else ("client",)
    groups = (*first, "key", "model", "endpoint", "tier")
    view = view_of("/", query, now, groups=groups, tags=tag_names(engine))
    view = with_choices(engine, view, viewer, (*first, "model", "endpoint"))
    tops = ("team", "client", "model") if everything else ("client", "key", "model")
    spend = read_spend(engine, view, viewer, tops)
    month = read_month(engine, view.selection(viewer), past_hours, now)
    began = bool(spend.now.requests or month.spent_nano or month.before_nano or view.filters)
    return Overview(view, spend, month, began)


def past() -> PastHours:
    """What was spent by the hour, as this process knows it."""
    return cast(PastHours, current_app.extensions.setdefault(_PAST, PastHours()))
