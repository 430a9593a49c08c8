"""What the tests of clients share: who calls, and the check of what the calls cost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compat import table
from tests.e2e.provider import ROOT
from tests.e2e.rig import Rig, Tenant

VOCABULARY = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
PROPERTY = "compatibility"
"""Under this name a test's report carries the cells of the table that it proves."""

Mark = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-compatibility",
        action="store_true",
        help="write docs/compatibility.md from what passes in this run",
    )


def writes_table(config: pytest.Config) -> bool:
    """Whether this run writes the table. Runs that began with other folders lack the option."""
    return bool(config.getoption("--write-compatibility", default=False))


def pytest_configure(config: pytest.Config) -> None:
    if writes_table(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TableWriter())


class TableWriter:
    """Collects the cells of all tests, of whatever process, and writes the table at the end."""

    def __init__(self) -> None:
        self._passed: list[table.Cell] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            cells: list[Any] = [value for name, value in report.user_properties if name == PROPERTY]
            self._passed += [(cell[0], cell[1]) for cell in cells]

    def pytest_sessionfinish(self) -> None:
        table.TABLE.write_text(table.rendered(self._passed))


@pytest.fixture
def mark(record_property: Callable[[str, object], None]) -> Mark:
    """Notes that a cell of the table is proved: a call and a client, or a framework and a part."""

    def note(row: str, column: str) -> None:
        record_property(PROPERTY, [row, column])

    return note


@pytest.fixture
def tenant(rig: Rig) -> Tenant:
    """A client with a thousand dollars that may do everything, new for each test."""
    return rig.tenant(10**12, may_fine_tune=True)


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that tiktoken keeps vocabularies in, as if it had fetched them before."""
    folder = tmp_path_factory.mktemp("vocabularies")
    for file in (ROOT / "gateway" / "vocabularies").glob("*.tiktoken"):
        name = hashlib.sha1(VOCABULARY.format(file.stem).encode()).hexdigest()
        (folder / name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def client_environment(tenant: Tenant, vocabularies: Path) -> Mapping[str, str]:
    """The environment of a program that calls the gateway: its address, its key, no other."""
    ours = ("FAREGATE_", "OPENAI_", "PYTHON", "VIRTUAL_ENV")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "OPENAI_BASE_URL": tenant.caller.base_url,
        "OPENAI_API_KEY": tenant.key.secret,
        "TIKTOKEN_CACHE_DIR": str(vocabularies),
    }
