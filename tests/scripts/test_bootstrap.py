from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scripts import bootstrap


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with locks and an environment that only looks like one."""
    (tmp_path / "requirements").mkdir()
    for name in ("dev", "runtime", "build", "real-model"):
        (tmp_path / "requirements" / f"{name}.lock").write_text(f"{name}==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "NOTE", venv / "faregate.json")
    monkeypatch.setattr(bootstrap, "LOCK", tmp_path / ".venv.lock")
    return tmp_path


def note(*profiles: str) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    have = {profile: bootstrap.fingerprint(profile) for profile in profiles}
    bootstrap.note_installed({"python": version, **have})


@pytest.mark.parametrize(
    ("installed", "wanted", "ready"),
    [
        ([], ["runtime"], False),
        (["runtime"], ["runtime"], True),
        (["runtime"], ["dev"], False),
        (["dev"], ["runtime"], True),
        (["dev"], ["runtime", "real-model"], False),
        (["dev", "real-model"], ["runtime", "real-model"], True),
    ],
)
def test_ready_when_what_is_installed_satisfies(
    checkout: Path, installed: list[str], wanted: list[str], ready: bool
) -> None:
    note(*installed)
    assert bootstrap.is_ready(wanted, None) is ready


@pytest.mark.parametrize("changed", ["requirements/runtime.lock", "pyproject.toml"])
def test_a_changed_file_installs_again(checkout: Path, changed: str) -> None:
    note("runtime")
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    assert not bootstrap.is_ready(["runtime"], None)


def test_a_moved_checkout_installs_again(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note("runtime")
    moved = checkout.with_name("moved")
    checkout.rename(moved)
    monkeypatch.setattr(bootstrap, "ROOT", moved)
    monkeypatch.setattr(bootstrap, "VENV", moved / ".venv")
    monkeypatch.setattr(bootstrap, "NOTE", moved / ".venv" / "faregate.json")
    assert not bootstrap.is_ready(["runtime"], None)


def test_another_python_than_the_one_asked_for_installs_again(checkout: Path) -> None:
    note("runtime")
    assert bootstrap.is_ready(["runtime"], sys.executable)
    have = json.loads(bootstrap.NOTE.read_text())
    bootstrap.note_installed({**have, "python": "3.10"})
    assert not bootstrap.is_ready(["runtime"], sys.executable)


@pytest.mark.parametrize("content", ["", "not json", "[]"])
def test_an_unreadable_note_counts_as_nothing_installed(checkout: Path, content: str) -> None:
    bootstrap.NOTE.write_text(content)
    assert bootstrap.installed() == {}


def test_an_interrupted_install_leaves_no_note(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note("runtime")
    (bootstrap.VENV / "bin" / "pip").touch()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.prepare(["dev"], None, None)
    assert bootstrap.installed() == {}


def test_a_python_that_is_too_old_or_no_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(bootstrap.SetupFailed, match="PYTHON=/bin/false does not run"):
        bootstrap.find_python("/bin/false")
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3 10\n")
    old.chmod(0o755)
    with pytest.raises(bootstrap.SetupFailed, match=r"is Python 3\.10; Faregate needs 3\.11"):
        bootstrap.find_python(str(old))
    monkeypatch.setattr(bootstrap, "PYTHON_NAMES", (str(old),))
    monkeypatch.setattr(sys, "_base_executable", str(old))
    with pytest.raises(bootstrap.SetupFailed, match=r"No Python 3\.11 or newer was found"):
        bootstrap.find_python(None)


def test_the_callers_settings_cannot_send_packages_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_TIMEOUT", "60")
    environment = bootstrap.environment()
    assert "PIP_TARGET" not in environment
    assert environment["PIP_TIMEOUT"] == "60"
