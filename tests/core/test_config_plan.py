from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.config_document import KINDS, InvalidConfig, parse_config
from gateway.core.config_plan import Action, Plan, State, plan_of
from gateway.core.prices import Meter, Price, PriceBook, Rate

ALL = ["tags", "teams", "clients", "budgets", "alert_rules"]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def thing(section: str, **fields: Any) -> dict[str, Any]:
    """The fields of a thing, with what new ones have for the rest."""
    kind = KINDS[section]
    return {name: {**kind.defaults, **fields}.get(name) for name in kind.fields}


BUDGET = thing("budgets", limit_usd="5.00", window="day")
RULE = {"kind": "threshold", "channels": ["pager"], "percents": [50]}
STATE = State(
    tags=("project",),
    things={
        "teams": {"search": thing("teams"), "ads": thing("teams")},
        "clients": {
            "bot": thing("clients", team="search", requests_per_minute=60),
            "web": thing("clients", team="ads"),
        },
        "budgets": {
            "all": BUDGET,
            "of bot": {**BUDGET, "client": "bot"},
            "of ads": {**BUDGET, "team": "ads"},
        },
        "alert_rules": {"early": thing("alert_rules", **RULE, budget="of bot")},
    },
    channels=frozenset({"pager"}),
    keys={"bot": 2},
)


def plan(document: Mapping[str, Any], state: State = STATE) -> Plan:
    return plan_of(parse_config(document), state)


def told(found: Plan) -> list[tuple[str, str, str]]:
    return [(step.action.value, step.word, step.name) for step in found.steps]


def problems(document: Mapping[str, Any], state: State = STATE) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        plan(document, state)
    return refused.value.problems


def test_what_is_not_said_stays() -> None:
    assert plan({}).steps == ()
    assert plan({"teams": {"search": {}}, "clients": {"bot": {"team": "search"}}}).steps == ()
    # A limit that is not written down is no limit of none.
    assert plan({"clients": {"bot": {"team": "search", "concurrent_requests": 0}}}).steps == ()


def test_a_change_is_told_field_by_field() -> None:
    (step,) = plan(
        {"clients": {"bot": {"team": "search", "requests_per_minute": 120, "clamp_output": True}}}
    ).steps
    assert (step.action, step.name) == (Action.CHANGE, "bot")
    assert [(change.name, change.old, change.new) for change in step.changes] == [
        ("requests_per_minute", 60, 120),
        ("clamp_output", False, True),
    ]


def test_what_is_new_is_added_with_what_the_document_leaves_out() -> None:
    found = plan(
        {
            "tags": ["env"],
            "teams": {"new": {}},
            "clients": {"fresh": {"team": "new"}},
            "budgets": {
                "b": {"limit_usd": "1", "window": "day", "client": "fresh", "tag": "env=x"}
            },
            "alert_rules": {"r": {**RULE, "budget": "b"}},
        }
    )
    assert told(found) == [
        ("add", "tag", "env"),
        ("add", "team", "new"),
        ("add", "client", "fresh"),
        ("add", "budget", "b"),
        ("add", "alert rule", "r"),
    ]
    assert found.steps[2].new["requests_per_minute"] == 0
    assert found.steps[3].new["enforcement"] == "strict"
    assert found.count(Action.ADD) == 5


def test_only_what_is_managed_is_removed_and_the_other_way_round() -> None:
    document = {"teams": {"ads": {}}, "clients": {"web": {"team": "ads"}}, "tags": ["project"]}
    assert plan(document).steps == ()
    found = plan({**document, "manage": ALL})
    assert told(found) == [
        ("remove", "alert rule", "early"),
        ("remove", "budget", "all"),
        ("remove", "budget", "of ads"),
        ("remove", "budget", "of bot"),
        ("remove", "client", "bot"),
        ("remove", "team", "search"),
    ]
    assert [step.warning for step in found.steps if step.word == "client"] == [
        "2 keys of it stop at once"
    ]


def test_what_goes_along_is_said() -> None:
    document = {"manage": ["clients"], "clients": {"web": {"team": "ads"}}}
    (step,) = plan(document).steps
    assert step.warning == "2 keys of it stop at once; 1 budget on it goes with it"
    (budget,) = plan({"manage": ["budgets"], "budgets": {"all": BUDGET_AS_STATED, **KEPT}}).steps
    assert budget.name == "of bot"
    assert budget.warning == "1 alert rule on it will have nothing to tell"


BUDGET_AS_STATED = {"limit_usd": "5", "window": "day"}
KEPT = {"of ads": {**BUDGET_AS_STATED, "team": "ads"}}


def test_what_others_need_is_not_removed() -> None:
    assert problems({"manage": ["teams"], "teams": {"ads": {}}}) == [
        "teams: search is not in the document, but it has clients that stay: bot"
    ]
    kept = {"manage": ["clients"], "clients": {}, "budgets": {"of bot": BUDGET_AS_STATED}}
    assert "clients: bot is not in the document, but budgets on it are: of bot" in problems(kept)
    tagged = replace(
        STATE, things={**STATE.things, "budgets": {"b": {**BUDGET, "tag": "project=x"}}}
    )
    assert problems({"manage": ["tags"]}, tagged) == ["tags: project narrows the budget b"]


