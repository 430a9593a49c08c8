"""Health: whether requests are admitted, and whether usage is recorded behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Response

from gateway import __version__
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.table_files import Column
from gateway.adapters.threads import on_control_thread
from gateway.adapters.vital_signs import ALIVE_MS, RedisSigns, Signs, moment_of, redis_signs, told
from gateway.core.roles import Role
from gateway.web import principals
from gateway.web.current import Services, services
from gateway.web.dashboard import exports, shell
from gateway.web.dashboard.formats import duration

blueprint = shell.pages("health")

LIVE_SECONDS = 2
LATE_MS = 10_000
"""An event that waits for longer than this says that nobody records."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that should be so. ``tone`` is good, warn or bad; ``advice`` says what to do."""

    name: str
    tone: str
    text: str
    advice: str = ""


@blueprint.get("/health")
def health() -> Response:
    """How the deployment is."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    at = services()
    signs = read(at)
    checks = list(_checks(at, signs))
    if kind := exports.wanted():
        columns = [Column(name) for name in ("check", "state", "what", "advice")]
        rows = [(check.name, check.tone, check.text, check.advice) for check in checks]
        return exports.as_file(kind, "health", columns, exports.one_batch(rows))
    worst = next((tone for tone in ("bad", "warn") if any(c.tone == tone for c in checks)), "good")
    marks = at.gate.watermarks
    return shell.render(
        "health.html",
        viewer,
        title="Health",
        live=LIVE_SECONDS,
        signs=signs,
        checks=checks,
        worst=worst,
        epoch=None if signs.redis is None else moment_of(signs.redis.state.epoch),
        events_max=at.gate.settings.events_max,
        memory_percent_max=at.gate.settings.redis_memory_percent,
        memory_percent=marks.levels[1],
        alive_ms=ALIVE_MS,
        version=__version__,
        process={
            "Holds in flight": at.gate.keeper.in_flight,
            "Endings that wait for Redis": at.gate.keeper.unresolved,
            "Endings written to disk": at.gate.keeper.backlog.spooled,
            "Endings that no disk took": at.gate.keeper.backlog.unwritten,
            "Streams read on for their usage": at.gate.metrics.draining(),
        },
    )


def read(at: Services) -> Signs:
    """What both stores say at the moment."""
    try:
        redis, redis_error = redis_signs(at.budgets), ""
    except StoreDown as error:
        redis, redis_error = None, str(error)
    sql, sql_error = on_control_thread(told, at.engine)
    return Signs(redis, redis_error, sql, sql_error)


def _checks(at: Services, signs: Signs) -> Iterator[Check]:
    yield _admission(at, signs.redis)
    if signs.redis is not None:
        yield from _recording(signs.redis)
        yield _workers(signs.redis)
    if signs.sql is None:
        yield Check(
            "Database",
            "bad",
            f"It does not answer: {signs.sql_error}.",
            "Requests go on by the policy that is known; usage waits in Redis meanwhile.",
        )
        return
    yield Check("Database", "good", f"{signs.sql.kind} answers, schema {signs.sql.revision}.")
    if signs.sql.newest_price is None:
        yield Check(
            "Prices", "bad", "There is none, so every request is refused.", "faregate price sync"
        )
    if signs.sql.deliveries_failed:
        count = signs.sql.deliveries_failed
        yield Check(
            "Alerts", "warn", f"{count:,} could not be delivered.", "The log of alerts says why."
        )
    if at.gate.keeper.backlog.unwritten:
        yield Check(
            "Spool",
            "warn",
            f"{at.gate.keeper.backlog.unwritten:,} endings are in memory alone.",
            "Look at the disk of FAREGATE_SPOOL_DIR.",
        )


def _admission(at: Services, redis: RedisSigns | None) -> Check:
    if redis is None:
        return Check(
            "Admission",
            "bad",
            "Redis does not answer, so nothing is admitted but by outage allowances.",
            "Look at the server of FAREGATE_REDIS_URL.",
        )
    if not redis.state.admits:
        return Check(
            "Admission",
            "bad",
            f"Suspended while the counters are rebuilt: {redis.state.why or 'they are missing'}.",
            "The recorder process rebuilds them by itself; faregate rebuild does it by hand.",
        )
    if (reached := at.gate.watermarks.reached) is not None:
        return Check("Admission", "bad", f"Stopped: {reached}.", f"See {reached.mark.setting}.")
    return Check("Admission", "good", "Requests are admitted.")


def _recording(redis: RedisSigns) -> Iterator[Check]:
    waiting, age = redis.events_waiting, redis.oldest_event_ms
    if age > LATE_MS:
        yield Check(
            "Recording",
            "bad" if age > 6 * LATE_MS else "warn",
            f"{waiting:,} events wait, the oldest for {duration(age)}.",
            "Is faregate recorder running, and does the database answer it?",
        )
    else:
        text = f"{waiting:,} events wait, none for long." if waiting else "Nothing waits."
        yield Check("Recording", "good", text)
    if redis.rejected_events:
        yield Check(
            "Rejected events",
            "bad",
            f"{redis.rejected_events:,} events could not be recorded, and were set aside.",
            "faregate audit names them.",
        )


def _workers(redis: RedisSigns) -> Check:
    if redis.alive:
        text = "1 gateway worker is there." if redis.alive == 1 else f"{redis.alive} are there."
        return Check("Gateway workers", "good", text)
    return Check(
        "Gateway workers", "warn", "None gave a sign of life.", "faregate serve starts them."
    )
