"""What was spent on what: the figures, lists and charts that several pages share.

``read_spend`` asks the rollups, on a thread; the rest turns sums into what templates show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine, select

from gateway.adapters import reports
from gateway.adapters.control_tables import tag_keys
from gateway.core.latency import quantile_ms
from gateway.core.reports import Group, Point, Refusals, Sums
from gateway.core.roles import Principal
from gateway.web.dashboard import charts, formats
from gateway.web.dashboard.filters import Choice, View

TOP = 6
"""Rows of a list that leads to a page with all of them."""

OPTIONS_MAX = 200
"""Entries that a filter offers: the dearest."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What the rollups say of a view, and of the same time before."""

    now: Sums
    before: Sums | None
    groups: tuple[Group, ...]
    """By what the view is grouped by."""
    points: tuple[Point, ...]
    points_before: tuple[Point, ...]
    tops: Mapping[str, tuple[Group, ...]]
    latency: Mapping[int, int]
    latency_before: Mapping[int, int]
    refusals: tuple[Refusals, ...]
    refusals_before: tuple[Refusals, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """What the macro ``ui.stat`` shows."""

    label: str
    value: str
    change: formats.Change | None = None
    better: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the macro ``ui.bars``."""

    name: str
    path: str | None
    nano: int
    permille: int
    share: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar that is split: where it begins and how long it is, in permille."""

    name: str
    swatch: str
    start: int
    permille: int
    share: str
    nano: int


def read_spend(engine: Engine, view: View, viewer: Principal, tops: Sequence[str] = ()) -> Spend:
    """Everything that a page of ``view`` shows. ``tops`` are further groupings."""
    now = view.selection(viewer)
    step = "day" if view.by_day else "hour"
    earlier = view.selection(viewer, view.range.previous) if view.compare else None
    return Spend(
        now=reports.totals(engine, now),
        before=None if earlier is None else reports.totals(engine, earlier),
        groups=tuple(reports.grouped(engine, now, view.group)),
        points=tuple(reports.series(engine, now, step, view.group)),
        points_before=() if earlier is None else tuple(reports.series(engine, earlier, step)),
        tops={by: tuple(reports.grouped(engine, now, by)) for by in tops},
        latency=reports.latency(engine, now),
        latency_before={} if earlier is None else reports.latency(engine, earlier),
        refusals=tuple(reports.refusals(engine, now)),
        refusals_before=() if earlier is None else tuple(reports.refusals(engine, earlier)),
    )


def tag_names(engine: Engine) -> list[str]:
    """The tags that requests may carry."""
    with engine.connect() as connection:
        return list(connection.execute(select(tag_keys.c.name).order_by(tag_keys.c.name)).scalars())


def with_choices(engine: Engine, view: View, viewer: Principal, names: Sequence[str]) -> View:
    """``view`` with what its filters offer: what was used in its range, and what is chosen."""
    every = replace(view, filters={}).selection(viewer)
    called: dict[str, dict[str, str]] = {}
    choices = []
    for name in dict.fromkeys((*names, *(set(view.filters) - {"tag"}))):
        groups = reports.grouped(engine, every, name, OPTIONS_MAX)
        called[name] = {group.key: group.name for group in groups}
        if name in names:
            chosen = view.filters.get(name, ("",))[0]
            options = dict(called[name])
            options.setdefault(chosen, chosen)
            options.pop("", None)
            ordered = sorted(options.items(), key=lambda option: option[1].lower())
            label = view_label(name)
            choices.append(Choice(name, label, chosen, tuple(ordered)))
    return replace(view, choices=tuple(choices), names=called)


def view_label(name: str) -> str:
    """A filter in words."""
    return {"tier": "Service tier"}.get(name, name.capitalize())


# What is shown


def chart_of(view: View, spend: Spend) -> charts.Chart:
    """Spend over time, stacked by what is grouped by."""
    return charts.over_time(
        f"Spend by {view.group_label.lower()}",
        view.range,
        view.by_day,
        spend.points,
        before=spend.points_before,
    )


def figures(spend: Spend) -> list[Figure]:
    """The strip of figures under the chart."""
    now, before = spend.now, spend.before
    refused = sum(one.requests for one in spend.refusals)
    refused_before = sum(one.requests for one in spend.refusals_before)
    p50, p95 = (quantile_ms(spend.latency, quantile) for quantile in (0.5, 0.95))
    p95_before = quantile_ms(spend.latency_before, 0.95)
    tokens = now.input_tokens + now.output_tokens
    return [
        Figure(
            "Requests",
            formats.short(now.requests),
            formats.change(now.requests, before.requests if before else None),
        ),
        Figure(
            "Per 1,000 requests",
            formats.usd(now.nano_per_thousand_requests) if now.requests else formats.DASH,
            formats.change(
                now.nano_per_thousand_requests,
                before.nano_per_thousand_requests if before else None,
            ),
            "down",
        ),
        Figure(
            "Tokens",
            formats.short(tokens),
            note=f"{formats.short(now.output_tokens)} out" if tokens else None,
        ),
        Figure(
            "Saved by caching",
            formats.usd(now.cache_saved_nano),
            note=f"{formats.percent(now.cached_input_tokens, now.input_tokens)} of input",
        ),
        Figure(
            "Refused",
            formats.short(refused),
            formats.change(refused, refused_before or None),
            "down",
            None if refused else "none",
        ),
        Figure(
            "Failed",
            formats.percent(now.failures, now.requests),
            formats.change(now.failures, before.failures if before else None),
            "down",
            formats.counted(now.failures, "request") if now.failures else None,
        ),
        Figure(
            "Latency p95",
            formats.duration(p95),
            formats.change(p95, p95_before) if p95 is not None else None,
            "down",
            f"p50 {formats.duration(p50)}",
        ),
    ]


def bars_of(
    view: View, by: str, groups: Sequence[Group], total: Sums, limit: int = TOP
) -> list[Bar]:
    """The dearest groups, with bars as long as they are dear."""
    longest = max((group.sums.cost_nano for group in groups), default=0)
    grouped_by = replace(view, group=by)
    return [
        Bar(
            group.name or "No value",
            grouped_by.group_link(group.key),
            group.sums.cost_nano,
            formats.permille(group.sums.cost_nano, longest),
            formats.percent(group.sums.cost_nano, total.cost_nano),
        )
        for group in groups[:limit]
    ]


def quantiles(latency: Mapping[int, int]) -> list[tuple[str, str]]:
    """What half, most and nearly all requests stayed within, as (name, duration)."""
    wanted = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
    return [(name, formats.duration(quantile_ms(latency, share))) for name, share in wanted]


CERTAINTIES = (
    ("Exact", "exact_nano", "2"),
    ("Estimated", "estimated_nano", "3"),
    ("Unknown", "unknown_nano", "5"),
    ("Adjusted", "adjusted_nano", "4"),
)


def certainty_of(sums: Sums) -> list[Part]:
    """How certain the costs are: parts of a bar, where adjustments count by their size."""
    sizes = [abs(getattr(sums, field)) for _, field, _ in CERTAINTIES]
    whole = sum(sizes)
    parts, start = [], 0
    for (name, field, swatch), size in zip(CERTAINTIES, sizes, strict=True):
        nano = getattr(sums, field)
        if name == "Adjusted" and not nano:
            continue
        length = formats.permille(size, whole)
        parts.append(Part(name, swatch, start, length, formats.percent(size, whole), nano))
        start += length
    return parts


REFUSAL_NAMES = {
    "insufficient_quota": "Over a budget",
    "rate_limit_exceeded": "Over a rate limit",
    "model_not_allowed": "Model not allowed",
    "model_not_priced": "Model without a price",
    "model_not_found": "Unknown model",
}


def named_refusals(found: Sequence[Refusals]) -> list[tuple[str, str, int]]:
    """Refusals as (words, code, requests)."""
    return [
        (REFUSAL_NAMES.get(one.key, one.key.replace("_", " ").capitalize()), one.key, one.requests)
        for one in found
    ]
