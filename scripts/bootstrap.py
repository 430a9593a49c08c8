"""Make ``.venv`` hold exactly what a target needs; well under a second when it already does.

Usage: python scripts/bootstrap.py (runtime | dev) [real-model] [--python PATH]
       python scripts/bootstrap.py compat [--python PATH]

Installs the hashed lock of the profile, then the project itself as an editable package. Uses
uv when it is there, else the standard library's venv and pip. What was installed is noted in
``.venv/faregate.json``; a changed lock, pyproject.toml, Python or folder installs again.
Several runs at once wait for each other. ``compat`` has ``.venv-compat`` to itself, without
the project: what is installed there calls a gateway and is no part of one.

This file stays readable by old Pythons, down to 3.7: it must start there to say that 3.11 or
newer is needed, or to find one. So it imports the standard library alone.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = "faregate.json"

PYTHON_MIN = (3, 11)
PYTHON_NAMES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python")

# Which locks a profile installs, and which installed profiles already satisfy it.
PROFILE_LOCKS = {
    "runtime": ("runtime", "build"),
    "dev": ("dev",),
    "real-model": ("real-model",),
    "compat": ("compat",),
}
SATISFIED_BY = {"runtime": ("dev",), "dev": (), "real-model": (), "compat": ()}
# Profiles whose locks hold all there is to install: the project is not put over them.
WITHOUT_PROJECT = {"real-model", "compat"}

# Settings of the caller's own Python or pip that would send the packages elsewhere.
FOREIGN_VARIABLES = (
    "PIP_PREFIX",
    "PIP_REQUIRE_HASHES",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_PYTHON",
    "VIRTUAL_ENV",
)


class SetupFailed(Exception):
    """The environment cannot be made; the message says what to do."""


def venv_of(profiles: list[str]) -> Path:
    """The environment that ``profiles`` are installed in."""
    if "compat" not in profiles:
        return ROOT / ".venv"
    if len(profiles) > 1:
        raise SetupFailed("compat has an environment of its own; name it alone.")
    return ROOT / ".venv-compat"


def python_version(python: str) -> tuple[int, int] | None:
    """(major, minor) of an interpreter; None where it does not run."""
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        done = subprocess.run(
            [python, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def find_python(wanted: str | None) -> str:
    """The interpreter asked for, else this one, else the first on PATH that is new enough."""
    least = ".".join(str(part) for part in PYTHON_MIN)
    if wanted:
        version = python_version(wanted)
        if version is None:
            raise SetupFailed("PYTHON={} does not run as a Python interpreter.".format(wanted))
        if version < PYTHON_MIN:
            raise SetupFailed(
                "PYTHON={} is Python {}.{}; Faregate needs {} or newer.".format(
                    wanted, version[0], version[1], least
                )
            )
        return shutil.which(wanted) or wanted
    # Outside of any active virtual environment, which may be deleted later.
    own = getattr(sys, "_base_executable", None) or sys.executable
    for candidate in (own, *PYTHON_NAMES):
        version = python_version(candidate)
        if version is not None and version >= PYTHON_MIN:
            return shutil.which(candidate) or candidate
    raise SetupFailed(
        "No Python {} or newer was found (looked for {}).\n"
        "Install one, or name it: make {} PYTHON=/path/to/python3".format(
            least, ", ".join(PYTHON_NAMES), os.environ.get("FAREGATE_MAKE_TARGET", "demo")
        )
    )


def fingerprint(profile: str) -> str:
    """SHA-256 over all that decides what a profile installs."""
    digest = hashlib.sha256(str(ROOT).encode())
    names = ["requirements/{}.lock".format(name) for name in PROFILE_LOCKS[profile]]
    for name in ["pyproject.toml", *names]:
        try:
            content = (ROOT / name).read_bytes()
        except FileNotFoundError:
            raise SetupFailed("{} is missing from this checkout.".format(name)) from None
        digest.update(b"\0" + name.encode() + b"\0" + content)
    return digest.hexdigest()


def installed(venv: Path) -> dict[str, str]:
    """What ``venv`` holds: profile to fingerprint; empty where it is absent or unusable."""
    if not (venv / "bin" / "python").exists():
        return {}
    try:
        note = json.loads((venv / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def same_python(have: dict[str, str], wanted_python: str | None) -> bool:
    """Whether an environment runs the Python asked for; any will do when none is."""
    if not wanted_python:
        return True
    version = python_version(wanted_python)
    return version is None or have.get("python") == "{}.{}".format(*version)


def missing(profiles: list[str], have: dict[str, str]) -> list[str]:
    """The profiles that are not installed as the checkout now describes them."""
    return [
        profile
        for profile in profiles
        if not any(
            have.get(name) == fingerprint(name) for name in (profile, *SATISFIED_BY[profile])
        )
    ]


def note_installed(venv: Path, have: dict[str, str]) -> None:
    """Record what ``venv`` holds; the file is replaced whole."""
    fresh = (venv / NOTE).with_suffix(".new")
    fresh.write_text(json.dumps(have, indent=1) + "\n")
    os.replace(str(fresh), str(venv / NOTE))


def environment() -> dict[str, str]:
    """The caller's environment without what would misdirect an installer."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return kept


