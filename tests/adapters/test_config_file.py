from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gateway.adapters.config_file import config_text, read_config
from gateway.adapters.config_state import config_state
from gateway.core.config_document import KINDS, SECTIONS, InvalidConfig
from gateway.core.config_plan import State, plan_of
from gateway.core.money import LIMIT_NANO_MAX, decimal_usd
from gateway.core.prices import Meter, Price, PriceBook, Rate
from tests.adapters.configured import rich_directory

NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,20}", fullmatch=True)
PATTERN = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
COUNT = st.integers(0, 10**12)
USD = st.integers(0, LIMIT_NANO_MAX).map(decimal_usd)


def things(section: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    every = {name: fields[name] for name in KINDS[section].fields}
    return st.dictionaries(NAME, st.fixed_dictionaries(every), max_size=4)


@st.composite
def states(draw: st.DrawFn) -> State:
    teams = draw(things("teams", sharing=st.sampled_from(["client", "team"])))
    some = st.sampled_from(sorted(teams)) if teams else NAME
    counts = {
        name: COUNT
        for name in KINDS["clients"].fields
        if name.endswith(("tokens", "minute", "requests"))
    }
    clients = (
        draw(
            things(
                "clients",
                team=some,
                allowed_models=st.lists(PATTERN, max_size=3),
                clamp_output=st.booleans(),
                may_fine_tune=st.booleans(),
                outage_allowance_usd=USD,
                **counts,
            )
        )
        if teams
        else {}
    )
    tags = draw(
        st.lists(st.from_regex(r"[a-z0-9_.-]{1,8}", fullmatch=True), max_size=3, unique=True)
    )
    value = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)
    pair = st.builds("{}={}".format, st.sampled_from(tags), value) if tags else st.none()
    budgets = draw(
        things(
            "budgets",
            team=st.none() | some if teams else st.none(),
            client=st.none(),
            limit_usd=USD,
            window=st.sampled_from(["hour", "day", "week", "month", "total"]),
            time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
            enforcement=st.sampled_from(["strict", "expected", "soft"]),
            model_pattern=st.none() | PATTERN,
            tag=st.none() | pair,
        )
    )
    moment = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    rate = st.builds(Rate, st.integers(0, 10**12), st.sampled_from([1, 60, 1_000_000]))
    rates = st.dictionaries(st.sampled_from(list(Meter)), rate, min_size=1, max_size=3)
    tiers = st.fixed_dictionaries({"default": rates}, optional={"batch": rates})
    model = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20).filter(
        str.isprintable
    )
    limit = st.none() | st.integers(1, 10**9)
    row = st.tuples(model, moment, tiers, limit, limit)
    rows = [
        Price(number, name, (), "override", at, rates_of, window, most, is_override=True)
        for number, (name, at, rates_of, window, most) in enumerate(draw(st.lists(row, max_size=3)))
    ]
    everything = {"teams": teams, "clients": clients, "budgets": budgets, "alert_rules": {}}
    return State(tuple(sorted(tags)), everything, rows, PriceBook(rows))


@settings(deadline=None)
@given(states())
def test_what_is_exported_changes_nothing_where_it_comes_from(state: State) -> None:
    text = config_text(state)
    assert plan_of(read_config(text.encode()), state).steps == ()
    # Nor does it where everything is managed: all that is there is in it.
    managed = f"manage = {list(SECTIONS)!r}\n{text}"
    assert plan_of(read_config(managed.encode()), state).steps == ()


def test_a_real_deployment_is_exported_whole(engine: Engine) -> None:
    rich_directory(engine)
    state = config_state(engine)
    text = config_text(state)
    config = read_config(text.encode())
    assert plan_of(config, state).steps == ()
    assert set(config.section("clients")) == {"bot", "web 2.0"}
    assert len(config.prices) == 2, "a price that another took the place of is not repeated"
    assert "# manage = " in text
    assert not re.search(r"fg-|secret\b|pager@acme", text), "no credential is in it"
    assert config_text(state) == text


def test_an_empty_deployment_is_a_file_too() -> None:
    config = read_config(config_text(State()).encode())
    assert plan_of(config, State()).steps == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"teams = ", "not TOML: "),
        (b"[teams.a]\n[teams.a]\n", "not TOML: "),
        (b"\xff", "not UTF-8"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"[team.a]", "team: no section"),
    ],
)
def test_what_is_no_configuration_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        read_config(text)
    assert says in refused.value.problems[0]
