"""What the tests of clients share: who calls, and the check of what the calls cost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.provider import ROOT
from tests.e2e.rig import Rig, Tenant

VOCABULARY = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@pytest.fixture
def tenant(rig: Rig) -> Tenant:
    """A client with a thousand dollars, new for each test."""
    return rig.tenant(10**12)


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
