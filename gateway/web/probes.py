"""/healthz, /readyz and /metrics: for load balancers and Prometheus, not for clients."""

from __future__ import annotations

from typing import Any

import structlog
from flask import Blueprint, Response, jsonify
from redis.exceptions import RedisError

from gateway.adapters.redis_budgets import StoreDown
from gateway.web.current import services

blueprint = Blueprint("probes", __name__)
_log = structlog.get_logger(__name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether this process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether requests can be admitted (Redis), and whether policy can be read (SQL).

    SQL being away does not make a gateway unready: it decides by the policy it has, and
    usage waits in Redis.
    """
    at = services()
    checks: dict[str, Any] = {"redis": "ok", "database": "ok"}
    ready = True
    try:
        state = at.budgets.state()
        if not state.admits:
            checks["redis"], ready = "suspended: the counters are being rebuilt", False
        reached = at.gate.watermarks.reached
        if reached is not None:
            checks["redis"], ready = f"full: {reached}", False
    except StoreDown as error:
        _log.warning("readyz.redis", reason=str(error))
        checks["redis"], ready = "unreachable", False
    if not at.database.answers():
        checks["database"] = "unreachable"
    return jsonify(status="ready" if ready else "not ready", checks=checks), 200 if ready else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus' text format, summed over worker processes."""
    at = services()
    found = at.gate.metrics
    try:
        found.backlog.set(at.budgets.events_waiting())
    except (StoreDown, RedisError):
        _log.warning("metrics.redis_unreachable")
    watermarks = at.gate.watermarks
    found.redis_memory.set(watermarks.levels[1])
    found.stopped.set(watermarks.reached is not None)
    return Response(found.expose(), content_type="text/plain; version=0.0.4; charset=utf-8")
