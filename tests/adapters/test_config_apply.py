from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gateway.adapters.config_apply import apply_config, planned
from gateway.adapters.config_file import config_text, read_config
from gateway.adapters.config_state import config_state
from gateway.adapters.directory import Directory, DirectoryError
from gateway.adapters.directory_values import ChangedMeanwhile
from gateway.adapters.policy_loader import load_policy
from gateway.core.config_document import Config
from tests.adapters.configured import channel, rich_directory
from tests.adapters.directories import ANN, noted, small_directory
from tests.databases import open_migrated


def apply(engine: Engine, text: str) -> Config:
    config = read_config(text.encode())
    apply_config(engine, config, planned(engine, config), ANN)
    return config


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Makes deployments that are set up and empty."""
    with ExitStack() as stack:

        def make() -> Engine:
            opened = open_migrated(f"sqlite:///{tmp_path / 'another.db'}")
            stack.callback(opened.dispose)
            Directory(opened).initialise("Other")
            return opened

        yield make


def test_a_whole_deployment_moves_to_another_by_its_file(
    engine: Engine, another: Callable[[], Engine]
) -> None:
    rich_directory(engine)
    text = config_text(config_state(engine))
    other = another()
    channel(other)
    apply(other, text)
    assert config_text(config_state(other)) == text
    ours, theirs = load_policy(engine), load_policy(other)
    assert {c.name: c.allowed_models for c in ours.clients.values()} == {
        c.name: c.allowed_models for c in theirs.clients.values()
    }
    assert theirs.keys == {}, "keys are in no file"


def test_all_is_one_step_of_the_policy_and_the_second_time_none(engine: Engine) -> None:
    directory = small_directory(engine)
    text = """
        tags = ["env"]
        [teams.ads]
        [clients.web]
        team = "ads"
        [budgets."web a day"]
        client = "web"
        limit_usd = "5"
        window = "day"
        tag = "env=prod"
        [[prices]]
        model = "m"
        valid_from = 2026-01-01T00:00:00Z
        tiers.default = { input = "1" }
    """
    before = directory.version()
    config = apply(engine, text)
    assert directory.version() == before + 1
    assert [entry[:3] for entry in noted(engine)] == [
        ("create", "tag", "env"),
        ("create", "team", "ads"),
        ("create", "client", "web"),
        ("create", "budget", "web a day"),
        ("create", "price", "m"),
    ]
    assert planned(engine, config).steps == ()
    apply(engine, text)
    assert directory.version() == before + 1
    assert len(noted(engine)) == 5


def test_everything_that_a_plan_can_say_is_done(engine: Engine) -> None:
    directory = rich_directory(engine)
    key = directory.create_key("bot")
    first = len(noted(engine))
    client = directory.client("bot").id
    config = apply(
        engine,
        """
        manage = ["tags", "teams", "clients", "budgets", "alert_rules"]
        tags = []
        [teams.find]
        renamed_from = "search"
        sharing = "team"
        [clients.crawler]
        renamed_from = "bot"
        team = "find"
        requests_per_minute = 7
        [budgets.everything]
        renamed_from = "all"
        limit_usd = "6"
        window = "day"
        [budgets."of search"]
        team = "find"
        limit_usd = "5"
        window = "week"
        [alert_rules.strange]
        renamed_from = "odd"
        kind = "anomaly"
        channels = ["pager"]
        percents = [200]
        """,
    )
    assert planned(engine, config).steps == ()
    assert [entry[:3] for entry in noted(engine)[first:]] == [
        ("change", "team", "find"),
        ("change", "client", "crawler"),
        ("change", "budget", "everything"),
        ("change", "alert_rule", "strange"),
        ("remove", "alert_rule", "early"),
        ("remove", "budget", "of web"),
        ("remove", "client", "web 2.0"),
        ("remove", "team", "ads @co"),
        ("remove", "tag", "project"),
        ("change", "team", "find"),
        ("change", "client", "crawler"),
        ("change", "budget", "everything"),
        ("remove", "budget", "of search"),
        ("create", "budget", "of search"),
        ("change", "alert_rule", "strange"),
    ]
    policy = load_policy(engine)
    assert policy.clients[client].name == "crawler"
    assert policy.clients[client].requests_per_minute == 7
    # Whoever was renamed keeps its keys.
    assert {k.id for k in policy.keys.values() if k.revoked_at is None} >= {key.id}


def test_a_plan_that_is_no_longer_due_is_not_made(engine: Engine) -> None:
    directory = small_directory(engine)
    config = read_config(b'[teams.ads]\n[clients.web]\nteam = "ads"\n')
    shown = planned(engine, config)
    directory.create_team("ads")
    before, entries = directory.version(), len(noted(engine))
    with pytest.raises(ChangedMeanwhile, match="look at a new one"):
        apply_config(engine, config, shown, ANN)
    assert directory.version() == before
    assert len(noted(engine)) == entries


def test_what_fails_half_way_leaves_nothing(engine: Engine) -> None:
    directory = small_directory(engine)
    channel(engine)
    before = directory.version()
    text = """
        [teams.ads]
        [alert_rules.odd]
        kind = "anomaly"
        channels = ["pager"]
        percents = [50]
    """
    with pytest.raises(DirectoryError, match="from 101"):
        apply(engine, text)
    assert [row.name for row in directory.teams()] == ["search"]
    assert directory.version() == before
    assert noted(engine)[1:] == []


def test_a_deployment_that_is_not_set_up_is_not_configured(engine: Engine) -> None:
    with pytest.raises(DirectoryError, match="faregate init"):
        apply(engine, "[teams.ads]")


def test_a_stated_rate_takes_its_place_in_the_price_in_force(engine: Engine) -> None:
    rich_directory(engine)
    apply(
        engine,
        """
        [[prices]]
        model = "m"
        valid_from = 2026-06-01T00:00:00Z
        output_tokens_max = 500
        [prices.tiers.default]
        output = { usd = "3", above = [{ tokens = 1000, usd = "4" }] }
        [prices.tiers.batch]
        input = "0.5"
        """,
    )
    row = config_state(engine).prices[-1]
    rates = {meter.value: rate for meter, rate in row.tiers["default"].items()}
    assert set(rates) == {"input", "images", "output"}
    assert (rates["output"].nano, rates["output"].steps) == (3 * 10**9, ((1000, 4 * 10**9),))
    assert rates["input"].nano == 1_500_000_000
    assert list(row.tiers["batch"]) == ["input"]
    assert row.output_tokens_max == 500
