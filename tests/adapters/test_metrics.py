from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.metrics import Metrics
from gateway.core.outcomes import Outcome
from gateway.core.usage import Certainty, Usage

FORKED = """
import sys
from gateway.adapters.metrics import Metrics
from gateway.core.outcomes import Outcome
from gateway.core.usage import Certainty
metrics = Metrics()
metrics.settled("embeddings", "m", Outcome(200, Certainty.EXACT, int(sys.argv[1])))
metrics.streams.set(2)
print(metrics.expose().decode())
"""

GAUGES = """
import sys
import gevent
from gateway.adapters.metrics import Metrics
class Keeper:
    in_flight, unresolved, waiting = map(int, sys.argv[1:])
    class backlog:
        spooled, unwritten, replayed = 5, 2, 3
metrics = Metrics()
gevent.spawn(metrics.watch, Keeper)
gevent.idle()
metrics.backlog.set(Keeper.waiting)
print(metrics.expose().decode())
"""


def samples(text: str) -> dict[str, float]:
    return {
        ",".join([sample.name, *(str(v) for _, v in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_was_settled_is_counted() -> None:
    metrics = Metrics()
    usage = Usage(input_tokens=7, output_tokens=5)
    for certainty in (Certainty.EXACT, Certainty.ESTIMATED):
        metrics.settled("chat", "m", Outcome(200, certainty, 1_000, usage))
    metrics.settled("chat", "m", Outcome(502, Certainty.UNKNOWN, 9_007_199_254_740_991))
    found = samples(metrics.expose().decode())
    assert found["faregate_requests_total,exact,chat,m,200"] == 1
    assert found["faregate_requests_total,unknown,chat,m,502"] == 1
    assert found["faregate_cost_nanodollars_total,exact,m"] == 1_000
    assert found["faregate_cost_nanodollars_total,unknown,m"] == 2**53 - 1
    assert found["faregate_tokens_total,input,m"] == 14
    assert found["faregate_tokens_total,output,m"] == 10
    assert found["faregate_hold_overruns_total"] == 0


def test_refusals_and_streams_that_are_read_on() -> None:
    metrics = Metrics()
    metrics.refused("insufficient_quota")
    metrics.refused("insufficient_quota")
    with metrics.drain():
        with metrics.drain():
            assert metrics.draining() == 2
        assert metrics.draining() == 1
    assert metrics.draining() == 0
    assert samples(metrics.expose().decode())["faregate_refusals_total,insufficient_quota"] == 2


def test_two_deployments_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.overruns.inc()
    assert samples(other.expose().decode())["faregate_hold_overruns_total"] == 0


def run_process(folder: Path, program: str, *arguments: int) -> dict[str, float]:
    """What a process says that shares its metrics with the others of ``folder``."""
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return samples(run.stdout)


def test_processes_are_summed(tmp_path: Path) -> None:
    run_process(tmp_path, FORKED, 300)
    found = run_process(tmp_path, FORKED, 42)
    assert found["faregate_cost_nanodollars_total,exact,m"] == 342
    assert found["faregate_requests_total,exact,embeddings,m,200"] == 2


def test_each_process_says_how_many_holds_it_has(tmp_path: Path) -> None:
    """Whichever serves a scrape knows of all, and the backlog is what the last one saw."""
    run_process(tmp_path, GAUGES, 3, 1, 500)
    found = run_process(tmp_path, GAUGES, 4, 0, 20)
    assert found["faregate_holds_in_flight"] == 7
    assert found["faregate_resolutions_waiting"] == 1
    assert found["faregate_events_waiting"] == 20
    assert found["faregate_endings_spooled_total"] == 10
    assert found["faregate_endings_not_spooled_total"] == 4
    assert found["faregate_endings_replayed_total"] == 6
