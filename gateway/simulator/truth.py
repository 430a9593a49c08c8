"""The truth log: what the simulated provider charged, durable before it answers.

One JSON object per line. Hundreds of requests at once share an fsync: each waits for the commit
that holds its line, and one commit runs at a time, off the event loop.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent.event import Event


@dataclass(frozen=True, slots=True)
class Charge:
    """What the provider bills for one request. Totals include their parts, as in its reports."""

    endpoint: str
    model: str
    """The dated model name, which decides the price."""
    service_tier: str = "default"
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    image_tokens: int = 0
    audio_prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    units: dict[str, int] = field(default_factory=dict)
    """Meters that are not tokens of text, by name (images, characters, milliseconds ...)."""
    variant: str = ""
    """What else the price of a unit depends on: size, and quality where it is not the standard
    one (``1024x1024``, ``hd-1024x1792``); empty for all but pictures charged by the piece."""
    streamed: bool = False
    finished: bool = True
    """False where the answer was cut short; the counts are what was generated until then."""
    status: int = 200
    number: int = 0
    """Position of the request in the life of this server, from 1."""
    request_id: str = ""
    """The ``x-request-id`` of the answer."""
    client_request_id: str | None = None
    """The ``x-client-request-id`` header of the request."""
    api_key_id: str = ""
    """Which of the organization's keys the request came with."""
    requested_model: str = ""
    time: float = 0.0
    """Seconds since 1970 when the line was handed to the log."""

    def cut_at(self, tokens: int) -> Charge:
        """The charge when generation stopped after ``tokens`` output tokens."""
        return replace(
            self,
            completion_tokens=tokens,
            reasoning_tokens=min(tokens, self.reasoning_tokens),
            accepted_prediction_tokens=0,
            rejected_prediction_tokens=0,
            finished=False,
        )


_FIELDS = frozenset(f.name for f in fields(Charge))


def read_truth(path: str | Path) -> list[Charge]:
    """Every charge in the log at ``path``, in order; none where there is no log yet.

    A last line without its newline was cut by a crash before its fsync, so no answer left the
    provider for it: it is not counted. Raises ValueError for any other damaged line.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    return parse_truth(data[: data.rfind(b"\n") + 1])


def parse_truth(lines: bytes) -> list[Charge]:
    """The charges in whole lines of a log. Raises ValueError for a damaged line."""
    charges = []
    for line in lines.splitlines():
        row = orjson.loads(line)
        charges.append(Charge(**{name: row[name] for name in row.keys() & _FIELDS}))
    return charges


class TruthLog:
    """Appends charges to a file, or only totals them where there is no path."""

    def __init__(self, path: str | Path | None) -> None:
        self._totals: Counter[str] = Counter()
        self._models: dict[str, Counter[str]] = {}
        self._pending: list[bytes] = []
        self._committed: Event | None = None
        self._committing = False
        self._file: int | None = None
        if path is not None:
            for charge in read_truth(path):
                self._add(charge)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            _drop_torn_line(Path(path))

    def append(self, charge: Charge) -> None:
        """Return once ``charge`` is on disk. Raises OSError where it cannot be written."""
        self._add(charge)
        if self._file is None:
            return
        self._pending.append(orjson.dumps(charge) + b"\n")
        if self._committed is None:
            self._committed = Event()
        mine = self._committed
        if not self._committing:
            self._committing = True
            gevent.spawn(self._commit)
        mine.wait()

    def _commit(self) -> None:
        """Write batches until none is left; a batch is whatever came during the last one."""
        pool = gevent.get_hub().threadpool
        while self._pending:
            batch, self._pending = b"".join(self._pending), []
            committed, self._committed = self._committed, None
            pool.apply(self._write, (batch,))
            if committed is not None:
                committed.set()
        self._committing = False

    def _write(self, batch: bytes) -> None:
        """Runs on a thread. A failing disk ends the process: a silent provider would lie."""
        assert self._file is not None
        try:
            view = memoryview(batch)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as error:
            os.write(2, f"simulator: cannot write the truth log: {error}\n".encode())
            os._exit(74)

    def _add(self, charge: Charge) -> None:
        counts = {
            "requests": 1,
            "unfinished": 0 if charge.finished else 1,
            "prompt_tokens": charge.prompt_tokens,
            "cached_tokens": charge.cached_tokens,
            "cache_write_tokens": charge.cache_write_tokens,
            "completion_tokens": charge.completion_tokens,
            "reasoning_tokens": charge.reasoning_tokens,
            **charge.units,
        }
        self._totals.update(counts)
        self._models.setdefault(charge.model, Counter()).update(counts)

    def totals(self) -> dict[str, Any]:
        """Sums over all charges, in all and by model."""
        models = {name: dict(counts) for name, counts in self._models.items()}
        return {**_zeros(), **self._totals, "models": models}


def _zeros() -> dict[str, int]:
    return {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0}


def _drop_torn_line(path: Path) -> None:
    """Cut a last line without newline, so that the next line does not join it."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)
