"""What other requests notice while a prompt of a megabyte is counted."""

from __future__ import annotations

import json
import random
from time import perf_counter

from bench.report import Table, quantile, ratio
from bench.stage import (
    ROOT,
    Load,
    Outcome,
    Served,
    folder,
    gateway,
    loading,
    question,
    run_load,
    simulator,
    stores,
)
from gateway.adapters.tokenizer import Tokenizer
from gateway.core.catalog import facts_for

PROMPT_BYTES = 1_000_000
PROBES = 1_000
PROBE_CONNECTIONS = 8
PROBE_PAUSE_SECONDS = 0.08
PROMPT_MODEL = "gpt-4"
"""Of the older encoding, which takes four times as long to count."""


def measure(scale: float) -> list[Table]:
    """A steady probe of small requests, alone and beside one big prompt after the other."""
    text = _words(PROMPT_BYTES)
    probes = Load(question(5), PROBE_CONNECTIONS, int(PROBES * scale), PROBE_PAUSE_SECONDS)
    with (
        folder() as place,
        simulator(place) as provider,
        stores(place) as used,
        gateway(place, provider, used) as target,
    ):
        # Counted, then refused: its budget affords no prompt of this length, so that nothing
        # but the gateway's own work is in the way.
        poor = Served(target.port, used.client("poor", 1), target.running)
        run_load(place, target, Load(question(5), PROBE_CONNECTIONS, 200)).required()
        quiet = run_load(place, target, probes).required()
        with loading(place, poor, _prompts(text, quiet.seconds + 2)) as prompts:
            beside = run_load(place, target, probes).required()
            counted = prompts().required()
    return [_table(quiet, beside, counted, _counting_seconds(text))]


def _prompts(text: str, seconds: float) -> Load:
    """One prompt of ``text`` after the other, for ``seconds``."""
    body = {"model": PROMPT_MODEL, "messages": [{"role": "user", "content": text}]}
    return Load(json.dumps(body).encode(), 1, 100_000, send_seconds=seconds, status=429)


def _words(size: int) -> str:
    """Ordinary words, ``size`` bytes of them, the same in every run."""
    source = random.Random(7)
    words = [word for word in (ROOT / "ARCHITECTURE.md").read_text().split() if word.isascii()]
    return " ".join(source.choices(words, k=size // 3))[:size]


def _counting_seconds(text: str) -> float:
    tokenizer = Tokenizer()
    tokenizer.preload()
    started = perf_counter()
    tokenizer.count(text, facts_for(PROMPT_MODEL).encoding)
    return perf_counter() - started


def _table(quiet: Outcome, beside: Outcome, counted: Outcome, counting: float) -> Table:
    rows = []
    for label, share in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0)):
        alone, together = quantile(quiet.latencies, share), quantile(beside.latencies, share)
        rows.append(
            (label, ratio(together, alone), f"{alone * 1000:.1f}", f"{together * 1000:.1f}")
        )
    note = (
        f"{quiet.requests} probes at about {quiet.per_second:.0f} a second, one worker. Beside"
        f" them {counted.requests} prompts of 1 MB were counted, one after the other; counting"
        f" one takes {counting * 1000:.0f} ms by itself, which is how long the others would wait"
        " if it were done on the event loop."
    )
    headings = ("latency of small requests", "beside prompts, alone = 1", "alone, ms", "beside, ms")
    return Table("count: small requests while 1 MB prompts are counted", headings, rows, [note])
