"""The requests explorer, and the page of one request: how its cost was computed, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, request
from sqlalchemy import Engine, Row

from gateway.adapters.explained_requests import ExplainedRecord, ExplainedRequest, explained
from gateway.adapters.request_rows import Filters, models_used, names_within, page, pages
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_report_thread
from gateway.core.budgets import WindowKind, window_at
from gateway.core.errors import NotFound
from gateway.core.explanations import (
    REASONS,
    WHY,
    ChargedWindow,
    amount_text,
    count_text,
    rate_text,
    used,
)
from gateway.core.money import display_usd
from gateway.core.prices import sum_lines
from gateway.core.roles import Principal
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, shell
from gateway.web.dashboard.formats import duration
from gateway.web.dashboard.request_query import (
    PATH,
    PRESETS,
    STATUS_LABELS,
    Asked,
    asked,
)

blueprint = shell.pages("requests")

ROWS = 50
TAIL_SECONDS = 2

_COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "trained_tokens",
    "web_search_calls",
    "duration_ms",
)

COLUMNS = (
    Column("request_id"),
    Column("kind"),
    Column("held_at", Kind.MOMENT),
    Column("recorded_at", Kind.MOMENT),
    Column("team"),
    Column("client"),
    Column("key_id", Kind.COUNT),
    Column("endpoint"),
    Column("model"),
    Column("service_tier"),
    Column("streamed", Kind.FLAG),
    Column("status", Kind.COUNT),
    Column("outcome"),
    Column("certainty"),
    Column("reason"),
    Column("upstream_id"),
    Column("tags"),
    *(Column(name, Kind.COUNT) for name in _COUNTS),
    Column("price_id", Kind.COUNT),
    Column("cost", Kind.MONEY),
    Column("hold", Kind.MONEY),
    Column("cache_saved", Kind.MONEY),
)
"""The columns of an export: all of a record but its bill, which is on the page of the request."""


@blueprint.get(PATH)
def explorer() -> Response:
    """Requests, newest first, by what the query asks for."""
    viewer = principals.principal()
    engine = services().engine
    wanted = on_report_thread(asked, engine, viewer, request.args, datetime.now(UTC))
    if kind := exports.wanted():
        return exports.as_file(kind, "requests", COLUMNS, _batches(engine, wanted.filters))
    return shell.render(
        "requests.html",
        viewer,
        title="Requests",
        live=TAIL_SECONDS if wanted.tailing else None,
        asked=wanted,
        presets=PRESETS,
        status_labels=STATUS_LABELS,
        **on_report_thread(_shown, engine, viewer, wanted),
    )


@blueprint.get(f"{PATH}/<request_id>")
def one(request_id: str) -> Response:
    """How one request was charged."""
    viewer = principals.principal()
    found = on_report_thread(explained, services().engine, request_id)
    if found is None or not viewer.sees_client(found.first.team_id, found.first.client_id):
        raise NotFound(f"There is no record of a request {request_id[:80]}.")
    first = found.first
    return shell.render(
        "request.html",
        viewer,
        title=request_id,
        crumbs=[shell.Crumb("Requests", PATH)],
        found=found,
        first=first,
        bills=[_bill(record) for record in found.records],
        why=WHY.get(found.last.row.certainty, ""),
        reason=REASONS.get(first.reason or "", first.reason),
        used=used(found.last.row),
        timeline=_timeline(found),
        paid=[
            (paid, _window_text(paid.window_kind, paid.time_zone, paid.window))
            for paid in found.records[0].paid_by
        ],
        may_see_budgets=viewer.may_write or viewer.sees_everything,
    )


def _shown(engine: Engine, viewer: Principal, wanted: Asked) -> dict[str, Any]:
    filters = wanted.filters
    found = page(engine, filters, after=wanted.after, limit=ROWS)
    at_start = wanted.after is None
    return {
        "rows": found.rows,
        "looked_back_to": found.looked_back_to,
        "page": shell.Page(
            _position(len(found.rows), at_start, found.after is not None),
            None if at_start else wanted.path(),
            None if found.after is None else wanted.path(after=str(found.after), live=None),
        ),
        "teams": names_within(engine, "team", viewer.team_scope()),
        "clients": names_within(
            engine, "client", viewer.team_scope() or filters.team_id, viewer.client_scope()
        ),
        "models": models_used(
            engine, filters.since, filters.until, viewer.team_scope(), viewer.client_scope()
        ),
    }


def _position(count: int, at_start: bool, more: bool) -> str:
    if not count:
        return "Nothing on this page"
    what = "1 record" if count == 1 else f"{count} records"
    if at_start:
        return f"The newest {what}" if more else f"All {what}" if count > 1 else what.capitalize()
    return f"{what}, newest first"


def _batches(engine: Engine, filters: Filters) -> Iterator[list[Sequence[Any]]]:
    for rows in pages(engine, filters):
        yield [_cells(row) for row in rows]


def _cells(row: Row[Any]) -> Sequence[Any]:
    return (
        row.request_id,
        row.kind,
        row.held_at,
        row.recorded_at,
        row.team_name,
        row.client_name,
        row.key_id,
        row.endpoint,
        row.model,
        row.service_tier,
        row.streamed,
        row.status,
        row.outcome,
        row.certainty,
        row.reason,
        row.upstream_id,
        row.tags,
        *(getattr(row, name) for name in _COUNTS),
        row.price_id,
        row.cost_nano,
        row.hold_nano,
        row.cache_saved_nano,
    )


# One request


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one record as its page shows them."""

    record: ExplainedRecord
    title: str
    lines: Sequence[tuple[str, str, str, str]]
    exact: str
    """The sum of the lines before it was rounded; empty where nothing was rounded."""

    @property
    def held_only(self) -> bool:
        """Whether there are no lines because the whole hold was charged."""
        return not self.lines and self.record.charged_nano > 0


