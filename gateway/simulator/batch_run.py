"""The life of one batch: validating, in_progress, finalizing, and one of four ends.

Each line is given to the endpoint that it names, in this process, and charged on its own at the
tier "batch", to the request that created the batch. Lines start evenly over the time given.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import gevent.pool
import orjson
from gevent.event import Event

from gateway.simulator.batch_input import Line, read_batch_input
from gateway.simulator.blobs import Blob
from gateway.simulator.errors import ProviderError, bad_request, injected
from gateway.simulator.faults import Directives, directives_for
from gateway.simulator.files import Files
from gateway.simulator.routes import Endpoint
from gateway.simulator.server import Answer, Request
from gateway.simulator.truth import Charge, TruthLog

WINDOW_SECONDS = 24 * 3_600
LINES_AT_ONCE = 32
CANCEL_SECONDS_MAX = 0.2
"""How long a batch stays ``cancelling``, at most, once nothing runs any more."""

BEFORE_AND_AFTER = 0.2
"""Share of a batch's time that validating takes, and finalizing too ..."""
BEFORE_AND_AFTER_SECONDS_MAX = 0.5
"""... but each no longer than this; the lines have the rest."""
_NOT_RUN = {
    "expired": (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}


@dataclass(slots=True)
class Batch:
    """A batch and how far it is. Times are seconds since 1970."""

    id: str
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    output_expires_in: int | None
    wish: Directives
    """What the request that created it wants of it, and of its lines."""
    strict: bool
    creator: Charge
    """The marks of the request that created it, for the charges of its lines."""
    status: str = "validating"
    times: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    charges: list[Charge] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    cancelled: Event = field(default_factory=Event)

    def enter(self, status: str) -> None:
        """Go over to ``status`` and note when."""
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def shown(self) -> dict[str, Any]:
        """The ``batch`` object."""
        created = self.times["created_at"]
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": created,
            "in_progress_at": self.times.get("in_progress_at"),
            "expires_at": created + WINDOW_SECONDS,
            "finalizing_at": self.times.get("finalizing_at"),
            "completed_at": self.times.get("completed_at"),
            "failed_at": self.times.get("failed_at"),
            "expired_at": self.times.get("expired_at"),
            "cancelling_at": self.times.get("cancelling_at"),
            "cancelled_at": self.times.get("cancelled_at"),
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "usage": self._usage(),
            "metadata": self.metadata,
        }

    def _usage(self) -> dict[str, Any]:
        into = sum(charge.prompt_tokens for charge in self.charges)
        out = sum(charge.completion_tokens for charge in self.charges)
        cached = sum(charge.cached_tokens for charge in self.charges)
        reasoning = sum(charge.reasoning_tokens for charge in self.charges)
        return {
            "input_tokens": into,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": into + out,
        }


