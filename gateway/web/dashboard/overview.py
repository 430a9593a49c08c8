"""The overview: what everything costs, and where it goes."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import redirect, request
from werkzeug.wrappers import Response

from gateway.adapters.threads import on_report_thread
from gateway.core.roles import Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, scopes, shell
from gateway.web.dashboard.budget_lines import budget_lines
from gateway.web.dashboard.spend_files import spend_file

BUDGETS_MAX = 6

blueprint = shell.pages("overview")


@blueprint.get("/")
def show() -> Response:
    """The overview of what the viewer sees; a client's is its own page."""
    viewer = principals.principal()
    if viewer.role is Role.CLIENT:
        return redirect("/me", 303)
    now = datetime.now(UTC)
    query = request.args.to_dict(flat=False)
    report = on_report_thread(
        scopes.read,
        services().engine,
        scopes.for_request(scopes.everything(viewer)),
        query,
        viewer,
        scopes.past(),
        now,
    )
    if kind := exports.wanted():
        return spend_file(kind, "spend", report.view, report.spend)
    return shell.render(
        "overview.html",
        viewer,
        title="Overview",
        live=shell.LIVE_SECONDS,
        budgets=budget_lines(viewer, now, limit=BUDGETS_MAX),
        **on_report_thread(scopes.shown, report, now),
    )
