"""Every promise of docs/security.md names code and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text()

Row = tuple[str, str, str]
"""Rule, where, tests."""


def rows() -> list[Row]:
    found = []
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| Rule |"):
            rule, where, tests = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append((rule, where, tests))
    return found


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of all tests in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_rule_names_a_test() -> None:
    assert len(rows()) > 40
    for rule, _, tests in rows():
        named = re.findall(r"`([^`]+)`", tests)
        assert named, rule
        assert ", ".join(f"`{name}`" for name in named) == tests, rule


def test_every_named_test_exists() -> None:
    missing = [
        name
        for _, _, tests in rows()
        for name in re.findall(r"`([^`]+)`", tests)
        if name.partition("::")[2] not in names_in(name.partition("::")[0])
    ]
    assert missing == []


def test_every_rule_says_where_it_is_kept() -> None:
    for rule, where, _ in rows():
        files = re.findall(r"`([^`]+)`", where)
        assert files, rule
        assert [file for file in files if not (ROOT / file).is_file()] == [], rule
