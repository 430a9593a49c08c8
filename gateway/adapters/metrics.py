"""Prometheus metrics, summed over worker processes. Labels are few and bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import gevent
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from gateway.adapters.hold_keeper import HoldKeeper
from gateway.core.outcomes import Outcome

_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
WATCH_SECONDS = 1.0
"""How often a process says how many holds it has; a scrape may be answered by any of them."""

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

_ENDINGS = (
    ("spooled", "Settles and releases that were written to disk, since Redis was away."),
    ("not_spooled", "Settles and releases that no disk took either while Redis was away."),
    ("replayed", "Settles and releases that waited, also of processes that died, and do no more."),
)

_Counters = tuple[Counter, Counter, Counter, Counter]


class Metrics:
    """The counters of one process; ``expose`` sums them over all of them."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "faregate_requests",
            "Requests forwarded, by how they ended.",
            ("endpoint", "model", "status", "certainty"),
            registry=registry,
        )
        self._refusals = Counter(
            "faregate_refusals",
            "Requests that the gateway itself answered with an error, by the error's code.",
            ("reason",),
            registry=registry,
        )
        self._tokens = Counter(
            "faregate_tokens", "Tokens metered.", ("model", "direction"), registry=registry
        )
        self._cost = Counter(
            "faregate_cost_nanodollars",
            "Cost charged, in nano-dollars.",
            ("model", "certainty"),
            registry=registry,
        )
        self.overruns = self._counter(
            "faregate_hold_overruns", "Requests that cost more than was held. Must be 0."
        )
        self.added_before = Histogram(
            "faregate_added_seconds",
            "Time between a request's arrival and its forwarding.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._holds = self._gauge(
            "faregate_holds_in_flight", "Holds owned by gateway processes.", "livesum"
        )
        self._endings = [
            self._counter(f"faregate_endings_{name}", meaning) for name, meaning in _ENDINGS
        ]
        self._unresolved = self._gauge(
            "faregate_resolutions_waiting", "Settles and releases that wait for Redis.", "livesum"
        )
        self.streams = self._gauge(
            "faregate_streams_open", "Streams being passed on or read on.", "livesum"
        )
        self._add_gauges_of_stores()
        self._draining = 0
        self._known: dict[tuple[str, str, int, str], _Counters] = {}

    def _add_gauges_of_stores(self) -> None:
        """One number for all processes each, set by whichever serves the scrape."""
        self.backlog = self._gauge(
            "faregate_events_waiting",
            "Usage events in Redis that SQL does not have yet.",
            "mostrecent",
        )
        self.redis_memory = self._gauge(
            "faregate_redis_memory_percent",
            "Share of Redis' maxmemory in use; 0 where it has none.",
            "mostrecent",
        )
        self.stopped = self._gauge(
            "faregate_admission_stopped",
            "1 while a watermark keeps new requests out.",
            "mostrecent",
        )

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(name, meaning, registry=self._registry)

    def _gauge(self, name: str, meaning: str, mode: Literal["livesum", "mostrecent"]) -> Gauge:
        return Gauge(name, meaning, multiprocess_mode=mode, registry=self._registry)

    def settled(self, endpoint: str, model: str, outcome: Outcome) -> None:
        """Count a forwarded request under ``model``, the name of its price: what clients write
        can be anything, and every label is kept for ever."""
        requests, cost, tokens_in, tokens_out = self._counters(
            endpoint, model, outcome.status, outcome.certainty.value
        )
        requests.inc()
        if outcome.cost_nano:
            cost.inc(outcome.cost_nano)
        if outcome.usage is not None:
            tokens_in.inc(outcome.usage.input_tokens)
            tokens_out.inc(outcome.usage.output_tokens)

    def _counters(self, endpoint: str, model: str, status: int, certainty: str) -> _Counters:
        """The counters of one kind of request, looked up once: labels are dear to resolve."""
        kind = (endpoint, model, status, certainty)
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = (
                self._requests.labels(endpoint, model, str(status), certainty),
                self._cost.labels(model, certainty),
                self._tokens.labels(model, "input"),
                self._tokens.labels(model, "output"),
            )
        return found

    def refused(self, reason: str) -> None:
        """Count an error that the gateway answered; ``reason`` is one of the gateway's codes."""
        self._refusals.labels(reason).inc()

    def watch(self, keeper: HoldKeeper) -> None:
        """Report the holds of this process for ever; run it as a greenlet."""
        told = (0, 0, 0)
        while True:
            self._holds.set(keeper.in_flight)
            self._unresolved.set(keeper.unresolved)
            backlog = keeper.backlog
            now = (backlog.spooled, backlog.unwritten, backlog.replayed)
            for counter, before, after in zip(self._endings, told, now, strict=True):
                counter.inc(after - before)
            told = now
            gevent.sleep(WATCH_SECONDS)

    def draining(self) -> int:
        """Streams that this process reads on for their usage alone."""
        return self._draining

    @contextmanager
    def drain(self) -> Iterator[None]:
        """Counts one stream that is read on."""
        self._draining += 1
        try:
            yield
        finally:
            self._draining -= 1

    def expose(self) -> bytes:
        """All metrics in Prometheus' text format."""
        if os.environ.get(_MULTIPROCESS):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)
