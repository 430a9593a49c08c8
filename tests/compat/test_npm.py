"""The official npm package on every endpoint, and the first example of the documentation."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compat import material
from tests.compat.conftest import Mark
from tests.compat.costs import check_costs
from tests.compat.table import NPM_PACKAGES, ROWS
from tests.e2e.money import usd
from tests.e2e.provider import report
from tests.e2e.rig import Rig, Tenant

PROGRAMS = Path(__file__).parent / "npm"
INSTALL_SECONDS_MAX = 100
RUN_SECONDS_MAX = 100

pytestmark = [
    pytest.mark.skipif(
        shutil.which("node") is None or shutil.which("npm") is None,
        reason="Node or npm is not installed",
    ),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs, what they send, and the packages that they import; one for
    all processes of a run."""
    mine = tmp_path_factory.getbasetemp()
    run = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    folder = run / "npm"
    with (run / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            install(folder)
    return folder


def install(folder: Path) -> None:
    """Fill the folder."""
    folder.mkdir(exist_ok=True)
    for program in PROGRAMS.glob("*.mjs"):
        shutil.copy(program, folder)
    sent = {
        "picture": material.picture(),
        "sound": material.sound(),
        "batch_lines": material.batch_lines(),
        "training_lines": material.training_lines(),
    }
    given = {
        "person": material.PERSON,
        "weather": material.WEATHER,
        "tool_question": material.TOOL_QUESTION,
        **{name: base64.b64encode(data).decode() for name, data in sent.items()},
    }
    (folder / "material.json").write_text(json.dumps(given))
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", *NPM_PACKAGES]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX
    )
    assert done.returncode == 0, done.stderr
    (folder / "installed").touch()


def run(programs: Path, name: str, environment: Mapping[str, str], *arguments: str) -> Any:
    """What a program prints."""
    done = subprocess.run(
        ["node", name, *arguments],
        cwd=programs,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_endpoint(
    rig: Rig,
    tenant: Tenant,
    mark: Mark,
    programs: Path,
    client_environment: Mapping[str, str],
) -> None:
    names = [row.call for row in ROWS]
    went = run(programs, "run.mjs", client_environment, *names)
    assert list(went) == names
    for name in names:
        if went[name] is None:
            mark(name, "npm")
    assert {name: wrong for name, wrong in went.items() if wrong is not None} == {}
    assert len(check_costs(rig, tenant)) >= len(names)


def test_the_first_example(
    rig: Rig, tenant: Tenant, programs: Path, client_environment: Mapping[str, str]
) -> None:
    answer = run(programs, "example.mjs", client_environment)
    usage = answer["body"]["usage"]
    nano = 500 * usage["prompt_tokens"] + 1500 * usage["completion_tokens"]
    assert answer["headers"]["x-faregate-cost-usd"] == usd(nano)
    assert rig.truth_nano(answer["headers"]["x-faregate-request-id"]) == nano
    (record,) = check_costs(rig, tenant)
    assert record.cost_nano == nano
    content = answer["body"]["choices"][0]["message"]["content"]
    counts = f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    report(f"{counts}, ${usd(nano)}: {content}")
