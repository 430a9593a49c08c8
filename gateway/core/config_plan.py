"""A plan: what must be done so that a deployment is what a configuration document says.

Pure: from a document and the state of a deployment come steps, or the reasons why there are
none. The same document on the state that its plan led to gives no steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.core.config_document import KINDS, SECTIONS, Config, InvalidConfig, Kind, Wish
from gateway.core.config_prices import StatedPrice, rate_value
from gateway.core.prices import STANDARD_TIER, Price, PriceBook
from gateway.core.tags import RESERVED


class Action(StrEnum):
    """What a step does."""

    ADD = "add"
    RENAME = "rename"
    CHANGE = "change"
    REPLACE = "replace"
    """Removes a thing and adds another of the same name."""
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field; ``old`` is None where the thing is new."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``word`` is what the thing is, ``warning`` what goes with it."""

    action: Action
    section: str
    word: str
    name: str
    changes: tuple[FieldChange, ...] = ()
    warning: str = ""
    price: StatedPrice | None = None

    @property
    def new(self) -> dict[str, Any]:
        """The new values, by field."""
        return {change.name: change.new for change in self.changes}


@dataclass(frozen=True, slots=True)
class State:
    """What a deployment is: by section and name, the fields in the forms of the document."""

    tags: tuple[str, ...] = ()
    things: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    prices: Sequence[Price] = ()
    """The deployment's own price rows."""
    book: PriceBook = field(default_factory=lambda: PriceBook(()))
    """All prices, from which stated ones are completed."""
    channels: frozenset[str] = frozenset()
    keys: Mapping[str, int] = field(default_factory=dict)
    """How many live keys each client has."""

    def section(self, section: str) -> Mapping[str, Mapping[str, Any]]:
        """The things of a section."""
        return self.things.get(section, {})


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can be made."""

    steps: tuple[Step, ...]

    def count(self, *actions: Action) -> int:
        """How many steps are one of ``actions``."""
        return sum(1 for step in self.steps if step.action in actions)


def plan_of(config: Config, state: State) -> Plan:
    """The plan that makes ``state`` what ``config`` says. Raises InvalidConfig."""
    planner = _Planner(config, state)
    steps = tuple(planner.steps())
    if planner.problems:
        raise InvalidConfig(sorted(set(planner.problems)))
    return Plan(steps)


class _Planner:
    def __init__(self, config: Config, state: State) -> None:
        self._config = config
        self._renames = {
            section: {
                wish.renamed_from: wish.name
                for wish in config.section(section).values()
                if wish.renamed_from in state.section(section)
                and wish.name not in state.section(section)
            }
            for section in KINDS
        }
        self._state = _renamed(state, self._renames)
        self._gone = {
            section: set(self._state.section(section)) - set(config.section(section))
            if section in config.manage
            else set()
            for section in KINDS
        }
        self._gone_tags = set(state.tags) - set(config.tags) if "tags" in config.manage else set()
        self._replaced: set[str] = set()
        """Budgets that are replaced: rules on them must follow."""
        self.problems: list[str] = []

    def steps(self) -> Iterator[Step]:
        yield from self._rename()
        yield from self._remove()
        for tag in sorted(set(self._config.tags) - set(self._state.tags)):
            if tag in RESERVED:
                self.problems.append(f"tags: {tag} is a tag that the gateway sets itself")
            yield Step(Action.ADD, "tags", "tag", tag)
        for section in ("teams", "clients", "budgets"):
            yield from self._put(section)
        yield from self._price()
        yield from self._put("alert_rules")

    def _rename(self) -> Iterator[Step]:
        for section, renames in self._renames.items():
            wishes = self._config.section(section)
            for old, new in renames.items():
                claims = [wish.name for wish in wishes.values() if wish.renamed_from == old]
                if len(claims) > 1 or old in wishes:
                    others = ", ".join([*claims, *([str(old)] if old in wishes else [])])
                    self.problems.append(f"{section}: {old} cannot become all of {others}")
                changes = (FieldChange("name", old, new),)
                yield Step(Action.RENAME, section, KINDS[section].word, str(old), changes)

    # What goes

    def _remove(self) -> Iterator[Step]:
        for section in reversed(SECTIONS):
            if section == "tags":
                for tag in sorted(self._gone_tags):
                    self._check_tag_is_free(tag)
                    yield Step(Action.REMOVE, "tags", "tag", tag)
                continue
            for thing in sorted(self._gone[section]):
                warning = self._goes_with(section, thing)
                yield Step(Action.REMOVE, section, KINDS[section].word, thing, warning=warning)

    def _goes_with(self, section: str, thing: str) -> str:
        """What goes together with a thing. Notes a problem where the document wants to keep it."""
        word = KINDS[section].word
        along = []
        if rules := self._staying("alert_rules", word, thing):
            along.append(f"{_some(len(rules), 'alert rule')} on it will have nothing to tell")
        if section not in ("teams", "clients"):
            return "; ".join(along)
        if section == "clients" and (keys := self._state.keys.get(thing, 0)):
            along.append(f"{_some(keys, 'key')} of it stop{'s' if keys == 1 else ''} at once")
        if section == "teams":
            clients = self._staying("clients", "team", thing)
            if clients:
                self.problems.append(
                    f"teams: {thing} is not in the document, but it has clients that stay:"
                    f" {', '.join(sorted(clients))}"
                )
        budgets = self._staying("budgets", word, thing)
        wanted = sorted(budgets & set(self._config.section("budgets")))
        if wanted:
            self.problems.append(
                f"{section}: {thing} is not in the document, but budgets on it are: "
                + ", ".join(wanted)
            )
        elif budgets:
            along.append(f"{_some(len(budgets), 'budget')} on it {_go(len(budgets))} with it")
        return "; ".join(along)

    def _staying(self, section: str, word: str, thing: str) -> set[str]:
        """Things of ``section`` on ``thing`` that no step of their own removes."""
        return {
            name
            for name, fields in self._state.section(section).items()
            if fields.get(word) == thing and name not in self._gone[section]
        }

    def _check_tag_is_free(self, tag: str) -> None:
        for name, fields in self._state.section("budgets").items():
            if name not in self._gone["budgets"] and _tag_of(fields) == tag:
                self.problems.append(f"tags: {tag} narrows the budget {name}")

    # What comes, and what changes

    def _put(self, section: str) -> Iterator[Step]:
        kind = KINDS[section]
        for wish in self._config.section(section).values():
            self._check_references(section, wish)
            before = self._state.section(section).get(wish.name)
            if before is None:
                yield _added(section, kind, {**kind.defaults, **wish.fields}, wish.name)
                continue
            changes = tuple(
                FieldChange(name, before.get(name), value)
                for name, value in wish.fields.items()
                if before.get(name) != value
            )
            fixed = [change.name for change in changes if change.name in kind.fixed]
            if fixed or before.get("budget") in self._replaced:
                yield from self._replace(section, kind, wish, before, fixed)
            elif changes:
                yield Step(Action.CHANGE, section, kind.word, wish.name, changes)

    def _replace(
        self, section: str, kind: Kind, wish: Wish, before: Mapping[str, Any], fixed: list[str]
    ) -> Iterator[Step]:
        place = f"{section}.{wish.name}"
        if section == "clients":
            self.problems.append(
                f"{place}: a client stays in its team ({before['team']}), where its records are:"
                " make another client"
            )
        elif fixed and section not in self._config.manage:
            self.problems.append(
                f"{place}: {', '.join(fixed)} cannot be changed; with {section} in manage, the"
                f" {kind.word} is replaced by another one"
            )
        after = {**before, **wish.fields}
        changes = tuple(
            FieldChange(name, before.get(name), value)
            for name, value in after.items()
            if name in kind.fields
        )
        warning = ""
        if section == "budgets":
            self._replaced.add(wish.name)
            warning = "what it has spent starts again at zero"
        yield Step(Action.REPLACE, section, kind.word, wish.name, changes, warning)

    def _check_references(self, section: str, wish: Wish) -> None:
        place = f"{section}.{wish.name}"
        for word, target in (("team", "teams"), ("client", "clients"), ("budget", "budgets")):
            wanted = wish.fields.get(word)
            if wanted is not None and not self._will_be(target, wanted):
                self.problems.append(f"{place}: there is no {word} {wanted}")
        for channel in wish.fields.get("channels", ()):
            if channel not in self._state.channels:
                self.problems.append(
                    f"{place}: there is no alert channel {channel}; channels have secrets, so"
                    " `faregate alert channel create` makes them"
                )
        tag = _tag_of(wish.fields)
        allowed = {*self._state.tags, *self._config.tags, *RESERVED} - self._gone_tags
        if tag and tag not in allowed:
            self.problems.append(f"{place}: the tag {tag} is not allowed; add it to tags")

    def _will_be(self, section: str, thing: str) -> bool:
        if thing in self._config.section(section):
            return True
        return thing in self._state.section(section) and thing not in self._gone[section]

    def _price(self) -> Iterator[Step]:
        rows = {(row.model, row.valid_from): row for row in sorted(self._state.prices, key=_id)}
        priced: set[str] = set()
        for stated in self._config.prices:
            row = rows.get((stated.model, stated.valid_from))
            if row is not None and stated.is_in(row):
                continue
            base = self._state.book.find(stated.model, stated.valid_from)
            has_base = base is not None or stated.model in priced
            if not has_base and STANDARD_TIER not in stated.tiers:
                self.problems.append(
                    f"prices: {stated.name} needs rates of the tier {STANDARD_TIER}, since there is"
                    " no price yet"
                )
            priced.add(stated.model)
            yield Step(Action.ADD, "prices", "price", stated.name, _told(stated), price=stated)


def _id(row: Price) -> int:
    return row.id


def _told(stated: StatedPrice) -> tuple[FieldChange, ...]:
    found = [
        FieldChange(f"{tier}.{meter.value}", None, rate_value(meter, rate))
        for tier, table in stated.tiers.items()
        for meter, rate in table.items()
    ]
    for limit in ("context_window", "output_tokens_max"):
        if getattr(stated, limit) is not None:
            found.append(FieldChange(limit, None, getattr(stated, limit)))
    return tuple(found)


def _added(section: str, kind: Kind, fields: Mapping[str, Any], name: str) -> Step:
    changes = tuple(
        FieldChange(field_name, None, fields[field_name])
        for field_name in kind.fields
        if field_name in fields
    )
    return Step(Action.ADD, section, kind.word, name, changes)


def _renamed(state: State, renames: Mapping[str, Mapping[str | None, str]]) -> State:
    """The state once the renames are made, also where others refer to what is renamed."""
    words = {KINDS[section].word: section for section in KINDS}

    def referring(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: renames[words[name]].get(value, value) if name in words else value
            for name, value in fields.items()
        }

    things = {
        section: {
            renames[section].get(name, name): referring(fields)
            for name, fields in state.section(section).items()
        }
        for section in KINDS
    }
    keys = {renames["clients"].get(name, name): count for name, count in state.keys.items()}
    return replace(state, things=things, keys=keys)


def _tag_of(fields: Mapping[str, Any]) -> str:
    return str(fields.get("tag") or "").partition("=")[0]


def _some(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _go(number: int) -> str:
    return "goes" if number == 1 else "go"