def run(command: list[str]) -> None:
    """Run one step; its own output explains a failure."""
    try:
        subprocess.run(command, check=True, cwd=str(ROOT), env=environment())
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupFailed("This step failed: {}\n{}".format(" ".join(command), error)) from error


def create_venv(venv: Path, python: str, uv: str | None) -> None:
    """A new, empty environment."""
    if venv.exists():
        shutil.rmtree(str(venv))
    if uv:
        run([uv, "venv", "--quiet", "--python", python, str(venv)])
        return
    try:
        run([python, "-m", "venv", str(venv)])
    except SetupFailed as error:
        raise SetupFailed(
            "{}\nOn Debian and Ubuntu the venv module is a package of its own:"
            " apt install python3-venv".format(error)
        ) from error


def install(venv: Path, profiles: list[str], uv: str | None) -> None:
    """The locks of ``profiles``, each file as its hashes say, then the project over them."""
    python = str(venv / "bin" / "python")
    if uv:
        pip = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        pip = [python, "-m", "pip", "install", "--quiet"]
    for profile in profiles:
        files = []
        for name in PROFILE_LOCKS[profile]:
            files += ["-r", "requirements/{}.lock".format(name)]
        # The locks are complete, so nothing is left to resolve; for the real model this also
        # keeps out what it asks for without need.
        run([*pip, "--require-hashes", "--no-deps", *files])
    if not WITHOUT_PROJECT.issuperset(profiles):
        run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."])


def prepare(profiles: list[str], wanted_python: str | None, uv: str | None) -> None:
    """Bring the environment to what ``profiles`` need, made anew where it cannot be built upon."""
    venv = venv_of(profiles)
    have = installed(venv)
    can_install = bool(uv) or (venv / "bin" / "pip").exists()
    # Without its note, an interrupted run's half-made environment is made anew next time.
    if (venv / NOTE).exists():
        (venv / NOTE).unlink()
    if not (have and can_install and same_python(have, wanted_python)):
        python = find_python(wanted_python)
        version = python_version(python) or PYTHON_MIN
        have = {"python": "{}.{}".format(*version)}
        create_venv(venv, python, uv)
    todo = missing(profiles, have)
    print(
        "Setting up {} for Python {}: {}. This is done once.".format(
            venv.name, have["python"], ", ".join(todo)
        ),
        flush=True,
    )
    install(venv, todo, uv)
    have.update({profile: fingerprint(profile) for profile in todo})
    note_installed(venv, have)


def is_ready(profiles: list[str], wanted_python: str | None) -> bool:
    """Whether nothing is left to do."""
    have = installed(venv_of(profiles))
    return not missing(profiles, have) and same_python(have, wanted_python)


def set_up(profiles: list[str], wanted_python: str | None) -> None:
    """Make the environment ready, one run at a time. Raises SetupFailed."""
    if is_ready(profiles, wanted_python):
        return
    if wanted_python:
        find_python(wanted_python)
    venv = venv_of(profiles)
    with venv.with_name("{}.lock".format(venv.name)).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_ready(profiles, wanted_python):
            return  # another run did it while this one waited
        uv = shutil.which("uv")
        if uv:
            try:
                prepare(profiles, wanted_python, uv)
                return
            except SetupFailed as error:
                # uv does not read pip's configuration: an index named there is pip's to reach.
                print("{}\nTrying again with pip.".format(error), file=sys.stderr, flush=True)
        prepare(profiles, wanted_python, None)


def main() -> int:
    """The exit status; errors are told in a sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("profiles", nargs="+", choices=sorted(PROFILE_LOCKS))
    parser.add_argument("--python", default=os.environ.get("PYTHON") or None)
    arguments = parser.parse_args()
    try:
        set_up(arguments.profiles, arguments.python)
    except SetupFailed as error:
        print("Set-up failed. {}".format(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
