"""What pages about spend have in common: a view, its sums, this month. For everything, a team, a
client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from flask import current_app
from sqlalchemy import Engine

from gateway.core.roles import Principal
from gateway.web.dashboard import charts, shell
from gateway.web.dashboard.filters import View, view_of
from gateway.web.dashboard.month import Month, PastHours, month_chart, read_month
from gateway.web.dashboard.spend import (
    Spend,
    bars_of,
    certainty_of,
    chart_of,
    figures,
    named_refusals,
    quantiles,
    read_spend,
    tag_names,
    with_choices,
)

_PAST = "faregate.dashboard.past_hours"
_LISTS = {"team": "Top teams", "client": "Top clients", "key": "Top keys", "model": "Top models"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page is about: where it is, and what it may be grouped and filtered by."""

    path: str
    groups: tuple[str, ...]
    """The first is what is grouped by where the query says nothing."""
    choices: tuple[str, ...]
    """Filters that are offered; none to a live update, which has no filters."""
    tops: tuple[str, ...]
    fixed: Mapping[str, str]
    """Filters that belong to the page."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the rollups say of a scope."""

    view: View
    spend: Spend
    month: Month
    began: bool
    """Whether anything was recorded in this range, this month or the last, or is filtered for."""


def everything(viewer: Principal) -> Scope:
    """All that ``viewer`` sees."""
    first = ("team", "client") if viewer.sees_everything else ("client",)
    tops = ("team", "client", "model") if viewer.sees_everything else ("client", "key", "model")
    groups = (*first, "key", "model", "endpoint", "tier")
    return Scope("/", groups, (*first, "model", "endpoint"), tops, {})


def team_scope(path: str, team_id: int) -> Scope:
    """One team."""
    groups = ("client", "key", "model", "endpoint", "tier")
    choices = ("client", "model", "endpoint")
    return Scope(path, groups, choices, ("client", "model", "key"), {"team": str(team_id)})


def client_scope(path: str, client_id: int) -> Scope:
    """One client."""
    groups = ("model", "key", "endpoint", "tier")
    return Scope(path, groups, ("model", "endpoint"), ("model", "key"), {"client": str(client_id)})


def for_request(scope: Scope) -> Scope:
    """``scope`` as the current request needs it: a live update shows no filters to choose from."""
    return replace(scope, choices=()) if shell.is_update() else scope


def read(
    engine: Engine,
    scope: Scope,
    query: Mapping[str, Sequence[str]],
    viewer: Principal,
    past_hours: PastHours,
    now: datetime,
) -> Report:
    """What ``query`` asks of ``scope``, as far as ``viewer`` may see it. Asks the database."""
    tags = tag_names(engine)
    view = view_of(scope.path, query, now, groups=scope.groups, tags=tags, fixed=scope.fixed)
    if scope.choices:
        view = with_choices(engine, view, viewer, scope.choices)
    spend = read_spend(engine, view, viewer, scope.tops)
    month = read_month(engine, view.selection(viewer), past_hours, now)
    began = bool(spend.now.requests or month.spent_nano or month.before_nano or view.filters)
    return Report(view, spend, month, began)


def shown(report: Report, now: datetime) -> dict[str, Any]:
    """What templates show of a report. On a thread too: a thousand keys are charts of a tenth of a
    second. Knows nothing of the current HTTP request."""
    view, spend = report.view, report.spend
    return {
        "view": view,
        "spend": spend,
        "month": report.month,
        "month_chart": month_chart(report.month),
        "began": report.began,
        "now": now,
        "chart": chart_of(view, spend),
        "figures": figures(spend),
        "tops": [
            (_LISTS[by], bars_of(view, by, groups, spend.now), by)
            for by, groups in spend.tops.items()
        ],
        "certainty": certainty_of(spend.now),
        "refusals": named_refusals(spend.refusals),
        "latencies": charts.latencies("Requests by duration", spend.latency),
        "quantiles": quantiles(spend.latency),
    }


def past() -> PastHours:
    """What was spent by the hour, as this process knows it."""
    return cast(PastHours, current_app.extensions.setdefault(_PAST, PastHours()))
