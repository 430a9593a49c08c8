"""A configuration document: what a deployment is to be, as read from a TOML file.

The document says what is to be there, and of each thing what it is to be. What it does not say is
left as it is, since a limit that somebody forgot to write down must not become none. Things that it
does not name are removed only from the sections that ``manage`` lists. Keys, people, tokens and
where alerts are sent are secrets or lead to them, and are in no file.

All mistakes are found at once, each with its place. docs/config-as-code.md shows a whole document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.core.config_fields import (
    Checker,
    InvalidField,
    amount,
    count,
    flag,
    name,
    names,
    one_of,
    pattern,
    patterns,
    percents,
    tag_name,
    tag_pair,
    zone,
)
from gateway.core.config_prices import StatedPrice, stated_price

SECTIONS = ("tags", "teams", "clients", "budgets", "alert_rules")
"""What can be managed, in the order in which one needs the other. Prices are only ever added."""

_TOP = {*SECTIONS, "prices", "manage"}


class InvalidConfig(ValueError):
    """A document that cannot be applied; ``problems`` has a line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Kind:
    """What things of a section have. ``fixed`` fields are theirs for good: another value makes
    another thing."""

    word: str
    fields: Mapping[str, Checker]
    needed: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What a new one has where the document does not say."""


_COUNTS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "default_output_tokens",
    "output_floor_tokens",
)

KINDS: Mapping[str, Kind] = {
    "teams": Kind("team", {"sharing": one_of("client", "team")}, defaults={"sharing": "client"}),
    "clients": Kind(
        "client",
        {
            "team": name,
            "allowed_models": patterns,
            **dict.fromkeys(_COUNTS, count),
            "clamp_output": flag,
            "may_fine_tune": flag,
            "outage_allowance_usd": amount,
        },
        needed=("team",),
        fixed=("team",),
        defaults={
            "allowed_models": [],
            **dict.fromkeys(_COUNTS, 0),
            "clamp_output": False,
            "may_fine_tune": False,
            "outage_allowance_usd": "0.00",
        },
    ),
    "budgets": Kind(
        "budget",
        {
            "team": name,
            "client": name,
            "limit_usd": amount,
            "window": one_of("hour", "day", "week", "month", "total"),
            "time_zone": zone,
            "enforcement": one_of("strict", "expected", "soft"),
            "model_pattern": pattern,
            "tag": tag_pair,
        },
        needed=("limit_usd", "window"),
        fixed=("team", "client", "window", "time_zone", "model_pattern", "tag"),
        defaults={
            "team": None,
            "client": None,
            "time_zone": "UTC",
            "enforcement": "strict",
            "model_pattern": None,
            "tag": None,
        },
    ),
    "alert_rules": Kind(
        "alert rule",
        {
            "kind": one_of("threshold", "forecast", "anomaly"),
            "channels": names,
            "percents": percents,
            "budget": name,
            "team": name,
            "client": name,
        },
        needed=("kind", "channels", "percents"),
        fixed=("kind", "budget", "team", "client"),
        defaults={"budget": None, "team": None, "client": None},
    ),
}
"""Sections of things that have names and fields."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing as the document wants it: the fields that it states, each in one canonical form."""

    name: str
    fields: Mapping[str, Any]
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole document."""

    manage: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()
    things: Mapping[str, Mapping[str, Wish]] = field(default_factory=dict)
    """By section and name."""
    prices: tuple[StatedPrice, ...] = ()
    """In the order of their dates."""

    def section(self, section: str) -> Mapping[str, Wish]:
        """What the document wants of a section."""
        return self.things.get(section, {})


def parse_config(document: Mapping[str, Any]) -> Config:
    """The configuration that a TOML document says. Raises InvalidConfig."""
    reader = _Reader()
    for unknown in document.keys() - _TOP:
        reader.wrong(unknown, "no section of a configuration")
    manage = reader.words("manage", document.get("manage", []), one_of(*SECTIONS))
    tags = reader.words("tags", document.get("tags", []), tag_name)
    things = {
        section: reader.things(section, kind, document.get(section, {}))
        for section, kind in KINDS.items()
    }
    prices = reader.prices(document.get("prices", []))
    if reader.problems:
        raise InvalidConfig(sorted(reader.problems))
    return Config(frozenset(manage), tuple(sorted(tags)), things, prices)


class _Reader:
    """Reads what is right, and notes what is not."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, place: str, says: str) -> None:
        self.problems.append(f"{place}: {says}")

    def words(self, place: str, value: Any, check: Checker) -> list[str]:
        if not isinstance(value, list):
            self.wrong(place, 'must be a list, such as ["a", "b"]')
            return []
        found = [self.checked(f"{place}[{n}]", check, item) for n, item in enumerate(value)]
        if len(set(map(str, found))) != len(found):
            self.wrong(place, "names something twice")
        return [item for item in found if item is not None]

    def things(self, section: str, kind: Kind, value: Any) -> dict[str, Wish]:
        if not isinstance(value, dict):
            self.wrong(section, f"must be tables, such as [{section}.example]")
            return {}
        found = {}
        for thing, fields in value.items():
            place = f"{section}.{thing}" if thing.isidentifier() else f'{section}."{thing}"'
            self.checked(place, name, thing)
            if not isinstance(fields, dict):
                self.wrong(place, "must be a table of fields")
                continue
            found[thing] = self._wish(place, kind, thing, fields)
        return found

    def _wish(self, place: str, kind: Kind, thing: str, fields: Mapping[str, Any]) -> Wish:
        stated = {}
        renamed_from = None
        for field_name, value in fields.items():
            inside = f"{place}.{field_name}"
            if field_name == "renamed_from":
                renamed_from = self.checked(inside, name, value)
            elif field_name not in kind.fields:
                known = ", ".join([*kind.fields, "renamed_from"])
                self.wrong(inside, f"no such field; there are {known}")
            else:
                stated[field_name] = self.checked(inside, kind.fields[field_name], value)
        for needed in kind.needed:
            if needed not in fields:
                self.wrong(place, f"needs {needed}")
        self._one_subject(place, kind, stated)
        return Wish(thing, stated, renamed_from)

    def _one_subject(self, place: str, kind: Kind, stated: Mapping[str, Any]) -> None:
        subjects = [what for what in ("budget", "team", "client") if stated.get(what)]
        if len(subjects) > 1 and kind.word != "client":
            self.wrong(place, f"is on one thing alone, not on {' and '.join(subjects)}")

    def prices(self, value: Any) -> tuple[StatedPrice, ...]:
        if not isinstance(value, list):
            self.wrong("prices", "must be tables in double brackets: [[prices]]")
            return ()
        found: list[StatedPrice] = []
        for number, item in enumerate(value):
            place = f"prices[{number}]"
            try:
                found.append(stated_price(item))
            except InvalidField as error:
                self.wrong(f"{place}{error.place}", str(error))
        seen: set[tuple[str, datetime]] = set()
        for price in found:
            if (price.model, price.valid_from) in seen:
                self.wrong("prices", f"{price.model} has two prices from one moment")
            seen.add((price.model, price.valid_from))
        return tuple(sorted(found, key=lambda price: (price.valid_from, price.model)))

    def checked(self, place: str, check: Callable[[Any], Any], value: Any) -> Any:
        try:
            return check(value)
        except InvalidField as error:
            self.wrong(place, str(error))
            return None
