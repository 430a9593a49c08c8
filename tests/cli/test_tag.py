from __future__ import annotations

from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets
from tests.cli.rig import Faregate


def test_tags_are_allowed_listed_and_removed(faregate: Faregate, budgets: RedisBudgets) -> None:
    assert "faregate tag add NAME" in faregate.run("tag", "list").stderr
    before = faregate.directory.version()
    assert faregate.ask("tag", "add", "project") == {"name": "project"}
    assert budgets.policy_version() == faregate.directory.version() == before + 1
    said = faregate.run("tag", "add", "env").stdout
    assert said == "Allowed tag env. Requests send it as x-faregate-tags: env=VALUE\n"
    assert [tag["name"] for tag in faregate.ask("tag", "list")] == ["env", "project"]
    table = faregate.run("tag", "list").stdout
    assert "Allowed since (UTC)" in table
    assert "project" in table
    assert faregate.ask("tag", "remove", "env") == {"name": "env", "state": "removed"}
    assert "Removed tag project." in faregate.run("tag", "remove", "project").stdout
    assert faregate.ask("tag", "list") == []
    assert load_policy(faregate.engine).tags == frozenset()


def test_what_cannot_be_changed_says_why(sqlite_faregate: Faregate) -> None:
    faregate = sqlite_faregate
    assert "the gateway sets itself" in faregate.refused("tag", "add", "image_size")
    assert "cannot name a tag" in faregate.refused("tag", "add", "Cost Center")
    assert "`faregate tag list`" in faregate.refused("tag", "remove", "absent")


def test_a_budget_is_narrowed_to_a_tag_and_shown_with_it(
    faregate: Faregate, budgets: RedisBudgets
) -> None:
    budget = ("budget", "create", "alpha", "--limit", "5", "--window", "month", "--team")
    narrowed = (*budget, "research", "--tag", "project=alpha")
    assert "`faregate tag add project`" in faregate.refused(*narrowed)
    faregate.run("tag", "add", "project")
    faregate.run(*narrowed)
    (found,) = faregate.ask("budget", "list")
    assert (found["scope"], found["tag"]) == ("team", "project=alpha")
    assert "project=alpha" in faregate.run("budget", "list").stdout
    assert "narrows 'alpha': remove this budget first" in faregate.refused(
        "tag", "remove", "project"
    )
