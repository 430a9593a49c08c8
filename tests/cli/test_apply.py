from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.adapters.audit_log import entries
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.cli.apply import CHANGES_STATUS
from gateway.cli.main import main
from tests.cli.rig import Faregate

CONFIG = """
tags = ["project"]

[teams.ads]

[clients.web]
team = "research"
requests_per_minute = 60
allowed_models = ["gpt-4o*"]

[budgets."ads a month"]
team = "ads"
limit_usd = "500.00"
window = "month"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to write configurations to."""
    return tmp_path / "gateway.toml"


def test_a_plan_is_shown_and_applied_once(
    faregate: Faregate, budgets: RedisBudgets, file: Path
) -> None:
    file.write_text(CONFIG)
    before = faregate.directory.version()
    shown = faregate.run("apply", str(file), "--dry-run").stdout
    assert faregate.directory.version() == before
    assert "+   team ads" in shown
    assert "~   client web" in shown
    assert "requests_per_minute: 0 -> 60" in shown
    assert "allowed_models: all -> gpt-4o*" in shown
    assert "limit_usd: 500.00" in shown
    assert "Plan: 3 to add, 1 to change." in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    applied = faregate.run("apply", str(file), "--yes").stdout
    assert applied.startswith(shown)
    assert applied.endswith("Applied.\n")
    assert faregate.directory.version() == before + 1 == budgets.policy_version()
    assert faregate.run("apply", str(file), "--yes").stdout == "Nothing to change.\n"
    assert faregate.directory.version() == before + 1
    assert {entry.actor.partition(":")[0] for entry in entries(faregate.engine).entries} == {"cli"}


def test_what_would_go_is_said_before_it_goes(faregate: Faregate, file: Path) -> None:
    faregate.run("key", "create", "web")
    faregate.run("budget", "create", "b", "--limit", "5", "--window", "day", "--client", "web")
    file.write_text('manage = ["clients"]\n[teams.research]\nsharing = "team"\n')
    shown = faregate.run("apply", str(file), "--dry-run").stdout
    assert "-   client web" in shown
    assert "1 key of it stops at once; 1 budget on it goes with it" in shown
    assert "Plan: 1 to change, 1 to remove." in shown
    faregate.run("apply", str(file), "--yes")
    assert faregate.ask("client", "list") == faregate.ask("budget", "list") == []


def test_nothing_is_changed_without_a_yes(faregate: Faregate, file: Path) -> None:
    file.write_text(CONFIG)
    before = faregate.directory.version()
    refused = faregate.run("apply", str(file), code=2)
    assert "there is no terminal to ask at: add --yes, or --dry-run" in refused.stderr
    assert "team ads" in refused.stdout
    assert faregate.directory.version() == before


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("", False)])
def test_at_a_terminal_one_is_asked(
    faregate: Faregate, file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, done: bool
) -> None:
    file.write_text('manage = ["clients"]\n[teams.ads]\n')
    monkeypatch.setattr("gateway.cli.apply.has_terminal", lambda: True)
    result = CliRunner().invoke(main, ["apply", str(file)], input=answer)
    assert "Apply this plan, and remove 1 of what is there?" in result.output
    assert result.exit_code == (0 if done else 1)
    assert len(faregate.ask("client", "list")) == (0 if done else 1)


def test_scripts_get_json_and_a_status(faregate: Faregate, file: Path) -> None:
    file.write_text(CONFIG)
    planned = faregate.ask("apply", str(file), "--dry-run")
    assert planned["applied"] is False
    assert [(step["action"], step["what"], step["name"]) for step in planned["plan"]] == [
        ("add", "tag", "project"),
        ("add", "team", "ads"),
        ("change", "client", "web"),
        ("add", "budget", "ads a month"),
    ]
    assert planned["plan"][2]["changes"] == [
        {"field": "requests_per_minute", "old": 0, "new": 60},
        {"field": "allowed_models", "old": [], "new": ["gpt-4o*"]},
    ]
    drift = ("apply", str(file), "--dry-run", "--exit-code")
    faregate.run(*drift, code=CHANGES_STATUS)
    assert faregate.ask("apply", str(file), "--yes")["applied"] is True
    assert faregate.ask("apply", str(file), "--yes") == {"applied": False, "plan": []}
    faregate.run(*drift)
    for words in (("--exit-code",), ("--json",)):
        faregate.run("apply", str(file), *words, code=2)


def test_mistakes_are_all_said_with_their_places(sqlite_faregate: Faregate, file: Path) -> None:
    file.write_text("[teams.a]\nsharing = 5\n")
    assert sqlite_faregate.refused("apply", str(file)) == (
        "gateway.toml: teams.a.sharing: must be one of client, team"
    )
    file.write_text('[clients.web]\nteam = "none"\n[budgets.b]\nlimit_usd = 5\nwindow = "day"\n')
    assert "limit_usd: must be US dollars in quotes" in sqlite_faregate.refused("apply", str(file))
    file.write_text('[clients.a]\nteam = "none"\n[clients.b]\nteam = "none"\n')
    said = sqlite_faregate.run("apply", str(file), code=1).stderr
    assert said == (
        "Error: gateway.toml has 2 mistakes:\n"
        "  clients.a: there is no team none\n"
        "  clients.b: there is no team none\n"
    )
    file.write_text("teams = ")
    assert sqlite_faregate.refused("apply", str(file)).startswith("gateway.toml: not TOML: ")
    assert sqlite_faregate.run("apply", "absent.toml", code=2).stderr


def test_what_is_exported_changes_nothing(faregate: Faregate, file: Path) -> None:
    file.write_text(CONFIG)
    faregate.run("apply", str(file), "--yes")
    faregate.run("price", "set", "m", "--input", "1", "--from", "2026-01-01")
    secret = faregate.ask("key", "create", "web")["key"]
    text = faregate.run("export-config").stdout
    assert secret not in text
    assert "requests_per_minute = 60" in text
    wrote = faregate.run("export-config", "--output", str(file))
    assert (wrote.stdout, file.read_text()) == ("", text)
    assert faregate.run("apply", str(file), "--yes").stdout == "Nothing to change.\n"
    managed = re.sub(r"^# (manage = )", r"\1", text, flags=re.M)
    assert managed != text
    file.write_text(managed)
    assert faregate.run("apply", str(file), "--dry-run").stdout == "Nothing to change.\n"
