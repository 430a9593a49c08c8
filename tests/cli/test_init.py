from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.adapters.migrations import check_schema
from gateway.adapters.redis_budgets import RedisBudgets
from tests.cli.rig import Faregate, record_request


def test_init_makes_everything_and_says_what_is_next(empty: Faregate) -> None:
    done = empty.run("init", "--organization", "Acme")
    check_schema(empty.engine)
    assert "Database: created" in done.stdout
    assert "Organization: Acme." in done.stdout
    assert "Next: faregate team create NAME" in done.stdout
    assert "takes effect when the gateway starts" in done.stderr
    assert empty.ask("price", "show", "gpt-3.5-turbo")["tiers"]["default"]["input"] == {
        "usd": "0.500000000",
        "per": 1_000_000,
        "steps": [],
    }


def test_init_again_changes_nothing(faregate: Faregate) -> None:
    version = faregate.directory.version()
    again = faregate.ask("init")
    assert again["migration_before"] == again["migration"]
    assert again["prices_added"] == 0
    assert again["prices_unchanged"] > 100
    assert again["organization"] == "Acme"
    assert again["policy_version"] == version
    renamed = faregate.run("init", "--organization", "Other")
    assert "named 'Acme' already" in renamed.stderr
    assert "Next: faregate key create CLIENT" in renamed.stdout


def test_init_publishes_the_first_policy(faregate: Faregate, budgets: RedisBudgets) -> None:
    assert budgets.policy_version() == faregate.directory.version()


def test_init_leaves_an_emptied_redis_to_the_recorder_once_something_was_charged(
    faregate: Faregate, budgets: RedisBudgets
) -> None:
    record_request(faregate.engine)
    budgets.redis.flushall()
    result = faregate.run("init")
    assert budgets.policy_version() is None
    assert "recorder has rebuilt it" in result.stderr


def test_a_newer_database_is_refused(faregate: Faregate) -> None:
    with faregate.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for command in (["init"], ["team", "list"]):
        assert "newer Faregate" in faregate.refused(*command)


@pytest.mark.parametrize("command", ["team", "client", "key", "budget", "price"])
def test_commands_on_an_empty_database_say_what_to_run(empty: Faregate, command: str) -> None:
    assert "run `faregate init`" in empty.refused(command, "list")
