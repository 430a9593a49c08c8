"""Frameworks that talk to OpenAI's API, unchanged: they are given an address and a key."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import Mark
from tests.compat.costs import check_costs
from tests.compat.table import PARTS, WITHOUT
from tests.e2e.provider import ROOT
from tests.e2e.rig import Rig, Tenant

PYTHON = ROOT / ".venv-compat" / "bin" / "python"
PROGRAMS = Path(__file__).parent / "frameworks"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists() and "CI" not in os.environ,
    reason="there is no .venv-compat; `make test` makes it",
)


@pytest.mark.parametrize(
    ("framework", "calls"),
    [("langchain", 8), ("litellm", 7), ("pydantic_ai", 8), ("instructor", 5)],
)
def test_a_framework_runs_unchanged(
    framework: str,
    calls: int,
    rig: Rig,
    tenant: Tenant,
    mark: Mark,
    client_environment: Mapping[str, str],
    tmp_path: Path,
) -> None:
    assert PYTHON.exists(), "there is no .venv-compat; `make test` makes it"
    done = subprocess.run(
        [PYTHON, "-P", PROGRAMS / f"run_{framework}.py"],
        env=dict(client_environment),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    check_facts(facts)
    parts = [part for part in PARTS if (framework, part) not in WITHOUT]
    assert sorted(facts) == sorted(parts)
    records = check_costs(rig, tenant)
    assert len(records) == calls
    assert {record.certainty for record in records} == {"exact"}
    used = {(record.rows[0].input_tokens, record.rows[0].output_tokens) for record in records}
    for part in ("chat", "streaming", "responses"):
        if "usage" in facts[part]:
            assert tuple(facts[part]["usage"]) in used
    for part in parts:
        mark(framework, part)


def check_facts(facts: Mapping[str, Any]) -> None:
    """Every part of the program got what it asked for."""
    assert facts["chat"]["text"]
    assert min(facts["chat"]["usage"]) > 0
    assert facts["tools"]["name"]
    assert facts["tools"]["arguments"]
    assert facts["tools"]["then"]
    assert set(facts["structured"]) == {"Person"}
    assert facts["streaming"]["chunks"] > 3
    assert facts["streaming"]["text"]
    assert facts["responses"]["text"]
    assert facts.get("embeddings", [1536, 1536]) == [1536, 1536]
