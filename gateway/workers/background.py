"""The recorder process: recorder, expirer, rebuilder, follower and others, a thread each."""

from __future__ import annotations

import threading
from collections.abc import Callable

import redis
import structlog
from sqlalchemy import Engine

from gateway.adapters.alert_senders import AlertSender
from gateway.adapters.provider_bill import ProviderBill
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.upstream import provider_client
from gateway.settings import Settings
from gateway.workers.alerter import Alerter
from gateway.workers.deliverer import Deliverer
from gateway.workers.expirer import Expirer
from gateway.workers.followed import FOLLOWED
from gateway.workers.follower import Follower
from gateway.workers.rebuilder import Rebuilder
from gateway.workers.reconciler import Reconciler
from gateway.workers.recorder import Recorder

_log = structlog.get_logger(__name__)


def run_background(
    budgets: RedisBudgets,
    blocking: redis.Redis,
    engine: Engine,
    settings: Settings,
    stop: threading.Event,
) -> None:
    """Run until ``stop`` is set, then record what still waits.

    ``blocking`` is a client of its own, with room for the recorder's blocking reads. A thread
    that dies of an error it does not know ends the process, so that its supervisor sees it.
    """
    recorder = Recorder(blocking, budgets.keys, engine, settings.recorder_batch)
    provider = provider_client(settings) if settings.openai_api_key else None
    follower = Follower(budgets, engine, provider, FOLLOWED, settings.follow_seconds)
    rebuilder = Rebuilder(budgets, engine, settings.hold_lease_seconds)
    failures: list[BaseException] = []

    def guarded(run: Callable[[threading.Event], None]) -> Callable[[], None]:
        def work() -> None:
            try:
                run(stop)
            except BaseException as error:
                failures.append(error)
                stop.set()

        return work

    alerter, deliverer = Alerter(budgets, engine), Deliverer(engine, AlertSender(settings))
    parts = [recorder.run, Expirer(budgets).run, rebuilder.run, follower.run]
    parts += [alerter.run, deliverer.run]
    if settings.reconcile_days:
        parts.append(Reconciler(engine, ProviderBill(settings), settings.reconcile_days).run)
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
