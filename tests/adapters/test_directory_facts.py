from __future__ import annotations

import json

from sqlalchemy import Engine

from gateway.adapters.directory_facts import budget_facts, client_facts, key_facts, team_facts
from gateway.core.budgets import WindowKind
from gateway.core.etags import etag_of
from tests.adapters.directories import small_directory


def test_facts_are_json_and_amounts_are_exact_decimals(engine: Engine) -> None:
    directory = small_directory(engine)
    directory.change_client("bot", outage_allowance_nano=1_500)
    directory.create_budget("b", limit_nano=500_000_000_000, window=WindowKind.MONTH, client="bot")
    key = directory.create_key("bot", "ci")
    team = team_facts(directory.team("search"))
    client = client_facts(directory.client("bot"))
    budget = budget_facts(directory.budget("b"))
    assert client["outage_allowance_usd"] == "0.0000015"
    assert budget["limit_usd"] == "500.00"
    assert budget["client"] == client["name"] == "bot"
    assert team["created_at"].endswith("Z")
    shown = key_facts(directory.key(key.id))
    assert shown["display"] == key.display
    assert not {"hash", "secret"} & shown.keys()
    for facts in (team, client, budget, shown):
        assert json.loads(json.dumps(facts)) == facts


def test_facts_and_with_them_the_tag_stay_as_long_as_nothing_changes(engine: Engine) -> None:
    directory = small_directory(engine)
    first = etag_of(client_facts(directory.client("bot")))
    assert etag_of(client_facts(directory.client("bot"))) == first
    directory.change_client("bot", tokens_per_minute=1)
    assert etag_of(client_facts(directory.client("bot"))) != first
    directory.change_client("bot", tokens_per_minute=0)
    assert etag_of(client_facts(directory.client("bot"))) == first
