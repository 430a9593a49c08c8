from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from gateway.adapters.provider_bill import ProviderBill
from gateway.adapters.reconciliation_rows import listed
from gateway.settings import load_settings
from gateway.simulator.truth import Charge
from gateway.workers.reconciler import WORKER, Reconciler
from tests.e2e.provider import until
from tests.e2e.replayed import write_truth
from tests.simulator.conftest import Simulated, start_simulator

DAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Simulated]:
    path = tmp_path / "truth"
    at = (DAY + timedelta(hours=4)).timestamp()
    charge = Charge("embeddings", "text-embedding-3-small", time=at, prompt_tokens=50)
    write_truth(path, [charge])
    yield from start_simulator(path)


def reconciler(engine: Engine, url: str, key: str = "sk-admin-1") -> Reconciler:
    settings = load_settings(upstream_url=url, openai_admin_key=key)
    return Reconciler(engine, ProviderBill(settings), days=3, pause_seconds=0.01)


def test_a_day_is_compared_once_it_is_over(engine: Engine, provider: Simulated) -> None:
    worker = reconciler(engine, provider.url)
    noon = DAY + timedelta(days=1, hours=12)
    found = worker.step(noon)
    assert found is not None
    assert (found.since, found.until) == (DAY - timedelta(days=2), DAY + timedelta(days=1))
    (difference,) = found.differences
    assert (difference.theirs_nano, difference.parts[0].cause) == (1_000, "missing")
    assert worker.step(noon + timedelta(hours=11)) is None
    assert worker.step(noon + timedelta(hours=12)) is not None
    assert [row.state for row in listed(engine)] == ["open", "dismissed"]
    assert {row.created_by for row in listed(engine)} == {WORKER.actor}


def test_it_runs_until_it_is_stopped(engine: Engine, provider: Simulated) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=reconciler(engine, provider.url).run, args=(stop,))
    worker.start()
    until(lambda: listed(engine), 20, "a comparison of the days before today")
    stop.set()
    worker.join(20)
    (row,) = listed(engine)
    assert row.state == "agreed"


def test_a_bill_that_is_not_given_is_logged(engine: Engine, provider: Simulated) -> None:
    stop = threading.Event()
    stop.set()
    with capture_logs() as logs:
        reconciler(engine, provider.url, key="sk-of-nobody").run(stop)
    (line,) = logs
    assert line["event"] == "reconciler.no_bill"
    assert "FAREGATE_OPENAI_ADMIN_KEY" in line["reason"]
    assert listed(engine) == []
