"""Teams: what each costs, and one team with its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import redirect, request
from sqlalchemy import Engine
from werkzeug.wrappers import Response

from gateway.adapters import reports
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import NotThere
from gateway.adapters.threads import on_control_thread, on_report_thread
from gateway.core.errors import NotFound
from gateway.core.reports import Group, Sums
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, formats, scopes, shell
from gateway.web.dashboard.budget_lines import BudgetLine, budget_lines
from gateway.web.dashboard.filters import View, view_of
from gateway.web.dashboard.spend import Spend, chart_of, read_spend, tag_names
from gateway.web.dashboard.spend_files import spend_file

blueprint = shell.pages("teams")


@dataclass(frozen=True, slots=True)
class SpenderLine:
    """A team or a client in a table of them."""

    id: int
    name: str
    path: str
    sums: Sums
    change: formats.Change | None
    share: str
    detail: str
    """What it consists of."""
    budgets: tuple[BudgetLine, ...]

    @property
    def tightest(self) -> BudgetLine | None:
        """The budget of its own that is most nearly spent."""
        return self.budgets[0] if self.budgets else None


@blueprint.get("/teams")
def every() -> Response:
    """All teams; an owner goes to the one that is theirs."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE, Role.OWNER)
    if not viewer.sees_everything:
        return redirect(f"/teams/{viewer.team_id}", 303)
    now = datetime.now(UTC)
    query = request.args.to_dict(flat=False)
    view, spend, rows, before = on_report_thread(read_teams, services().engine, query, viewer, now)
    if kind := exports.wanted():
        return spend_file(kind, "teams", view, spend)
    budgets = budget_lines(viewer, now).lines
    return shell.render(
        "teams.html",
        viewer,
        title="Teams",
        live=shell.LIVE_SECONDS,
        view=view,
        spend=spend,
        chart=chart_of(view, spend),
        lines=team_lines(rows, spend, before, budgets),
        now=now,
    )


@blueprint.get("/teams/<int:team_id>")
def show(team_id: int) -> Response:
    """One team."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE, Role.OWNER)
    if not viewer.sees_team(team_id):
        raise NotFound("There is no such team, or it is not yours to see.")
    now = datetime.now(UTC)
    engine, query = services().engine, request.args.to_dict(flat=False)
    team, clients = on_control_thread(_team_and_clients, engine, team_id)
    scope = scopes.for_request(scopes.team_scope(f"/teams/{team_id}", team_id))
    report = on_report_thread(scopes.read, engine, scope, query, viewer, scopes.past(), now)
    if kind := exports.wanted():
        return spend_file(kind, f"team-{team_id}", report.view, report.spend)
    before = on_report_thread(_before, engine, report.view, viewer, "client")
    budgets = budget_lines(viewer, now, team_id=team_id)
    values = on_report_thread(scopes.shown, report, now)
    values["tops"] = [top for top in values["tops"] if top[2] != "client"]
    return shell.render(
        "team.html",
        viewer,
        title=team.name,
        crumbs=[shell.Crumb("Teams", "/teams")] if viewer.sees_everything else [],
        live=shell.LIVE_SECONDS,
        team=team,
        may_change=viewer.may_change_client(team_id),
        clients=client_lines(clients, report.spend, before, budgets.lines),
        budgets=budgets,
        **values,
    )


def read_teams(
    engine: Engine, query: Mapping[str, Sequence[str]], viewer: Principal, now: datetime
) -> tuple[View, Spend, list[tuple[Any, int]], dict[str, Sums]]:
    """The view, its sums, every team with the number of its clients, and the sums before."""
    view = view_of("/teams", query, now, groups=("team",), tags=tag_names(engine))
    spend = read_spend(engine, view, viewer, ("team",))
    directory = Directory(engine)
    clients = directory.clients()
    rows = [(team, sum(c.team_id == team.id for c in clients)) for team in directory.teams()]
    return view, spend, rows, _before(engine, view, viewer, "team")


def team_lines(
    rows: Sequence[tuple[Any, int]],
    spend: Spend,
    before: Mapping[str, Sums],
    budgets: Sequence[BudgetLine],
) -> list[SpenderLine]:
    """The lines of the table of teams, dearest first; what was not attributed comes last."""
    sums = {group.key: group.sums for group in spend.tops["team"]}
    lines = [
        _line(
            team,
            "/teams",
            sums,
            before,
            spend.now,
            formats.counted(clients, "client"),
            tuple(one for one in budgets if one.row.team_id == team.id),
        )
        for team, clients in rows
    ]
    return sorted(lines, key=lambda line: (-line.sums.cost_nano, line.name))


def client_lines(
    rows: Sequence[Any],
    spend: Spend,
    before: Mapping[str, Sums],
    budgets: Sequence[BudgetLine],
) -> list[SpenderLine]:
    """The lines of a table of clients, dearest first."""
    sums = {group.key: group.sums for group in spend.tops["client"]}
    lines = [
        _line(
            client,
            "/clients",
            sums,
            before,
            spend.now,
            limits_text(client),
            tuple(one for one in budgets if one.row.client_id == client.id),
        )
        for client in rows
    ]
    return sorted(lines, key=lambda line: (-line.sums.cost_nano, line.name))


def limits_text(client: Any) -> str:
    """The rate limits of a client in a few words."""
    parts = [
        (client.requests_per_minute, "requests a minute"),
        (client.tokens_per_minute, "tokens a minute"),
        (client.concurrent_requests, "at once"),
    ]
    said = [f"{formats.short(value)} {words}" for value, words in parts if value]
    return ", ".join(said) or "no rate limit"


def _line(
    row: Any,
    path: str,
    sums: Mapping[str, Sums],
    before: Mapping[str, Sums],
    total: Sums,
    detail: str,
    budgets: tuple[BudgetLine, ...],
) -> SpenderLine:
    key = str(row.id)
    now, earlier = sums.get(key, Sums()), before.get(key)
    return SpenderLine(
        row.id,
        row.name,
        f"{path}/{row.id}",
        now,
        formats.change(now.cost_nano, earlier.cost_nano) if earlier else None,
        formats.percent(now.cost_nano, total.cost_nano),
        detail,
        budgets,
    )


def _before(engine: Engine, view: View, viewer: Principal, by: str) -> dict[str, Sums]:
    if not view.compare:
        return {}
    earlier = view.selection(viewer, view.range.previous)
    found: list[Group] = reports.grouped(engine, earlier, by)
    return {group.key: group.sums for group in found}


def _team_and_clients(engine: Engine, team_id: int) -> tuple[Any, list[Any]]:
    directory = Directory(engine)
    try:
        team = directory.team(team_id)
    except NotThere as error:
        raise NotFound("There is no such team, or it is not yours to see.") from error
    return team, [client for client in directory.clients() if client.team_id == team_id]