def test_what_is_referred_to_must_be_there() -> None:
    assert problems({"clients": {"c": {"team": "none"}}}) == ["clients.c: there is no team none"]
    budget = {**BUDGET_AS_STATED, "tag": "colour=red"}
    assert problems({"budgets": {"b": budget}}) == [
        "budgets.b: the tag colour is not allowed; add it to tags"
    ]
    assert plan({"budgets": {"b": {**BUDGET_AS_STATED, "tag": "image_size=x"}}}).steps
    (said,) = problems({"alert_rules": {"r": {**RULE, "channels": ["siren"]}}})
    assert said.startswith("alert_rules.r: there is no alert channel siren")
    gone = {
        "manage": ["teams", "clients"],
        "clients": {},
        "budgets": {"of ads": {**BUDGET_AS_STATED, "team": "ads"}},
    }
    assert "budgets.of ads: there is no team ads" in problems(gone)


def test_a_client_stays_in_its_team() -> None:
    (said,) = problems(
        {"manage": ALL[2:3], "clients": {"bot": {"team": "ads"}, "web": {"team": "ads"}}}
    )
    assert said.startswith("clients.bot: a client stays in its team (search)")


def test_a_budget_of_another_kind_is_another_budget() -> None:
    other = {"all": {"limit_usd": "9", "window": "month"}}
    (said,) = problems({"budgets": other})
    assert said.startswith("budgets.all: window cannot be changed; with budgets in manage")
    rest = {
        "of ads": {**BUDGET_AS_STATED, "team": "ads"},
        "of bot": {**BUDGET_AS_STATED, "client": "bot"},
    }
    (step,) = plan({"manage": ["budgets"], "budgets": {**other, **rest}}).steps
    assert (step.action, step.warning) == (
        Action.REPLACE,
        "what it has spent starts again at zero",
    )
    # Of the new one everything is known: what the document leaves out is as it was.
    assert step.new == {**BUDGET, "limit_usd": "9.00", "window": "month"}


def test_a_rule_follows_the_budget_that_takes_the_place_of_its_own() -> None:
    budgets = {
        "all": BUDGET_AS_STATED,
        "of ads": {**BUDGET_AS_STATED, "team": "ads"},
        "of bot": {"limit_usd": "5", "window": "week", "client": "bot"},
    }
    rules = {"early": {**RULE, "budget": "of bot"}}
    found = plan({"manage": ["budgets"], "budgets": budgets, "alert_rules": rules})
    assert told(found) == [("replace", "budget", "of bot"), ("replace", "alert rule", "early")]


def test_what_is_renamed_stays_what_it_is() -> None:
    document = {
        "manage": ALL,
        "tags": ["project"],
        "teams": {"find": {"renamed_from": "search"}, "ads": {}},
        "clients": {
            "crawler": {"team": "find", "renamed_from": "bot", "requests_per_minute": 5},
            "web": {"team": "ads"},
        },
        "budgets": {
            "all": BUDGET_AS_STATED,
            "of ads": {**BUDGET_AS_STATED, "team": "ads"},
            "of bot": {**BUDGET_AS_STATED, "client": "crawler"},
        },
        "alert_rules": {"early": {**RULE, "budget": "of bot"}},
    }
    found = plan(document)
    assert told(found) == [
        ("rename", "team", "search"),
        ("rename", "client", "bot"),
        ("change", "client", "crawler"),
    ]
    # Where neither is there yet it is new, and where the new one is there, nothing is to be done.
    assert told(plan({"teams": {"new": {"renamed_from": "never"}}})) == [("add", "team", "new")]
    assert plan({"teams": {"search": {"renamed_from": "ads"}}}).steps == ()


def test_one_thing_cannot_become_two() -> None:
    twice = {"teams": {"a": {"renamed_from": "ads"}, "b": {"renamed_from": "ads"}}}
    assert "teams: ads cannot become all of a, b" in problems(twice)
    kept = {"teams": {"a": {"renamed_from": "ads"}, "ads": {}}}
    assert "teams: ads cannot become all of a, ads" in problems(kept)


def price(number: int, at: datetime, nano: int, *, ours: bool = True) -> Price:
    rates = {"default": {Meter.INPUT: Rate(nano)}}
    return Price(number, "m", ("m",), "x", at, rates, is_override=ours)


def stated(usd: str, at: datetime = AT, tier: str = "default") -> dict[str, Any]:
    return {"model": "m", "valid_from": at, "tiers": {tier: {"input": usd}}}


def test_a_price_is_added_once() -> None:
    rows = [price(1, AT, 5), price(2, AT, 1_000_000_000)]
    state = State(prices=rows, book=PriceBook(rows))
    assert plan({"prices": [stated("1")]}, state).steps == ()
    (step,) = plan({"prices": [stated("0.000000005")]}, state).steps
    assert (step.action, step.name) == (Action.ADD, "m from 2026-01-01T00:00:00Z")
    assert step.price is not None
    # From another moment it is another price.
    later = datetime(2026, 2, 1, tzinfo=UTC)
    assert len(plan({"prices": [stated("1", later)]}, state).steps) == 1


def test_a_price_of_a_tier_needs_a_standard_one() -> None:
    batch = stated("1", tier="batch")
    (said,) = problems({"prices": [batch]}, State())
    assert said.startswith("prices: m from 2026-01-01T00:00:00Z needs rates of the tier default")
    synced = [price(1, AT, 5, ours=False)]
    assert plan({"prices": [batch]}, State(book=PriceBook(synced))).steps
    later = stated("1", datetime(2026, 2, 1, tzinfo=UTC), "batch")
    assert len(plan({"prices": [stated("1"), later]}, State()).steps) == 2


def test_a_tag_of_the_gateways_own_is_not_allowed() -> None:
    assert problems({"tags": ["image_size"]}) == [
        "tags: image_size is a tag that the gateway sets itself"
    ]