class BatchRun:
    """Runs one batch from its creation to its end."""

    def __init__(
        self,
        batch: Batch,
        content: Blob,
        files: Files,
        log: TruthLog,
        find: Callable[[Request], Endpoint | None],
    ) -> None:
        self._batch = batch
        self._content = content
        self._files = files
        self._log = log
        self._find = find
        seconds = batch.wish.batch_ms / 1000
        self._aside = min(BEFORE_AND_AFTER_SECONDS_MAX, seconds * BEFORE_AND_AFTER)
        self._running = seconds - 2 * self._aside
        self._line_wish = replace(batch.wish, status=None, fault=None, latency_ms=0)
        self._results: dict[int, tuple[bool, bytes]] = {}
        """By line: whether it succeeded, and what it adds to its file."""

    def __call__(self) -> None:
        """Return when the batch has ended."""
        batch = self._batch
        # Reading runs on a thread, so that a file of 200 MB does not stall the others.
        read = gevent.get_hub().threadpool.apply(read_batch_input, (self._content, batch.endpoint))
        batch.cancelled.wait(self._aside)
        if batch.cancelled.is_set():
            self._end_cancelled([])
            return
        if read.errors:
            batch.errors = read.errors
            batch.enter("failed")
            return
        batch.model, batch.total = read.model, len(read.lines)
        batch.enter("in_progress")
        expired = self._run_lines(read.lines)
        if batch.cancelled.is_set():
            self._end_cancelled(read.lines)
            return
        batch.enter("finalizing")
        if batch.cancelled.wait(self._aside):
            self._end_cancelled(read.lines)
            return
        end = "expired" if expired else "completed"
        self._write_files(read.lines, end)
        batch.enter(end)

    def _run_lines(self, lines: list[Line]) -> bool:
        """Run all lines, or those before a cancellation; whether the batch expired before all."""
        batch, pool = self._batch, gevent.pool.Pool(LINES_AT_ONCE)
        step = self._running / len(lines)
        started = time.monotonic()
        limit = batch.wish.batch_expires_after
        for index, line in enumerate(lines):
            pause = started + step * index - time.monotonic()
            if batch.cancelled.wait(max(0.0, pause)) or index == limit:
                break
            pool.spawn(self._run_line, index, line)
        pool.join()
        if limit is not None and limit < len(lines):
            return True
        batch.cancelled.wait(max(0.0, started + step * len(lines) - time.monotonic()))
        return False

    def _run_line(self, index: int, line: Line) -> None:
        batch = self._batch
        request = Request(
            method="POST",
            path=batch.endpoint,
            query="",
            headers={"content-type": "application/json"},
            body=line.body,
            keep_alive=True,
            chunks_allowed=True,
            number=batch.creator.number,
            id=f"req_{secrets.token_hex(16)}",
            strict=batch.strict,
        )
        answer = self._answered(request)
        status = answer.status
        if answer.charge is not None:
            charge = replace(
                answer.charge,
                service_tier="batch",
                number=batch.creator.number,
                time=time.time(),
                request_id=request.id,
                client_request_id=batch.creator.client_request_id,
                api_key_id=batch.creator.api_key_id,
            )
            self._log.append(charge)
            batch.charges.append(charge)
        if answer.on_charged is not None:
            answer.on_charged()
        response = {
            "status_code": status,
            "request_id": request.id,
            "body": orjson.loads(answer.body),
        }
        fine = status < 400
        self._results[index] = fine, _row(line, response, None)
        batch.completed += fine
        batch.failed += not fine

    def _answered(self, request: Request) -> Answer:
        """One line as its endpoint answers it, be it with an error."""
        try:
            return self._answer(request)
        except ProviderError as error:
            return Answer(error.body(), status=error.status)
        except Exception:
            traceback.print_exc()
            return Answer(injected(500).body(), status=500)

    def _answer(self, request: Request) -> Answer:
        """What can only be followed by a client of its own is refused: the choice made here."""
        body = request.json()
        wish = directives_for({}, body.get("metadata"), self._line_wish)
        request.directives = wish
        gevent.sleep(wish.latency_ms / 1000)
        if wish.status is not None:
            raise injected(wish.status)
        for name in ("stream", "background"):
            if body.get(name):
                message = f"The '{name}' parameter is not supported in the Batch API."
                raise bad_request(message, name, "unsupported_parameter")
        endpoint = self._find(request)
        if endpoint is None:
            raise ProviderError(404, f"Invalid URL (POST {request.path})")
        answer = endpoint(request)
        assert isinstance(answer, Answer)
        return answer

    def _end_cancelled(self, lines: list[Line]) -> None:
        gevent.sleep(min(CANCEL_SECONDS_MAX, self._aside))
        self._write_files(lines, "cancelled")
        self._batch.enter("cancelled")

    def _write_files(self, lines: list[Line], end: str) -> None:
        """Store the output and the error file, each only where it has lines."""
        batch = self._batch
        outputs: list[bytes] = []
        errors: list[bytes] = []
        for index, line in enumerate(lines):
            if index in self._results:
                fine, row = self._results[index]
                (outputs if fine else errors).append(row)
            else:
                code, message = _NOT_RUN[end]
                errors.append(_row(line, None, {"code": code, "message": message}))
        batch.output_file_id = self._stored(outputs, "output")
        batch.error_file_id = self._stored(errors, "error")

    def _stored(self, rows: Iterable[bytes], kind: str) -> str | None:
        content = b"".join(rows)
        if not content:
            return None
        name = f"{self._batch.id}_{kind}.jsonl"
        expires_in = self._batch.output_expires_in
        return self._files.add(name, "batch_output", Blob(content), expires_in).id


def _row(line: Line, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    row = {
        "id": f"batch_req_{secrets.token_hex(16)}",
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }
    return orjson.dumps(row) + b"\n"
