from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("redis_pipeline_cases.py")

PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys, pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]]))
"""


def test_the_pipeline_in_a_process_like_a_gateway_worker() -> None:
    """redis-py reads from blocking sockets, which greenlets can share only once patched."""
    run = subprocess.run(
        [sys.executable, "-c", PATCHED, str(CASES)],
        cwd=CASES.parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
