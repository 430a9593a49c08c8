"""What a page is asked to show: range, grouping, comparison and filters, all in its query.

The same query gives the same page to whoever may see it, so pages can be shared by their address.
What somebody may not see is never added up: ``View.selection`` is bounded by who looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.core.reports import NO_VALUE, Selection
from gateway.core.roles import Principal, Role
from gateway.web.dashboard.ranges import PRESETS, Range, range_of
from gateway.web.dashboard.shell import path_with

GROUPS = {
    "team": "Team",
    "client": "Client",
    "key": "Key",
    "model": "Model",
    "endpoint": "Endpoint",
    "tier": "Service tier",
}
LABELS = {**GROUPS, "tag": "Tag"}
FILTERS = ("team", "client", "key", "model", "endpoint", "tier", "tag")
_ORDER = ("range", "from", "to", "group", "compare", *FILTERS)
_IDS = ("team", "client", "key")
_VALUE_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Preset:
    """An entry of the switch of ranges."""

    label: str
    path: str
    current: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force; ``path`` is the page without it."""

    label: str
    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter to choose from (value, label) pairs."""

    name: str
    label: str
    value: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """What the query of ``path`` asks for; ``filters`` has values by the names of FILTERS."""

    path: str
    range: Range
    group: str
    compare: bool
    filters: Mapping[str, tuple[str, ...]]
    groups: tuple[tuple[str, str], ...]
    choices: tuple[Choice, ...] = ()
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What people call the values of filters."""
    fixed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Filters that belong to the page, and are no part of its query."""

    # Addresses

    def query(self) -> dict[str, list[str]]:
        """The query that asks for this, without what is the default."""
        found: dict[str, list[str]] = {}
        if self.range.name == "custom":
            found |= {"from": [self.range.first_day], "to": [self.range.last_day]}
        elif self.range.name != "30d":
            found["range"] = [self.range.name]
        if self.groups and self.group != self.groups[0][0]:
            found["group"] = [self.group]
        if not self.compare:
            found["compare"] = ["none"]
        return found | {name: list(values) for name, values in self.filters.items() if values}

    def link(self, path: str | None = None, **changes: str | Sequence[str] | None) -> str:
        """``path``, by default this page, with this query and ``changes`` to it; None drops."""
        return self.changed(changes, path)

    def changed(
        self, changes: Mapping[str, str | Sequence[str] | None], path: str | None = None
    ) -> str:
        """As ``link``, for names that are no words of Python."""
        query = self.query()
        for name, value in changes.items():
            values = [value] if isinstance(value, str) else list(value or ())
            query[name] = values
        # In one order, so that one view has one address.
        ordered = {name: query[name] for name in _ORDER if name in query}
        return path_with(self.path if path is None else path, ordered)

    def without(self, *names: str) -> list[tuple[str, str]]:
        """The fields that a form must keep which sets ``names`` itself."""
        query = self.query()
        return [(k, value) for k, values in query.items() if k not in names for value in values]

    @property
    def presets(self) -> list[Preset]:
        """The switch of ranges."""
        return [
            Preset(
                label,
                self.changed({"range": None if name == "30d" else name, "from": None, "to": None}),
                name == self.range.name,
            )
            for name, label in PRESETS.items()
        ]

    @property
    def compare_path(self) -> str:
        """This page with the comparison turned on or off."""
        return self.link(compare="none" if self.compare else None)

    @property
    def chips(self) -> list[Chip]:
        """The filters in force."""
        return [
            Chip(LABELS[name], self._name(name, value), self._less(name, value))
            for name, values in self.filters.items()
            for value in values
        ]

    @property
    def group_label(self) -> str:
        """What is grouped by, in words."""
        return dict(self.groups).get(self.group, self.group)

    def group_link(self, key: str) -> str | None:
        """Where a group leads: to its own page, or to this one filtered by it."""
        if self.group in ("team", "client"):
            return f"/{self.group}s/{key}" if key != "0" else None
        if self.group.startswith("tag:"):
            name = self.group.removeprefix("tag:")
            return None if key == NO_VALUE else self.link(tag=f"{name}={key}")
        return self.changed({self.group: key}) if key not in ("", "0") else None

    def _name(self, name: str, value: str) -> str:
        return self.names.get(name, {}).get(value, value)

    def _less(self, name: str, value: str) -> str:
        return self.changed({name: [one for one in self.filters[name] if one != value]})

    # Selections

    def selection(self, viewer: Principal, range_: Range | None = None) -> Selection:
        """What to add up, in this range or another, bounded by what ``viewer`` may see."""
        at = range_ or self.range
        wanted = {**self.filters, **self.fixed}
        return bounded(
            viewer,
            Selection(
                at.since,
                at.until,
                team_ids=_ids(wanted.get("team", ())),
                client_ids=_ids(wanted.get("client", ())),
                key_ids=_ids(wanted.get("key", ())),
                models=wanted.get("model", ()),
                endpoints=wanted.get("endpoint", ()),
                tiers=wanted.get("tier", ()),
                tag=_tag(wanted.get("tag", ())),
            ),
        )

    @property
    def by_day(self) -> bool:
        """Whether bars are days: tags are summed by the day."""
        tagged = self.group.startswith("tag:") or "tag" in self.filters
        return tagged or self.range.step == "day"


_NOBODY = -1
"""An id that no team or client has: what is out of sight is not summed."""


def bounded(viewer: Principal, selection: Selection) -> Selection:
    """``selection`` without what ``viewer`` may not see."""
    if viewer.sees_everything:
        return selection
    changes: dict[str, Any] = {"team_ids": _only(viewer.team_id, selection.team_ids)}
    if viewer.role is Role.CLIENT:
        changes["client_ids"] = _only(viewer.client_id, selection.client_ids)
    values = {name: getattr(selection, name) for name in selection.__slots__}
    return Selection(**{**values, **changes})


def _only(allowed: int | None, wanted: tuple[int, ...]) -> tuple[int, ...]:
    assert allowed is not None
    return (allowed,) if not wanted or allowed in wanted else (_NOBODY,)


def view_of(
    path: str,
    query: Mapping[str, Sequence[str]],
    now: datetime,
    *,
    groups: Sequence[str],
    tags: Sequence[str] = (),
    fixed: Mapping[str, str] | None = None,
) -> View:
    """What ``query`` asks for. ``groups`` may be grouped by, the first by default, and ``tags``.

    ``fixed`` filters belong to the page, and are no part of the query. What is malformed is left
    out: an address that somebody cut short still shows something.
    """
    first = {name: values[0] for name, values in query.items() if values}
    offered = [(name, GROUPS[name]) for name in groups]
    offered += [(f"tag:{name}", f"Tag: {name}") for name in tags]
    group = first.get("group", groups[0])
    if group not in dict(offered):
        group = groups[0]
    filters = {
        name: tuple(dict.fromkeys(v for v in query.get(name, ()) if _valid(name, v)))
        for name in FILTERS
        if name not in (fixed or {})
    }
    filters["tag"] = filters.get("tag", ())[:1]
    if filters["tag"] and group.startswith("tag:"):
        # What has two tags at once is not summed.
        wanted = filters["tag"][0].partition("=")[0]
        group = group if group == f"tag:{wanted}" else groups[0]
    return View(
        path=path,
        range=range_of(first, now),
        group=group,
        compare=first.get("compare") != "none",
        filters={name: values for name, values in filters.items() if values},
        groups=tuple(offered),
        fixed={name: (value,) for name, value in (fixed or {}).items()},
    )


def _valid(name: str, value: str) -> bool:
    if not value or len(value) > _VALUE_LENGTH_MAX or not value.isprintable():
        return False
    if name in _IDS:
        return value.isascii() and value.isdigit() and len(value) < 16
    return name != "tag" or "=" in value


def _ids(values: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _tag(values: Sequence[str]) -> tuple[str, str] | None:
    if not values:
        return None
    name, _, value = values[0].partition("=")
    return name, value
