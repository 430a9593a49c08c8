from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.truth import Charge
from tests.cli.rig import Faregate, record_request
from tests.e2e.replayed import write_truth
from tests.simulator.conftest import Simulated, start_simulator

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
NOON = TODAY - timedelta(hours=12)
MODEL = "gpt-4o-mini-2024-07-18"


def charge(at: datetime) -> Charge:
    return Charge(
        "chat/completions",
        MODEL,
        prompt_tokens=5_000,
        cached_tokens=4_000,
        completion_tokens=100,
        time=at.timestamp(),
    )


def recorded(faregate: Faregate, request_id: str, at: datetime) -> None:
    """The same, as the gateway records it."""
    lines = (
        ("input", 1_000, 150_000_000, 1_000_000),
        ("cached_input", 4_000, 75_000_000, 1_000_000),
        ("output", 100, 600_000_000, 1_000_000),
    )
    usage = {"input_tokens": 5_000, "cached_input_tokens": 4_000, "output_tokens": 100}
    record_request(
        faregate.engine,
        request_id,
        cost=510_000,
        at=at,
        model="gpt-4o-mini",
        lines=lines,
        usage=usage,
    )


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulated]:
    """A provider that bills one request more than is recorded, and 8.5 % for cached input."""
    path = tmp_path / "truth"
    write_truth(path, [charge(NOON), charge(NOON), charge(NOON + timedelta(hours=1))])
    for simulated in start_simulator(path, "--bill-cached-percent", "8.5"):
        monkeypatch.setenv("FAREGATE_UPSTREAM_URL", simulated.url)
        monkeypatch.setenv("FAREGATE_OPENAI_ADMIN_KEY", "sk-admin-1")
        yield simulated


def test_differences_are_shown_approved_and_gone(faregate: Faregate, provider: Simulated) -> None:
    recorded(faregate, "r1", NOON)
    recorded(faregate, "r2", NOON)
    found: Any = faregate.ask("reconcile", "--since", "1d")
    assert (found["id"], found["state"]) == (1, "open")
    assert (found["ours_usd"], found["theirs_usd"]) == ("0.001020000", "0.001606500")
    causes = {
        (line["line_item"], line["cause"]): line["cause_usd"] for line in found["differences"]
    }
    assert causes == {
        ("input", "missing"): "0.000150000",
        ("cached_input", "missing"): "0.000300000",
        ("cached_input", "cached_tokens"): "0.000076500",
        ("output", "missing"): "0.000060000",
    }
    table = faregate.run("reconcile", "--show", "1").stdout
    assert "8.5 % more than our price" in table
    assert "cached tokens" in table
    assert "+$0.0005865" in table
    assert max(len(line) for line in table.splitlines()) <= 80
    assert faregate.run("reconcile", "--list").stdout.count("open") == 1

    approved: Any = faregate.ask("reconcile", "--approve", "1")
    assert (approved["state"], approved["adjusted_usd"]) == ("approved", "0.000586500")
    assert approved["decided_by"].startswith("cli:")
    agreed: Any = faregate.ask("reconcile", "--since", "1d")
    assert (agreed["state"], agreed["differences"], agreed["id"]) == ("agreed", [], 2)
    assert (
        "No difference: $0.0016065 are recorded, and billed."
        in faregate.run("reconcile", "--show", "2").stdout
    )
    assert "is approved, not open" in faregate.refused("reconcile", "--dismiss", "1")
    # What was corrected is told with the rest.
    (team, nobody) = faregate.ask("usage", "--since", "2d", "--by", "team")["groups"]
    assert {team["cost_usd"], nobody["cost_usd"]} == {"0.001096500", "0.000510000"}


def test_what_cannot_be_compared_is_said(
    faregate: Faregate, provider: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no reconciliation 7" in faregate.refused("reconcile", "--show", "7")
    assert "no whole day" in faregate.run("reconcile", "--until", "2020-01-01", code=2).stderr
    assert "choose one of" in faregate.run("reconcile", "--list", "--show", "1", code=2).stderr
    assert "Nothing was compared" in faregate.run("reconcile", "--list").stderr
    monkeypatch.setenv("FAREGATE_OPENAI_ADMIN_KEY", "sk-of-nobody")
    assert "must be an admin key" in faregate.refused("reconcile")
    monkeypatch.delenv("FAREGATE_OPENAI_ADMIN_KEY")
    assert "FAREGATE_OPENAI_ADMIN_KEY" in faregate.refused("reconcile")