def _bill(record: ExplainedRecord) -> Bill:
    kind = record.row.kind
    lines = [
        (
            line.meter.value.replace("_", " "),
            count_text(line),
            rate_text(line.meter, line.nano, line.per),
            amount_text(line),
        )
        for line in record.lines
    ]
    exact = display_usd(sum_lines(record.lines)) if record.rounding else ""
    title = "How the cost was computed" if kind == "request" else "How it was corrected"
    return Bill(record, title, lines, exact)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a request."""

    at: datetime
    title: str
    text: str
    exact: bool = True
    """Whether ``at`` is known; else it follows from a duration."""


def _timeline(found: ExplainedRequest) -> list[Step]:
    first = found.first
    held = f"{display_usd(first.hold_nano)} were set aside for the most that it could cost."
    steps = [Step(first.held_at, "Held", held)]
    if first.duration_ms is not None:
        after = first.held_at + timedelta(milliseconds=first.duration_ms)
        text = f"Status {first.status}, {duration(first.duration_ms)} after the request came."
        steps.append(Step(after, "Answered", text, exact=False))
    for record in found.records:
        row = record.row
        amount = display_usd(record.charged_nano)
        if row.kind == "request":
            steps.append(Step(row.recorded_at, row.outcome.capitalize(), f"Charged {amount}."))
        else:
            way = "Lowered" if row.cost_nano < 0 else "Raised"
            text = f"{way} by {display_usd(abs(row.cost_nano))} to {amount}."
            steps.append(Step(row.recorded_at, "Corrected", text))
    for item in found.adjustments:
        text = f"By {display_usd(item.cost_nano)}: {item.note or item.reason}."
        steps.append(Step(item.posted_at, f"Adjusted by {item.source}", text))
    return sorted(steps, key=lambda step: step.at)


def _window_text(kind: str, time_zone: str, window: ChargedWindow) -> str:
    """The window in words."""
    if not kind or kind == WindowKind.TOTAL:
        return "since its creation" if kind else f"from {window.start:%Y-%m-%d %H:%M}"
    start_ms = int(window.start.timestamp() * 1000)
    until = window_at(WindowKind(kind), time_zone, start_ms).end_ms / 1000
    end = datetime.fromtimestamp(until, tz=UTC)
    return f"{kind}, {window.start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
