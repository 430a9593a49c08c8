"""``/v1/batches``: create, list, get, cancel.

Source: OpenAI API reference, "Batch". How long a batch takes, and whether it expires, is up to
the directives of the request that creates it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import gevent
import orjson

from gateway.simulator.batch_run import Batch, BatchRun
from gateway.simulator.errors import ProviderError, bad_request, injected
from gateway.simulator.faults import Fault
from gateway.simulator.files import Files
from gateway.simulator.listing import (
    checked_metadata,
    expiry_seconds,
    one_of,
    page_of,
    required_text,
)
from gateway.simulator.routes import Endpoint, Route
from gateway.simulator.server import Answer, Request
from gateway.simulator.truth import Charge, TruthLog

ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
)
LIST_LIMIT = 20
LIST_LIMIT_MAX = 100

_FIELDS = frozenset(
    {"completion_window", "endpoint", "input_file_id", "metadata", "output_expires_after"}
)
_CANCELLABLE = ("validating", "in_progress", "finalizing")


class Batches:
    """The batches of the organization, and the endpoints on them."""

    def __init__(
        self, files: Files, log: TruthLog, find: Callable[[Request], Endpoint | None]
    ) -> None:
        """``find`` gives the endpoint that runs a line."""
        self._files = files
        self._log = log
        self._find = find
        self._batches: dict[str, Batch] = {}

    def routes(self) -> list[Route]:
        """The endpoints by method and path."""
        return [
            ("POST", "/v1/batches", self._create),
            ("GET", "/v1/batches", self._list),
            ("GET", "/v1/batches/{batch}", self._get),
            ("POST", "/v1/batches/{batch}/cancel", self._cancel),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.json()
        unknown = body.keys() - _FIELDS
        if request.strict and unknown:
            raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
        file_id = required_text(body, "input_file_id")
        endpoint = required_text(body, "endpoint")
        one_of(endpoint, ENDPOINTS, "endpoint")
        one_of(required_text(body, "completion_window"), ("24h",), "completion_window")
        metadata = checked_metadata(body)
        seconds = expiry_seconds(body.get("output_expires_after"), "output_expires_after")
        stored = self._files.find(file_id)
        if stored.purpose != "batch":
            raise bad_request(
                f"Invalid 'input_file_id': the file {file_id} has purpose '{stored.purpose}'. "
                "Expected a file with purpose 'batch'.",
                "input_file_id",
            )
        if request.directives.fault is Fault.ERROR_EVENT:
            raise injected(500)
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            endpoint=endpoint,
            input_file_id=file_id,
            metadata=metadata,
            output_expires_in=seconds,
            wish=request.directives,
            strict=request.strict,
            creator=Charge(
                endpoint="batches",
                model="",
                number=request.number,
                request_id=request.id,
                client_request_id=request.headers.get("x-client-request-id"),
                api_key_id=request.api_key_id,
            ),
            times={"created_at": int(time.time())},
        )
        self._batches[batch.id] = batch
        answer = Answer(orjson.dumps(batch.shown()))
        gevent.spawn(BatchRun(batch, stored.content, self._files, self._log, self._find))
        return answer

    def _list(self, request: Request) -> Answer:
        shown = [batch.shown() for batch in self._batches.values()]
        return page_of(shown, request, limit_default=LIST_LIMIT, limit_max=LIST_LIMIT_MAX)

    def _get(self, request: Request) -> Answer:
        return Answer(orjson.dumps(self._found(request).shown()))

    def _cancel(self, request: Request) -> Answer:
        batch = self._found(request)
        if batch.status == "cancelling":
            return Answer(orjson.dumps(batch.shown()))
        if batch.status not in _CANCELLABLE:
            raise ProviderError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.enter("cancelling")
        batch.cancelled.set()
        return Answer(orjson.dumps(batch.shown()))

    def _found(self, request: Request) -> Batch:
        batch = self._batches.get(request.params["batch"])
        if batch is None:
            raise ProviderError(404, f"No batch found with id '{request.params['batch']}'.")
        return batch
