from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from flask import Flask
from gevent.event import Event
from structlog.testing import capture_logs

import gateway.app
from gateway.adapters.allowances import Allowances
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.metrics import Metrics
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.policies import Policies
from gateway.adapters.refusal_counts import RefusalCounts
from gateway.adapters.roll_call import RollCall
from gateway.adapters.watermarks import Watermarks
from gateway.workers.expirer import Expirer


@pytest.mark.parametrize(
    ("owner", "task", "name"),
    [
        (Policies, "watch", "policy_watch"),
        (HoldKeeper, "renew_leases", "lease_renewal"),
        (HoldKeeper, "resolve_backlog", "late_resolutions"),
        (ObjectKeeper, "note_late", "late_objects"),
        (HoldKeeper, "adopt_spools", "adopted_spools"),
        (RollCall, "watch", "roll_call"),
        (Watermarks, "watch", "watermarks"),
        (Allowances, "keep", "allowances"),
        (Expirer, "run", "expiry"),
        (RefusalCounts, "write_for_ever", "refusals"),
        (Metrics, "watch", "gauges"),
    ],
)
def test_a_task_that_fails_is_logged_and_goes_on(
    make_app: Callable[[], Flask],
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    task: str,
    name: str,
) -> None:
    runs, ran_again = [], Event()

    def fail_once(*_: Any) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("a bug")
        ran_again.set()
        gevent.sleep(1e6)

    started: list[gevent.Greenlet[Any, Any]] = []

    def spawn(*args: Any) -> None:
        started.append(gevent.Greenlet.spawn(*args))

    # The others would wait for Redis, in a process whose sockets are not gevent's.
    for other, others_task in ((RollCall, "watch"), (Watermarks, "watch"), (Allowances, "keep")):
        monkeypatch.setattr(other, others_task, lambda *_: gevent.sleep(1e6))
    monkeypatch.setattr(owner, task, fail_once)
    monkeypatch.setattr(gateway.app, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(gevent, "spawn", spawn)
    app = make_app()
    with capture_logs() as logs:
        gateway.app.start_background(app)
        assert ran_again.wait(10)
    gevent.killall(started)
    assert len(started) == 11
    (failed,) = [log for log in logs if log["event"] == "background.failed"]
    assert failed["task"] == name
    assert failed["exc_info"]
