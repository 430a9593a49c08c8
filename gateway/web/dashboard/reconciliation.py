"""Reconciliation: what the provider bills beside what is recorded, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, request
from sqlalchemy import Engine, Row

from gateway.adapters.adjustments import Source, adjustments_of
from gateway.adapters.reconciliation_rows import (
    ReconciliationError,
    State,
    approve_reconciliation,
    dismiss,
    find,
    lines_of,
    listed,
)
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import NotFound
from gateway.core.reconciling import Cause
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("reconciliation")

PATH = "/reconciliation"
CRUMB = shell.Crumb("Reconciliation", PATH)
CAUSES = {
    Cause.ROUNDING: "Rounding",
    Cause.MISSING: "Missing usage",
    Cause.TIMING: "Another day",
    Cause.PRICE: "Another price",
    Cause.CACHED_TOKENS: "Cached tokens",
    Cause.ESTIMATE: "Estimates",
    Cause.ADJUSTED: "Adjusted before",
    Cause.UNEXPLAINED: "Unexplained",
}
TONES = {State.OPEN: "warn", State.AGREED: "good", State.APPROVED: "good", State.DISMISSED: ""}
_ROWS = 200

COLUMNS = (
    Column("id", Kind.COUNT),
    Column("since", Kind.MOMENT),
    Column("until", Kind.MOMENT),
    Column("provider"),
    Column("state"),
    Column("recorded", Kind.MONEY),
    Column("billed", Kind.MONEY),
    Column("created_at", Kind.MOMENT),
    Column("created_by"),
    Column("decided_at", Kind.MOMENT),
    Column("decided_by"),
)
LINE_COLUMNS = (
    Column("day", Kind.MOMENT),
    Column("model"),
    Column("line_item"),
    Column("recorded", Kind.MONEY),
    Column("billed", Kind.MONEY),
    Column("recorded_quantity", Kind.COUNT),
    Column("billed_quantity", Kind.COUNT),
    Column("cause"),
    Column("cause_amount", Kind.MONEY),
    Column("explanation"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the bill that differs, with its causes."""

    first: Row[Any]
    parts: Sequence[Row[Any]]


@blueprint.get(PATH)
def every() -> Response:
    """The comparisons that were made, newest first."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    rows = on_control_thread(listed, services().engine, _ROWS)
    if kind := exports.wanted():
        cells = [_cells(row) for row in rows]
        return exports.as_file(kind, "reconciliations", COLUMNS, exports.one_batch(cells))
    return shell.render(
        "reconciliations.html",
        viewer,
        title="Reconciliation",
        rows=[(row, days(row), TONES[State(row.state)]) for row in rows],
        open_count=sum(row.state == State.OPEN for row in rows),
    )


@blueprint.get(f"{PATH}/<int:reconciliation_id>")
def one(reconciliation_id: int) -> Response:
    """One comparison: every difference with its causes, and what can be decided."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    row, lines = _read(reconciliation_id)
    if kind := exports.wanted():
        cells = [_line_cells(line) for line in lines]
        name = f"reconciliation-{reconciliation_id}"
        return exports.as_file(kind, name, LINE_COLUMNS, exports.one_batch(cells))
    return _page(viewer, row, lines, Form())


@blueprint.post(f"{PATH}/<int:reconciliation_id>")
def decide(reconciliation_id: int) -> Response:
    """Post the differences as adjustments, or decide against that."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    engine, form = services().engine, Form.sent()
    row, lines = _read(reconciliation_id)
    approving = form.values.get("decision") == "approve"
    try:
        if approving:
            posted = on_control_thread(approve_reconciliation, engine, reconciliation_id, viewer)
            said = f"{posted:,} adjustments are posted: what is recorded equals the bill."
        else:
            on_control_thread(dismiss, engine, reconciliation_id, viewer)
            said = "Dismissed: nothing is posted."
    except ReconciliationError as error:
        form.fail("", str(error))
        return _page(viewer, row, lines, form)
    return forms.done(request.path, said)


def _read(reconciliation_id: int) -> tuple[Row[Any], Sequence[Row[Any]]]:
    def read(engine: Engine) -> tuple[Row[Any], Sequence[Row[Any]]]:
        with engine.connect() as connection:
            return find(connection, reconciliation_id), lines_of(connection, reconciliation_id)

    try:
        return on_control_thread(read, services().engine)
    except ReconciliationError as error:
        raise NotFound(f"There is no reconciliation {reconciliation_id}.") from error


def _page(viewer: Principal, row: Row[Any], lines: Sequence[Row[Any]], form: Form) -> Response:
    posted = on_control_thread(adjustments_of, services().engine, Source.RECONCILIATION, row.id)
    causes: dict[str, int] = {}
    for line in lines:
        causes[line.cause] = causes.get(line.cause, 0) + line.cause_nano
    return forms.render(
        "reconciliation.html",
        viewer,
        form,
        title=days(row),
        crumbs=[CRUMB],
        row=row,
        tone=TONES[State(row.state)],
        differences=_differences(lines),
        causes=sorted(
            ((CAUSES[Cause(cause)], nano) for cause, nano in causes.items()),
            key=lambda item: -abs(item[1]),
        ),
        labels={cause.value: label for cause, label in CAUSES.items()},
        posted=len(posted),
        posted_nano=sum(int(item.cost_nano) for item in posted),
        may_decide=viewer.may_decide and row.state == State.OPEN,
    )


def _differences(lines: Sequence[Row[Any]]) -> list[Difference]:
    """Lines by day, model and line item, the largest difference first."""
    found: dict[tuple[Any, ...], list[Row[Any]]] = {}
    for line in lines:
        found.setdefault((line.day, line.model, line.line_item), []).append(line)
    every = [Difference(parts[0], parts) for parts in found.values()]
    return sorted(every, key=lambda one: -abs(one.first.theirs_nano - one.first.ours_nano))


def days(row: Row[Any]) -> str:
    """The days of a comparison in words."""
    last = row.until - timedelta(days=1)
    if last <= row.since:
        return f"{row.since:%Y-%m-%d}"
    return f"{row.since:%Y-%m-%d} to {last:%Y-%m-%d}"


def _cells(row: Row[Any]) -> Sequence[Any]:
    return (
        row.id,
        row.since,
        row.until,
        row.provider,
        row.state,
        row.ours_nano,
        row.theirs_nano,
        row.created_at,
        row.created_by,
        row.decided_at,
        row.decided_by,
    )


def _line_cells(line: Row[Any]) -> Sequence[Any]:
    return (
        line.day,
        line.model,
        line.line_item,
        line.ours_nano,
        line.theirs_nano,
        line.ours_quantity,
        line.theirs_quantity,
        line.cause,
        line.cause_nano,
        line.explanation,
    )
