from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import bootstrap


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with locks and an environment that only looks like one."""
    (tmp_path / "requirements").mkdir()
    for name in ("dev", "runtime", "build", "real-model", "compat"):
        (tmp_path / "requirements" / f"{name}.lock").write_text(f"{name}==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    for venv in (bootstrap.venv_of(["dev"]), bootstrap.venv_of(["compat"])):
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def note(*profiles: str) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    have = {profile: bootstrap.fingerprint(profile) for profile in profiles}
    bootstrap.note_installed(bootstrap.venv_of(list(profiles)), {"python": version, **have})


@pytest.mark.parametrize(
    ("installed", "wanted", "ready"),
    [
        ([], ["runtime"], False),
        (["runtime"], ["runtime"], True),
        (["runtime"], ["dev"], False),
        (["dev"], ["runtime"], True),
        (["dev"], ["runtime", "real-model"], False),
        (["dev", "real-model"], ["runtime", "real-model"], True),
        (["dev"], ["compat"], False),
        (["compat"], ["compat"], True),
        (["compat"], ["dev"], False),
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
    assert not bootstrap.is_ready(["runtime"], None)


def test_another_python_than_the_one_asked_for_installs_again(checkout: Path) -> None:
    note("runtime")
    assert bootstrap.is_ready(["runtime"], sys.executable)
    venv = bootstrap.venv_of(["runtime"])
    bootstrap.note_installed(venv, {**bootstrap.installed(venv), "python": "3.10"})
    assert not bootstrap.is_ready(["runtime"], sys.executable)


@pytest.mark.parametrize("content", ["", "not json", "[]"])
def test_an_unreadable_note_counts_as_nothing_installed(checkout: Path, content: str) -> None:
    venv = bootstrap.venv_of(["dev"])
    (venv / bootstrap.NOTE).write_text(content)
    assert bootstrap.installed(venv) == {}


def test_an_interrupted_install_leaves_no_note(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note("runtime")
    venv = bootstrap.venv_of(["dev"])
    (venv / "bin" / "pip").touch()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.prepare(["dev"], None, None)
    assert bootstrap.installed(venv) == {}


def test_compat_is_installed_apart_and_without_the_project(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note("dev")
    ran: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run", ran.append)
    venv = bootstrap.venv_of(["compat"])
    (venv / "bin" / "pip").touch()
    note("compat")
    (checkout / "requirements" / "compat.lock").write_text("compat==2\n")
    bootstrap.set_up(["compat"], None)
    assert bootstrap.is_ready(["compat"], None)
    assert bootstrap.is_ready(["dev"], None)
    (command,) = ran
    assert command[-2:] == ["-r", "requirements/compat.lock"]
    assert str(venv / "bin" / "python") in command
    with pytest.raises(bootstrap.SetupFailed, match="environment of its own"):
        bootstrap.venv_of(["dev", "compat"])


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
