"""Live traffic while things break: all kinds of clients, who do all kinds of things."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

import openai

from gateway.core.budgets import WindowKind
from gateway.simulator.faults import Fault
from tests.e2e.bypasses import begun
from tests.e2e.jsonl import chat_line
from tests.e2e.rig import Tenant
from tests.e2e.traffic import EMBEDDINGS, RESPONSES, Caller, prompted
from tests.faults.deployment import Deployment, seeded

CALLERS = 14
RICH_NANO = 10**12
POOR_NANO = 2_500_000
"""About twenty chats."""
TEAM_NANO, MATE_NANO = 6_000_000, 4_000_000
REFUSED_ENOUGH = 4
"""So often is a client refused for its budget before another takes its place."""

_GONE = (OSError, http.client.HTTPException, ValueError, KeyError, openai.OpenAIError)
"""What a caller sees of a gateway that dies: a broken connection, or half an answer."""

_STREAM_FAULTS = [fault.value for fault in Fault if fault not in (Fault.GZIP, Fault.FAILED)]
_STATUSES = (400, 408, 429, 500, 503)


class Traffic:
    """Callers in threads, until they are stopped."""

    def __init__(self, deployment: Deployment, seed: str, callers: int = CALLERS) -> None:
        self.deployment = deployment
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._refused: Counter[str] = Counter()
        self.rich: list[Tenant] = []
        self.poor: list[Tenant] = []
        self._make_rich()
        for _ in range(3):
            self._make_poor()
        self._make_mates()
        self._threads = [
            threading.Thread(target=self._call, args=(seeded(seed, f"caller {n}"),), daemon=True)
            for n in range(callers)
        ]

    # Clients

    def _make_rich(self) -> None:
        """Two clients of a team with budgets on client, team, organization and model."""
        rig = self.deployment
        first = rig.tenant(RICH_NANO)
        second = rig.mate(first)
        create = rig.directory.create_budget
        window: Any = {"window": WindowKind.MONTH}
        create("all", limit_nano=10**13, **window)
        create("of-team", limit_nano=RICH_NANO, team=first.team, **window)
        create("of-model", limit_nano=RICH_NANO, team=first.team, model_pattern="gpt-4o*", **window)
        limited = rig.tenant(RICH_NANO, requests_per_minute=600, concurrent_requests=3)
        rig.publish()
        self.rich = [first, second, limited]

    def _make_poor(self) -> None:
        self.poor.append(self.deployment.tenant(POOR_NANO))

    def _make_mates(self) -> None:
        """Clients whose budgets together are more than their team's."""
        rig = self.deployment
        first = rig.tenant(MATE_NANO)
        name = f"team-{first.name}"
        rig.directory.create_budget(
            name, limit_nano=TEAM_NANO, window=WindowKind.TOTAL, team=first.team
        )
        self.poor += [first, rig.mate(first), rig.mate(first)]
        rig.publish()

    def replace_exhausted(self) -> int:
        """Put a new client in the place of each that has used its budget up; how many."""
        replaced = 0
        for tenant in list(self.poor):
            if self._refused[tenant.name] >= REFUSED_ENOUGH:
                self._make_poor()
                self.poor.remove(tenant)
                replaced += 1
        self.counts["budgets exhausted"] += replaced
        return replaced

    # Calls

    def start(self) -> None:
        """Let the callers begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let each caller finish its last call."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller is stuck"

    def _call(self, chance: random.Random) -> None:
        ways = [way for way, _ in _WAYS]
        weights = [weight for _, weight in _WAYS]
        while not self._stop.is_set():
            ports = self.deployment.open_ports()
            (way,) = chance.choices(ways, weights)
            poor = chance.random() < 0.35
            tenant = chance.choice(list(self.poor if poor else self.rich))
            if not ports:
                self._stop.wait(0.1)
                continue
            caller = Caller(chance.choice(ports), tenant.key.secret, timeout=10.0)
            status = 0
            with contextlib.suppress(*_GONE):
                status = way(caller, chance)
            self._count(tenant, status)
            # Who is told that nothing is admitted, or meets a dead gateway, comes again later.
            self._stop.wait(chance.uniform(0, 0.5 if status in (0, 503) else 0.08))

    def _count(self, tenant: Tenant, status: int) -> None:
        with self._lock:
            self.counts["requests"] += 1
            name = "answered" if status == 200 else f"status {status}" if status else "broken"
            self.counts[name] += 1
            if status == 429:
                self._refused[tenant.name] += 1


def _directed(chance: random.Random) -> dict[str, object]:
    return {"token_interval_ms": chance.randint(0, 4), "latency_ms": chance.randint(0, 150)}


def _whole(caller: Caller, chance: random.Random) -> int:
    directed = _directed(chance)
    return caller.chat(directed=directed, max_completion_tokens=chance.randint(20, 300)).status


def _stream(caller: Caller, chance: random.Random) -> int:
    stream = caller.stream(directed=_directed(chance), max_completion_tokens=200)
    stream.all()
    return stream.status


def _hang_up(caller: Caller, chance: random.Random) -> int:
    stream = caller.stream(directed=_directed(chance), max_completion_tokens=200)
    list(islice(stream.events(), chance.randint(0, 30)))
    stream.hang_up(reset=chance.random() < 0.5)
    return stream.status


def _embed(caller: Caller, chance: random.Random) -> int:
    text = "word " * chance.randint(1, 200)
    return caller.post({"model": "text-embedding-3-small", "input": text}, EMBEDDINGS).status


def _respond(caller: Caller, chance: random.Random) -> int:
    body = prompted(max_output_tokens=200)
    if chance.random() < 0.5:
        return caller.post(body, RESPONSES, **_directed(chance)).status
    stream = caller.streamed(body, RESPONSES, **_directed(chance))
    stream.all()
    return stream.status


def _in_background(caller: Caller, chance: random.Random) -> int:
    body = prompted(max_output_tokens=200, background=True)
    lasts = chance.randint(100, 2_000)
    if chance.random() < 0.6:
        return caller.post(body, RESPONSES, background_ms=lasts).status
    stream = caller.streamed(body, RESPONSES, background_ms=lasts)
    list(islice(stream.events(), chance.randint(0, 20)))
    stream.hang_up()
    return stream.status


def _batch(caller: Caller, chance: random.Random) -> int:
    rows = [chat_line(number) for number in range(chance.randint(1, 6))]
    return begun(caller, *rows, batch_ms=chance.randint(200, 1_500)).status


def _fault(caller: Caller, chance: random.Random) -> int:
    """Something goes wrong at the provider."""
    if chance.random() < 0.3:
        return caller.chat(directed={"status": chance.choice(_STATUSES)}).status
    directed = {"fault": chance.choice(_STREAM_FAULTS)}
    if directed["fault"] == Fault.HANG and chance.random() < 0.7:
        directed = {"fault": Fault.RESET_MID_STREAM.value}
    if chance.random() < 0.5:
        return caller.chat(directed=directed, max_completion_tokens=100).status
    stream = caller.stream(directed=directed, max_completion_tokens=100)
    stream.all()
    return stream.status


_WAYS: list[tuple[Callable[[Caller, random.Random], int], float]] = [
    (_whole, 36),
    (_stream, 20),
    (_hang_up, 12),
    (_embed, 8),
    (_respond, 8),
    (_in_background, 3),
    (_batch, 0.4),
    (_fault, 10),
]
"""What callers do, and how often each."""
