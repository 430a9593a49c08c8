from __future__ import annotations

from sqlalchemy import Engine

from gateway.adapters.config_state import config_state
from gateway.core.config_document import KINDS
from tests.adapters.configured import AT, rich_directory


def test_the_state_is_what_is_there_and_nothing_that_was_removed(engine: Engine) -> None:
    rich_directory(engine)
    state = config_state(engine)
    assert state.tags == ("project",)
    assert set(state.section("teams")) == {"search", "ads @co"}
    assert set(state.section("clients")) == {"bot", "web 2.0"}
    assert set(state.section("budgets")) == {"all", "of search", "of web"}
    assert set(state.section("alert_rules")) == {"early", "odd"}
    assert state.channels == {"pager"}
    assert state.keys == {"bot": 1}
    web = state.section("clients")["web 2.0"]
    assert (web["team"], web["outage_allowance_usd"]) == ("ads @co", "0.250000001")
    assert state.section("budgets")["of web"]["tag"] == "project=alpha = β"
    assert state.section("alert_rules")["early"]["percents"] == [50, 80, 100]
    for section, kind in KINDS.items():
        for fields in state.section(section).values():
            assert fields.keys() == kind.fields.keys()


def test_prices_are_the_deployments_own_and_looked_up_among_all(engine: Engine) -> None:
    rich_directory(engine)
    state = config_state(engine)
    assert [(row.model, row.valid_from) for row in state.prices] == [
        ("m", AT),
        ("m", AT),
        ("free", AT),
    ]
    assert state.book.find("m", AT) == state.prices[1]


def test_an_empty_deployment_is_nothing(engine: Engine) -> None:
    state = config_state(engine)
    assert (state.tags, state.prices, state.channels, state.keys) == ((), [], frozenset(), {})
    assert all(not state.section(section) for section in KINDS)
