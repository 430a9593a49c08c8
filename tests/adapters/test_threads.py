from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from gateway.adapters.threads import (
    CONTROL_THREADS,
    COUNTING_THREADS,
    DISK_THREADS,
    EXPORT_THREADS,
    PASSWORD_THREADS,
    REPORT_THREADS,
    SQL_THREADS,
    on_control_thread,
    on_counting_thread,
    on_disk_thread,
    on_export_thread,
    on_intent_thread,
    on_password_thread,
    on_report_thread,
    on_sql_thread,
)

Run = Callable[..., Any]
POOLS: list[tuple[Run, int, Run]] = [
    (on_counting_thread, COUNTING_THREADS, on_sql_thread),
    (on_sql_thread, SQL_THREADS, on_counting_thread),
    (on_disk_thread, DISK_THREADS, on_sql_thread),
    # Whatever the control plane does, policies are loaded, and keys can be revoked.
    (on_control_thread, CONTROL_THREADS, on_sql_thread),
    (on_report_thread, REPORT_THREADS, on_sql_thread),
    (on_report_thread, REPORT_THREADS, on_control_thread),
    (on_export_thread, EXPORT_THREADS, on_report_thread),
    (on_password_thread, PASSWORD_THREADS, on_control_thread),
]


@pytest.mark.parametrize(
    "run", [on_counting_thread, on_disk_thread, on_intent_thread, on_sql_thread]
)
def test_a_call_runs_elsewhere_and_its_end_comes_back(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(divmod, 7, 2) == (3, 1)
    assert run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        run(divmod, 7, 0)
    # A refusal is no accident: nothing is printed.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("full", "size", "other"), POOLS)
def test_a_pool_that_is_full_holds_up_no_other(full: Run, size: int, other: Run) -> None:
    release = threading.Event()
    with gevent.Timeout(20):
        stuck = [gevent.spawn(full, release.wait, 20) for _ in range(size + 5)]
        try:
            gevent.sleep(0)
            assert other(divmod, 7, 2) == (3, 1)
            # Names are resolved in gevent's own pool.
            assert gevent.get_hub().threadpool.apply(divmod, (7, 2)) == (3, 1)
            assert not any(task.ready() for task in stuck)
        finally:
            release.set()
        gevent.joinall(stuck, raise_error=True)
