from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.config_document import KINDS, Config, InvalidConfig, Wish, parse_config

BUDGET = {"limit_usd": "500", "window": "month"}


def test_a_whole_document_is_read_in_one_form() -> None:
    config = parse_config(
        {
            "manage": ["teams", "budgets"],
            "tags": ["project", "env"],
            "teams": {"search": {}},
            "clients": {
                "bot": {"team": "search", "outage_allowance_usd": "0.5", "renamed_from": "old"}
            },
            "budgets": {"search a month": {**BUDGET, "team": "search"}},
            "alert_rules": {
                "r": {"kind": "threshold", "channels": ["b", "a"], "percents": [80, 50]}
            },
            "prices": [
                {
                    "model": "m",
                    "valid_from": datetime(2026, month, 1, tzinfo=UTC),
                    "tiers": {"default": {"input": "1"}},
                }
                for month in (2, 1)
            ],
        }
    )
    assert config.manage == {"teams", "budgets"}
    assert config.tags == ("env", "project")
    assert config.section("teams") == {"search": Wish("search", {})}
    assert config.section("clients") == {
        "bot": Wish("bot", {"team": "search", "outage_allowance_usd": "0.50"}, "old")
    }
    assert config.section("budgets")["search a month"].fields == {
        "limit_usd": "500.00",
        "window": "month",
        "team": "search",
    }
    assert config.section("alert_rules")["r"].fields["channels"] == ["a", "b"]
    assert [price.valid_from.month for price in config.prices] == [1, 2]


def test_nothing_is_a_document_too() -> None:
    assert parse_config({}) == Config(things={section: {} for section in KINDS})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"team": {}}, "team: no section"),
        ({"keys": {}}, "keys: no section"),
        ({"manage": ["prices"]}, "manage[0]: must be one of"),
        ({"manage": "teams"}, "manage: must be a list"),
        ({"manage": ["teams", "teams"]}, "manage: names something twice"),
        ({"tags": ["A"]}, "tags[0]: must be the name of a tag"),
        ({"teams": []}, "teams: must be tables"),
        ({"teams": {"search": "client"}}, "teams.search: must be a table"),
        ({"teams": {"a b": {"shared": 1}}}, 'teams."a b".shared: no such field; there are'),
        ({"teams": {"-": {}}}, 'teams."-": must be 1 to 100'),
        ({"teams": {"a": {"sharing": "all"}}}, "teams.a.sharing: must be one of client, team"),
        ({"teams": {"a": {"renamed_from": 5}}}, "teams.a.renamed_from: "),
        ({"clients": {"bot": {}}}, "clients.bot: needs team"),
        ({"clients": {"bot": {"team": "a", "secret": "x"}}}, "clients.bot.secret: no such field"),
        ({"budgets": {"b": {"window": "day"}}}, "budgets.b: needs limit_usd"),
        ({"budgets": {"b": {**BUDGET, "limit_usd": 500}}}, "budgets.b.limit_usd: must be US dol"),
        (
            {"budgets": {"b": {**BUDGET, "team": "t", "client": "c"}}},
            "budgets.b: is on one thing alone, not on team and client",
        ),
        ({"alert_rules": {"r": {}}}, "alert_rules.r: needs kind"),
        ({"prices": {}}, "prices: must be tables in double brackets"),
        ({"prices": [{"model": "m"}]}, "prices[0]: a price needs valid_from"),
    ],
)
def test_a_mistake_is_said_with_its_place(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        parse_config(document)
    assert any(line.startswith(problem) for line in refused.value.problems), refused.value.problems


def test_all_mistakes_are_found_at_once() -> None:
    with pytest.raises(InvalidConfig) as refused:
        parse_config(
            {
                "manage": ["keys"],
                "teams": {"a": {"sharing": 1}},
                "clients": {"c": {"team": "a", "requests_per_minute": -1, "colour": "red"}},
            }
        )
    assert len(refused.value.problems) == 4
    assert refused.value.problems == sorted(refused.value.problems)


def test_two_prices_from_one_moment_are_one_too_many() -> None:
    price = {
        "model": "m",
        "valid_from": "2026-01-01T00:00:00Z",
        "tiers": {"default": {"input": "1"}},
    }
    with pytest.raises(InvalidConfig, match="m has two prices from one moment"):
        parse_config({"prices": [price, {**price, "tiers": {"default": {"input": "2"}}}]})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from([*KINDS, "manage", "tags", "prices", "x", "team", "limit_usd", "tiers"])


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), max_size=5))
def test_whatever_it_is_it_is_read_or_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidConfig):
        parse_config(document)
