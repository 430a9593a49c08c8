"""The composition root: builds the services once and the Flask application over them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent
import structlog
from flask import Flask
from gevent import monkey
from gevent.event import Event

from gateway import failpoints
from gateway.adapters.allowances import Allowances
from gateway.adapters.database import open_engine
from gateway.adapters.database_probe import DatabaseProbe
from gateway.adapters.file_contents import FileContents
from gateway.adapters.first_answers import FirstAnswers
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.identity_provider import IdentityProvider
from gateway.adapters.intents import Intents
from gateway.adapters.metrics import Metrics
from gateway.adapters.model_list import ModelList
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.policies import Policies
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.redis_pipeline import RedisPipeline
from gateway.adapters.refusal_counts import RefusalCounts
from gateway.adapters.roll_call import RollCall
from gateway.adapters.spool import Spool
from gateway.adapters.stores import redis_url_of
from gateway.adapters.threads import on_disk_thread, on_sql_thread
from gateway.adapters.tokenizer import Tokenizer
from gateway.adapters.upstream import Upstream
from gateway.adapters.usage_rows import ended
from gateway.adapters.watermarks import Watermarks
from gateway.exchange import Gate
from gateway.logs import set_up_logs
from gateway.settings import Settings, load_settings
from gateway.web import errors, paths, principals
from gateway.web.current import Services, keep
from gateway.web.routes import BLUEPRINTS
from gateway.workers.expirer import Expirer

EXPIRE_SECONDS = 15.0
"""How often a worker looks for dead holds. The recorder process looks far more often."""

_AGAIN_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def open_budgets(settings: Settings, *, greenlets: bool = False) -> RedisBudgets:
    """The budgets in the configured Redis, or in the embedded one of the data folder.

    ``greenlets`` says that the caller is a server of greenlets and not of threads.
    """
    timeout = settings.redis_timeout_seconds
    keys = RedisKeys(settings.redis_prefix)
    client = connect(redis_url_of(settings), timeout, meeting=keys)
    pipeline = RedisPipeline(client, timeout) if greenlets else None
    return RedisBudgets(client, keys, settings.hold_lease_seconds, pipeline)


def build_services(settings: Settings) -> Services:
    """Everything that the routes work with. Reads the policy; raises SQLAlchemy's errors."""
    engine = open_engine(settings.sql_url, pooled=False)
    # The first connection is made here, by reading the policy, and not by several native threads
    # at once: SQLAlchemy makes it under a lock that is patched for greenlets.
    # Where sockets are not green, a reader of one connection would hold up everything.
    budgets = open_budgets(settings, greenlets=monkey.is_module_patched("socket"))
    tokenizer = Tokenizer()
    tokenizer.preload()
    upstream = Upstream(settings)
    metrics = Metrics()
    policies = Policies(engine, budgets)
    spool, drawn = (Spool(settings.spool_folder, on_disk_thread) for _ in range(2))
    ask = partial(on_sql_thread, ended, engine)
    keeper = HoldKeeper(budgets, settings.hold_lease_seconds, ask, spool, drawn)
    gate = Gate(
        settings=settings,
        policies=policies,
        keeper=keeper,
        allowances=Allowances(
            budgets, keeper, drawn, lambda: policies.current, settings.outage_seconds
        ),
        objects=ObjectKeeper(engine, budgets),
        upstream=upstream,
        tokenizer=tokenizer,
        metrics=metrics,
        watermarks=Watermarks(budgets, settings.events_max, settings.redis_memory_percent),
        intents=Intents(engine) if settings.intents == "sql" else None,
    )
    answers = FirstAnswers(budgets, settings.idempotency_seconds, settings.idempotency_bytes_max)
    contents = FileContents(upstream)
    models, database = ModelList(upstream), DatabaseProbe(engine)
    roll_call = RollCall(budgets, gate.keeper)
    refusals = RefusalCounts(engine)
    people = IdentityProvider(settings) if settings.signs_in_by_oidc else None
    return Services(
        gate,
        budgets,
        models,
        answers,
        contents,
        database,
        roll_call,
        refusals,
        engine,
        people,
    )


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. Call ``start_background`` in each serving process."""
    settings = settings or load_settings()
    set_up_logs(settings)
    failpoints.arm(settings.failpoints)
    app = Flask("gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.body_bytes_max
    keep(app.extensions, build_services(settings))
    errors.install(app)
    paths.install(app)
    principals.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def start_background(app: Flask) -> None:
    """Start this process's greenlets: what keeps its policy, holds, owners and gauges right."""
    gate = services_of(app).gate
    pause_seconds = min(EXPIRE_SECONDS, gate.settings.hold_lease_seconds)
    expirer = Expirer(services_of(app).budgets, pause_seconds)
    gevent.spawn(_for_ever, "policy_watch", gate.policies.watch)
    gevent.spawn(_for_ever, "lease_renewal", gate.keeper.renew_leases)
    gevent.spawn(_for_ever, "late_resolutions", gate.keeper.resolve_backlog)
    gevent.spawn(_for_ever, "allowances", gate.allowances.keep)
    gevent.spawn(_for_ever, "adopted_spools", gate.keeper.adopt_spools)
    gevent.spawn(_for_ever, "watermarks", gate.watermarks.watch)
    gevent.spawn(_for_ever, "roll_call", services_of(app).roll_call.watch)
    gevent.spawn(_for_ever, "late_objects", gate.objects.note_late)
    gevent.spawn(_for_ever, "expiry", partial(expirer.run, Event()))
    gevent.spawn(_for_ever, "refusals", services_of(app).refusals.write_for_ever)
    gevent.spawn(_for_ever, "gauges", partial(gate.metrics.watch, gate.keeper))


def _for_ever(name: str, task: Callable[[], None]) -> None:
    """Run ``task`` again whatever ends it: money depends on these, and nobody sees them stop."""
    while True:
        try:
            task()
        except Exception:
            _log.exception("background.failed", task=name)
        gevent.sleep(_AGAIN_SECONDS)


def services_of(app: Flask) -> Services:
    """The services of ``app``."""
    found = app.extensions["faregate"]
    assert isinstance(found, Services)
    return found
