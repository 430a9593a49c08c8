"""The last step of every route on the paid path: admit, serve, turn into HTTP."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from gateway.core.holds import Hold
from gateway.exchange import Exchange, Gate, Prepare, Reply
from gateway.relay import complete, settle_left_open
from gateway.relay_stream import stream
from gateway.web.admitting import admitted
from gateway.web.current import Services
from gateway.web.idempotency import once

Serve = Callable[[Gate, Exchange, Hold], Reply]
"""Serves an admitted request: ``relay.complete``, ``relay_stream.stream`` and their like."""


def whole_or_streamed(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve by what the request asked for."""
    return (stream if exchange.streamed else complete)(gate, exchange, hold)


def serve(at: Services, prepare: Prepare, how: Serve = complete) -> Response:
    """The response to the current request: prepared, admitted and served, once for its key."""

    def run(prepare: Prepare) -> Reply:
        exchange, hold = admitted(at, prepare)
        try:
            return how(at.gate, exchange, hold)
        except BaseException:
            settle_left_open(at.gate, exchange, hold)
            raise

    return once(at.answers, prepare, run)
