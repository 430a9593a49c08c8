"""The recorder process: recorder, expirer and restorer, a thread each."""

from __future__ import annotations

import threading
from collections.abc import Callable

import redis
import structlog
from sqlalchemy import Engine

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.workers.expirer import Expirer
from gateway.workers.recorder import Recorder
from gateway.workers.restorer import Restorer

_log = structlog.get_logger(__name__)


def run_background(
    budgets: RedisBudgets, blocking: redis.Redis, engine: Engine, batch: int, stop: threading.Event
) -> None:
    """Run until ``stop`` is set, then record what still waits.

    ``blocking`` is a client of its own, with room for the recorder's blocking reads. A thread
    that dies of an error it does not know ends the process, so that its supervisor sees it.
    """
    recorder = Recorder(blocking, budgets.keys, engine, batch)
    failures: list[BaseException] = []

    def guarded(run: Callable[[threading.Event], None]) -> Callable[[], None]:
        def work() -> None:
            try:
                run(stop)
            except BaseException as error:
                failures.append(error)
                stop.set()

        return work

    parts = (recorder.run, Expirer(budgets).run, Restorer(budgets, engine).run)
    threads = [threading.Thread(target=guarded(part), name=part.__qualname__) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    try:
        recorder.drain()
    except Exception as error:
        # Nothing is lost: the events wait in Redis for the next start.
        _log.warning("recorder.stopped_with_backlog", reason=type(error).__name__)
