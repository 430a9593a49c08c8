"""What the requests explorer is asked for: the query of its address as filters, and back.

Everything is in the address, so that a list can be shared as it is seen. What cannot be understood
filters nothing and is said at its field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.request_rows import STATUSES, Cursor, Filters, id_by_name, is_recorded
from gateway.core.money import InvalidAmount, nano_from_usd
from gateway.core.roles import Principal
from gateway.core.tags import pair_of
from gateway.core.usage import Certainty
from gateway.web.dashboard import ranges
from gateway.web.dashboard.shell import path_with

PATH = "/requests"

PRESETS = {
    "1h": ("1 hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
DEFAULT_RANGE = "24h"

FIELDS = (
    "id",
    "team",
    "client",
    "key",
    "model",
    "endpoint",
    "status",
    "certainty",
    "tag",
    "min_cost",
)
"""The filters in the order that they are shown in."""

LABELS = {
    "id": "Id",
    "team": "Team",
    "client": "Client",
    "key": "Key",
    "model": "Model",
    "endpoint": "Endpoint",
    "status": "Status",
    "certainty": "Certainty",
    "tag": "Tag",
    "min_cost": "Cost from $",
}
STATUS_LABELS = {
    "ok": "Answered",
    "failed": "Failed",
    "4xx": "Refused by the provider (4xx)",
    "5xx": "Failed at the provider (5xx)",
}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force, and the address without it."""

    label: str
    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. ``values`` are the texts of the form, ``errors`` say what is wrong."""

    filters: Filters
    range: str
    values: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    after: Cursor | None = None
    tailing: bool = False

    def path(self, **changes: str | None) -> str:
        """The same list with other values of the query, from its newest record on."""
        kept = {**self.values, "live": "1" if self.tailing else "", **changes}
        return path_with(PATH, {name: [value or ""] for name, value in kept.items()})

    @property
    def chips(self) -> Sequence[Chip]:
        """The filters in force."""
        return [
            Chip(LABELS[name], self.values[name], self.path(**{name: None}))
            for name in FIELDS
            if self.values.get(name)
        ]

    @property
    def range_text(self) -> str:
        """The range of time in words."""
        if self.range in PRESETS:
            return f"Last {PRESETS[self.range][0]}"
        if self.range in ranges.PRESETS:
            return ranges.PRESETS[self.range]
        since, until = self.filters.since, self.filters.until
        return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"


def asked(engine: Engine, viewer: Principal, query: Mapping[str, str], now: datetime) -> Asked:
    """The filters of a query, within what ``viewer`` may see. Asks the database for names."""
    values = {name: query.get(name, "").strip() for name in FIELDS}
    errors: dict[str, str] = {}
    wanted, since, until = _range(query, now, errors)
    filters = Filters(
        since,
        until,
        scope_team_id=viewer.team_scope(),
        scope_client_id=viewer.client_scope(),
    )
    plain: dict[str, Any] = {name: values[name] for name in ("model", "endpoint") if values[name]}
    filters = replace(filters, **plain)
    filters = _named(engine, filters, values, errors)
    filters = _chosen(filters, values, errors)
    if values["id"]:
        # Ours or the provider's: those of the gateway are found by the primary key.
        if is_recorded(engine, values["id"]):
            filters = replace(filters, request_id=values["id"])
        else:
            filters = replace(filters, upstream_id=values["id"])
    after: Cursor | None = None
    if query.get("after"):
        try:
            after = Cursor.parse(query["after"])
        except ValueError:
            errors["after"] = "This is no place in the list: it begins with the newest."
    if wanted == "custom":
        values |= {"from": f"{since:%Y-%m-%dT%H:%M}", "to": f"{until:%Y-%m-%dT%H:%M}"}
    elif wanted != DEFAULT_RANGE:
        values["range"] = wanted
    tailing = query.get("live") == "1" and after is None
    return Asked(filters, wanted, values, errors, after, tailing)


def _range(
    query: Mapping[str, str], now: datetime, errors: dict[str, str]
) -> tuple[str, datetime, datetime]:
    """The range: a preset up to now, or two moments of which the second may be a day (whole)."""
    ahead = now + timedelta(minutes=5)
    wanted = query.get("range", "")
    if query.get("from") and query.get("to") and wanted not in PRESETS:
        try:
            since, until = _moment(query["from"]), _moment(query["to"])
            if len(query["to"]) == len("2026-05-31"):
                until += timedelta(days=1)
            if since >= until:
                raise ValueError("nothing lies between")
            return "custom", since, until
        except (ValueError, OverflowError):
            errors["from"] = "From and to are moments such as 2026-05-31T13:00, the earlier first."
    if wanted in PRESETS:
        return wanted, now - PRESETS[wanted][1], ahead
    if wanted in ranges.PRESETS:
        # As the other pages call it, which link to this one.
        found = ranges.range_of({"range": wanted}, now)
        return wanted, found.since, found.until
    return DEFAULT_RANGE, now - PRESETS[DEFAULT_RANGE][1], ahead


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _named(
    engine: Engine, filters: Filters, values: dict[str, str], errors: dict[str, str]
) -> Filters:
    """Team, client and key by id or name. What does not exist finds nothing, and says so."""
    ids: dict[str, Any] = {}
    for name in ("team", "client", "key"):
        text = values[name]
        if not text:
            continue
        scope = filters.scope_team_id, filters.scope_client_id
        found = id_by_name(engine, name, text, *scope)
        if found is None:
            errors[name] = f"There is no {name} {text[:100]}."
        elif name != "key":
            values[name] = found[1]
        ids[f"{name}_id"] = 0 if found is None else found[0]
    return replace(filters, **ids)


def _chosen(filters: Filters, values: dict[str, str], errors: dict[str, str]) -> Filters:
    changes: dict[str, Any] = {}
    for name, known in (("status", STATUSES), ("certainty", [item.value for item in Certainty])):
        if values[name] in known:
            changes[name] = values[name]
        elif values[name]:
            errors[name] = f"Choose one of {', '.join(known)}."
            values[name] = ""
    if values["tag"]:
        try:
            changes["tag"] = pair_of(values["tag"])
        except ValueError:
            errors["tag"] = "Write name=value, such as project=apollo."
    if values["min_cost"]:
        try:
            changes["cost_at_least_nano"] = nano_from_usd(values["min_cost"].lstrip("$"))
        except InvalidAmount:
            errors["min_cost"] = "Write dollars, such as 0.05."
    return replace(filters, **changes)
