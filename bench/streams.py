"""How many streams one process holds at a time, what each costs, and what a newcomer waits."""

from __future__ import annotations

import contextlib
import http.client
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil

from bench.programs.proxy import THREADS
from bench.report import Table, ratio
from bench.stage import (
    Load,
    Outcome,
    Served,
    folder,
    gateway,
    loading,
    proxy,
    question,
    run_load,
    simulator,
    stores,
)

STREAMS = 2_000
TOKENS = 15
TOKEN_INTERVAL_MS = 1_000
"""Streams last 15 seconds, so that the first still runs when the last has begun."""
RAMP_SECONDS = 8.0
"""The streams are opened over this time, so that the opening does not take all of a core."""
SHORTEST = 400
"""Streams of one token, to know what the beginning and the end of a stream cost."""
SAMPLE_SECONDS = 0.25
POOL_STREAMS = 96
POOL_TOKENS = 3
"""Streams of three seconds, for the thread pool."""


@dataclass
class _Watch:
    """A process while it holds streams. Times in seconds, memory in bytes."""

    process: psutil.Process
    resting_bytes: int
    most_bytes: int = 0
    most_threads: int = 0
    direct: list[float] = field(default_factory=list)
    through: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Held:
    outcome: Outcome
    watch: _Watch
    cpu_seconds: float
    shortest: Outcome
    shortest_cpu_seconds: float

    @property
    def kib_per_stream(self) -> float:
        grown = self.watch.most_bytes - self.watch.resting_bytes
        return grown / 1024 / self.outcome.open_most

    @property
    def micros_per_event(self) -> float:
        """Of an event beyond those of the shortest stream."""
        shortest = self.shortest_cpu_seconds / self.shortest.requests
        beyond = self.cpu_seconds / self.outcome.requests - shortest
        events = self.outcome.events / self.outcome.requests
        return beyond * 1e6 / (events - self.shortest.events / self.shortest.requests)

    @property
    def micros_per_stream(self) -> float:
        """Of the shortest stream: a beginning, an end and little between."""
        return self.shortest_cpu_seconds * 1e6 / self.shortest.requests

    @property
    def added_ms(self) -> float:
        """First byte of a probe through the process, less that of the provider itself."""
        return (median(self.watch.through) - median(self.watch.direct)) * 1000


def measure(scale: float) -> list[Table]:
    """The same streams through the gateway, a bare proxy, and a pool of threads."""
    # Two sockets a stream at the gateway, and some for everything else.
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    streams = min(max(int(STREAMS * scale), 100), (files - 500) // 2)
    with folder() as place, simulator(place) as provider:
        with stores(place) as used, gateway(place, provider, used) as target:
            ours = _hold(place, provider, target, streams)
        with proxy(place, provider, "bare") as target:
            bare = _hold(place, provider, target, streams)
        with proxy(place, provider, "sdk", "gthread") as target:
            pool = run_load(place, target, _load(POOL_STREAMS, POOL_TOKENS, 0.0)).required()
    return [_table(streams, ours, bare), _pool_table(ours.outcome, streams, pool)]


def _load(streams: int, tokens: int, ramp_seconds: float) -> Load:
    body = question(tokens, stream=True, sim_token_interval_ms=TOKEN_INTERVAL_MS)
    # With a pause, connections begin one after the other instead of all at once.
    return Load(body, streams, streams, ramp_seconds)


def _hold(place: Path, provider: Served, target: Served, streams: int) -> _Held:
    """Open ``streams`` streams, and watch and probe while they run."""
    shortest = Load(question(1, stream=True), 32, SHORTEST)
    run_load(place, target, shortest).required()
    before = target.cpu_seconds()
    short = run_load(place, target, shortest).required()
    short_cpu = target.cpu_seconds() - before
    process = target.worker()
    watch = _Watch(process, process.memory_info().rss)
    before = target.cpu_seconds()
    with (
        loading(place, target, _load(streams, TOKENS, RAMP_SECONDS)) as finished,
        _watching(watch, provider, target),
    ):
        outcome = finished().required()
    return _Held(outcome, watch, target.cpu_seconds() - before, short, short_cpu)


@contextlib.contextmanager
def _watching(watch: _Watch, provider: Served, target: Served) -> Iterator[None]:
    """Sample and probe in a thread until the context ends."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(SAMPLE_SECONDS):
            watch.most_bytes = max(watch.most_bytes, watch.process.memory_info().rss)
            watch.most_threads = max(watch.most_threads, watch.process.num_threads())
            watch.direct.append(_first_byte_seconds(provider))
            watch.through.append(_first_byte_seconds(target))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def _first_byte_seconds(target: Served) -> float:
    """From sending a request for a stream to the first byte of its answer's body."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    with contextlib.closing(connection):
        connection.connect()
        headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
        started = perf_counter()
        connection.request("POST", "/v1/chat/completions", question(3, stream=True), headers)
        answer = connection.getresponse()
        answer.read(1)
        seconds = perf_counter() - started
        answer.read()
        return seconds


def _table(streams: int, ours: _Held, bare: _Held) -> Table:
    def row(label: str, found: float, base: float, digits: int) -> tuple[str, str, str, str]:
        return label, ratio(found, base), f"{found:.{digits}f}", f"{base:.{digits}f}"

    a, b = ours.outcome, bare.outcome
    rows = [
        row("streams served", a.requests - a.failures, b.requests - b.failures, 0),
        row("open at one time, most", a.open_most, b.open_most, 0),
        row("threads of the process, most", ours.watch.most_threads, bare.watch.most_threads, 0),
        row("memory per stream, KiB", ours.kib_per_stream, bare.kib_per_stream, 1),
        row("CPU per shortest stream, µs", ours.micros_per_stream, bare.micros_per_stream, 0),
        row("CPU per further event, µs", ours.micros_per_event, bare.micros_per_event, 1),
        row("first byte, added to the provider's, ms", ours.added_ms, bare.added_ms, 2),
    ]
    note = (
        f"{streams} streams of about {TOKENS * TOKEN_INTERVAL_MS / 1000:.0f} s in one worker,"
        f" {a.failures + b.failures} failures, each event a second after the last. The shortest"
        " stream has one token: it shows what a beginning and an end cost. First byte: medians of"
        f" {len(ours.watch.through)} probes while the streams were open; the provider itself"
        f" took {median(ours.watch.direct) * 1000:.2f} ms."
    )
    headings = ("one process", "bare proxy = 1", "gateway", "bare proxy")
    return Table("streams: many at a time in one process", headings, rows, [note])


def _pool_table(ours: Outcome, streams: int, pool: Outcome) -> Table:
    rows = [
        ("gateway (gevent)", ratio(ours.open_most, pool.open_most), streams, ours.open_most),
        (f"proxy, gthread with {THREADS} threads", "1.00", POOL_STREAMS, pool.open_most),
    ]
    note = "A thread serves one stream at a time; the others wait for their first byte."
    headings = ("one process", "open at one time, threads = 1", "asked for", "open at one time")
    return Table("streams: greenlets against a pool of threads", headings, rows, [note])
