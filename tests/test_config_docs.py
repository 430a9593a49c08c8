"""What the page on configuration as code shows can be applied as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gateway.adapters.config_apply import apply_config, planned
from gateway.adapters.config_file import read_config
from gateway.adapters.directory import Directory
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.price_sources import price_list_from_genai
from gateway.core.config_document import KINDS, SECTIONS
from gateway.core.config_plan import Action
from tests.adapters.configured import channel
from tests.adapters.directories import ANN
from tests.databases import open_migrated

PAGE = (Path(__file__).parents[1] / "docs/config-as-code.md").read_text()
WHOLE, ALERTS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    """A deployment with the price list, and a client that the page renames."""
    engine = open_migrated(sqlite_url)
    directory = Directory(engine)
    directory.initialise("acme")
    directory.create_team("ads")
    directory.create_client("ads", "ads web")
    sync_prices(engine, price_list_from_genai().rows)
    return engine


def test_the_examples_can_be_applied(engine: Engine) -> None:
    channel(engine)
    for text in (WHOLE, f"{WHOLE}\n{ALERTS}"):
        config = read_config(text.encode())
        plan = planned(engine, config)
        assert plan.steps
        apply_config(engine, config, plan, ANN)
        assert planned(engine, config).steps == ()


def test_the_whole_file_renames_and_removes_nothing(engine: Engine) -> None:
    actions = [step.action for step in planned(engine, read_config(WHOLE.encode())).steps]
    assert actions[0] is Action.RENAME
    assert Action.REMOVE not in actions


def test_the_page_shows_every_field() -> None:
    shown = tomllib.loads(f"{WHOLE}\n{ALERTS}")
    for section, kind in KINDS.items():
        fields = {field for thing in shown[section].values() for field in thing}
        # What is said of rules about one thing is said in words.
        missing = kind.fields.keys() - fields - ({"budget", "client"} & {*kind.fixed})
        assert missing == set(), section
    for section in SECTIONS:
        assert f"`{section}`" in PAGE
