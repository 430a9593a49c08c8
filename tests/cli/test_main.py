"""The command as a whole: help, laziness, errors, and as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.adapters.directory import DirectoryError
from gateway.cli.main import COMMANDS, explain, main
from tests.cli.rig import Faregate

ROOT = Path(__file__).parents[2]


def process(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FAREGATE_", "OPENAI_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *words],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_imports_no_subcommand() -> None:
    program = (
        "import sys\n"
        "from gateway.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted(m for m in sys.modules if m.startswith(('gateway.', 'sqlalchemy'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['gateway.cli', 'gateway.cli.main']"
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert text in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    assert isinstance(getattr(import_module(module), attribute), click.Command)


def test_a_broken_module_breaks_its_own_command_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("gateway.cli.absent:command", "Broken."))
    broken = CliRunner().invoke(main, ["broken"])
    assert broken.exit_code == 1
    assert broken.stderr.startswith("Error: ModuleNotFoundError: No module named")
    assert CliRunner().invoke(main, ["team", "--help"]).exit_code == 0
    assert "Broken." in CliRunner().invoke(main, ["--help"]).stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["teem"])
    assert result.exit_code == 2
    assert "No such command 'teem'" in result.stderr


def test_a_key_in_an_error_is_left_out() -> None:
    assert "fg-" not in explain(RuntimeError("bad key fg-" + "a" * 43))


def test_a_whole_deployment_as_processes(tmp_path: Path) -> None:
    refused = process(tmp_path, "team", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "run `faregate init`" in refused.stderr
    assert list(tmp_path.iterdir()) == [], "a read must not create a database"

    assert process(tmp_path, "init").returncode == 0
    assert (tmp_path / "faregate-data" / "faregate.db").is_file()
    created = process(tmp_path, "team", "create", "research", "--json")
    assert json.loads(created.stdout) == {"id": 1, "name": "research", "sharing": "client"}
    assert "Redis is not running" in created.stderr


def test_an_unreachable_database_is_named_without_its_password(
    tmp_path: Path, free_port: int
) -> None:
    url = f"postgresql://me:opensesame@127.0.0.1:{free_port}/faregate"
    for command in (["team", "list"], ["init"]):
        done = process(tmp_path, *command, FAREGATE_DATABASE_URL=url)
        assert done.returncode == 1
        assert "FAREGATE_DATABASE_URL" in done.stderr
        assert f"@127.0.0.1:{free_port}/faregate" in done.stderr
        assert "opensesame" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FAREGATE_DATABASE_URL", "mysql://me:opensesame@db/x"),
        ("FAREGATE_DATABASE_URL", "postgresql://me:opensesame@db:port/x"),
        ("FAREGATE_PORT", "opensesame"),
    ],
)
def test_a_malformed_setting_is_named_without_its_value(
    sqlite_faregate: Faregate, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    said = sqlite_faregate.refused("team", "list")
    assert variable in said
    assert "opensesame" not in said


def test_a_failure_is_raised_as_it_is_on_request_only(
    sqlite_faregate: Faregate, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["team", "create", "research"]
    assert isinstance(CliRunner().invoke(main, words).exception, SystemExit)
    assert isinstance(CliRunner().invoke(main, ["--debug", *words]).exception, DirectoryError)
    monkeypatch.setenv("FAREGATE_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, words).exception, DirectoryError)
