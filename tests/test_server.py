"""How the server is set up; what it serves is tested end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.server import gunicorn_options
from gateway.settings import Settings

ROOT = Path(__file__).parents[1]

LIMITS = """
import json, resource, sys
from types import SimpleNamespace
from gateway.server import _raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])))
_raise_descriptor_limit(SimpleNamespace(cfg=SimpleNamespace(worker_connections=1000)))
print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(("hard", "soft"), [(10_000, 3024), (1000, 1000)])
def test_a_worker_may_open_what_its_settings_promise(hard: int, soft: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITS, str(hard)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [soft, hard]
    assert ("server.few_descriptors" in done.stdout + done.stderr) is (hard == 1000)


def test_no_peer_is_believed_what_it_says_of_itself() -> None:
    options = gunicorn_options(Settings())
    assert options["forwarded_allow_ips"] == ""
    assert options["forwarder_headers"] == ""
