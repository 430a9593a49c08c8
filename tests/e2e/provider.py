"""The simulated provider as a process, with its truth log; and what every rig needs."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.simulator.truth import Charge, read_truth
from tests.e2e.traffic import Caller
from tests.processes import Running

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.02
"""Stores and other processes tell nobody when they are done, so they are asked this often."""


def clean_environment(**values: object) -> dict[str, str | None]:
    """Variables for a process: no setting of the machine's own, and ``values``."""
    ours = {name: None for name in os.environ if name.startswith(("FAREGATE_", "OPENAI_"))}
    set_here = {name: None if v is None else str(v) for name, v in values.items()}
    return {**ours, "PYTHONPATH": str(ROOT), **set_here}


def report(measured: str) -> None:
    """Say what a test has measured; ``pytest -rP`` shows it."""
    sys.stdout.write(f"{measured}\n")


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of ``condition``; AssertionError where none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
    return value


class SimulatedProvider:
    """A simulator process and its truth log."""

    def __init__(self, folder: Path) -> None:
        self.truth_log = folder / "truth.jsonl"
        command = [sys.executable, "-m", "gateway.simulator", "--port", "0", "--quiet"]
        self.process = Running(
            [*command, "--truth-log", str(self.truth_log)], env=clean_environment(), cwd=folder
        )
        self.port = int(self.process.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)/v1")[1])
        # Vocabularies are read at the first request that needs them, which takes a moment.
        for model in ("gpt-4o-mini", "gpt-3.5-turbo"):
            self.caller().chat(model=model, max_tokens=1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def caller(self) -> Caller:
        """Someone who calls the simulator itself."""
        return Caller(self.port, "sk-direct")

    def totals(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/sim/truth") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def serve_some(self, requests: int, seconds: float = 30.0) -> None:
        """Return once ``requests`` more have been charged."""
        target = self.totals()["requests"] + requests
        until(lambda: self.totals()["requests"] >= target, seconds, f"{requests} more charges")

    def quiet(self, seconds: float = 20.0) -> None:
        """Return once no answer is being made, so that every charge is in the log."""
        until(lambda: self.totals()["answering"] == 0, seconds, "the simulator to be idle")

    def charges(self) -> dict[str, list[Charge]]:
        """Every charge that came through a gateway, by the gateway's request id."""
        found: dict[str, list[Charge]] = {}
        for charge in read_truth(self.truth_log):
            if charge.client_request_id:
                found.setdefault(charge.client_request_id, []).append(charge)
        return found
