"""Failpoints: off and free by default, loud and repeatable when on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway import failpoints
from gateway.settings import Settings, SettingsError
from tests.e2e.provider import clean_environment

ROOT = Path(__file__).parents[1]


def run(code: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in clean_environment().items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", f"from gateway import failpoints\n{code}"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def said(run: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_without_the_setting_a_hit_does_nothing() -> None:
    assert Settings.model_construct().failpoints == ""
    failpoints.arm("")
    assert failpoints.hit is failpoints._off
    failpoints.arm("seed=7")
    assert failpoints.hit is failpoints._off


def test_every_point_is_in_the_code_once_and_the_other_way_round() -> None:
    hits = Counter(
        point
        for path in (ROOT / "gateway").rglob("*.py")
        for hit in re.findall(r"failpoints\.hit\(([^)]+)\)", path.read_text())
        for point in re.findall(r'"([^"]+)"', hit)
    )
    assert hits == Counter(failpoints.POINTS.keys())


def test_a_process_dies_at_its_point_and_says_so() -> None:
    ended = run("failpoints.arm('hold.placed=kill')\nfailpoints.hit('hold.placed')")
    assert ended.returncode == -signal.SIGKILL
    on, kill = said(ended)
    assert on["event"] == "failpoints.on"
    assert on["level"] == "critical"
    assert on["points"] == ["hold.placed"]
    assert (kill["event"], kill["point"]) == ("failpoint.kill", "hold.placed")


def test_other_points_stay_off_and_a_chance_is_kept() -> None:
    code = "failpoints.arm('hold.settled=raise:0.25,recorder.read=pause:0,seed=3')\n"
    code += "for _ in range(4000):\n"
    code += " failpoints.hit('hold.placed'); failpoints.hit('recorder.read')\n"
    code += " try: failpoints.hit('hold.settled')\n"
    code += " except failpoints.FailpointReached: pass"
    ended = run(code)
    assert ended.returncode == 0
    events = Counter(str(line["event"]) for line in said(ended))
    assert events.keys() == {"failpoints.on", "failpoint.raise"}
    assert 900 < events["failpoint.raise"] < 1100


DRAWS = """
import os
failpoints.arm('recorder.read=raise:0.5,seed={seed}')
def draws():
    found = ''
    for _ in range(64):
        try: failpoints.hit('recorder.read'); found += '.'
        except failpoints.FailpointReached: found += 'x'
    return found
print(draws(), flush=True)
for _ in range(2):
    if not (child := os.fork()):
        print(draws(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_the_same_seed_draws_the_same_and_each_child_its_own() -> None:
    first, again, other = (run(DRAWS.format(seed=seed)).stdout.split() for seed in (1, 1, 2))
    assert len(set(first)) == 3
    assert first == again
    assert set(first).isdisjoint(other)


def test_children_say_that_they_are_armed() -> None:
    assert [line["event"] for line in said(run(DRAWS.format(seed=1)))].count("failpoints.on") == 3


@pytest.mark.parametrize(
    "text",
    [
        "nowhere=kill",
        "hold.placed",
        "hold.placed=die",
        "hold.placed=kill:much",
        "hold.placed=kill:1.5",
        "hold.placed=pause:1:100",
        "hold.placed=kill:1:1:1",
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="FAREGATE_FAILPOINTS"):
        failpoints.parse(text)
