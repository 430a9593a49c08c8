"""``/v1/fine_tuning/jobs``: create, list, get, cancel, pause, resume, events, checkpoints.

Source: OpenAI API reference, "Fine-tuning". A paused job shows the status "queued", as the
reference's example does: its statuses know no "paused".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.errors import ProviderError, bad_request, injected
from gateway.simulator.faults import Fault
from gateway.simulator.files import Files, StoredFile
from gateway.simulator.fine_tuning_request import job_request_of
from gateway.simulator.fine_tuning_run import Job, JobRun
from gateway.simulator.listing import page_of, random_id
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request
from gateway.simulator.truth import Charge, TruthLog

LIST_LIMIT = 20
CHECKPOINT_LIMIT = 10
LIST_LIMIT_MAX = 100

_FIELDS = frozenset(
    {
        "hyperparameters",
        "integrations",
        "metadata",
        "method",
        "model",
        "seed",
        "suffix",
        "training_file",
        "validation_file",
    }
)
_ENDED = ("succeeded", "failed", "cancelled")


class FineTuning:
    """The jobs of the organization, and the endpoints on them."""

    def __init__(self, files: Files, log: TruthLog, tokenizer: Tokenizer) -> None:
        self._files = files
        self._log = log
        self._tokenizer = tokenizer
        self._jobs: dict[str, Job] = {}

    def routes(self) -> list[Route]:
        """The endpoints by method and path."""
        job = "/v1/fine_tuning/jobs/{job}"
        return [
            ("POST", "/v1/fine_tuning/jobs", self._create),
            ("GET", "/v1/fine_tuning/jobs", self._list),
            ("GET", job, lambda request: _answer(self._found(request))),
            ("POST", f"{job}/cancel", self._cancel),
            ("POST", f"{job}/pause", self._pause),
            ("POST", f"{job}/resume", self._resume),
            ("GET", f"{job}/events", self._paged(lambda found: found.events, LIST_LIMIT)),
            (
                "GET",
                f"{job}/checkpoints",
                self._paged(lambda found: found.checkpoints, CHECKPOINT_LIMIT),
            ),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.json()
        unknown = body.keys() - _FIELDS
        if request.strict and unknown:
            raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
        wanted = job_request_of(body)
        training = self._training_file(wanted.training_file, "training_file")
        validation = None
        if wanted.validation_file is not None:
            validation = self._training_file(wanted.validation_file, "validation_file").content
        if request.directives.fault is Fault.ERROR_EVENT:
            raise injected(500)
        creator = Charge(
            endpoint="fine_tuning/jobs",
            model=wanted.model,
            requested_model=wanted.model,
            number=request.number,
            request_id=request.id,
            client_request_id=request.headers.get("x-client-request-id"),
            api_key_id=request.api_key_id,
        )
        job = Job(
            id=random_id("ftjob-"),
            request=wanted,
            creator=creator,
            seconds=request.directives.job_ms / 1000,
            created_at=int(time.time()),
            hyperparameters=dict(wanted.hyperparameters),
        )
        job.going.set()
        self._jobs[job.id] = job
        run = JobRun(job, training.content, validation, self._files, self._log, self._tokenizer)
        gevent.spawn(run)
        return _answer(job)

    def _training_file(self, file_id: str, param: str) -> StoredFile:
        """A file to train on. Raises ProviderError (400)."""
        try:
            stored = self._files.find(file_id)
        except ProviderError:
            raise bad_request(f"invalid {param}: {file_id}", param) from None
        if stored.purpose != "fine-tune":
            raise bad_request(
                f"invalid {param}: {file_id} has purpose '{stored.purpose}', not 'fine-tune'", param
            )
        return stored

    def _list(self, request: Request) -> Answer:
        wanted = {
            name[len("metadata[") : -1]: value
            for name, value in request.arguments().items()
            if name.startswith("metadata[") and name.endswith("]")
        }
        bare = request.arguments().get("metadata") == "null"
        shown = [
            job.shown()
            for job in self._jobs.values()
            if wanted.items() <= (job.request.metadata or {}).items()
            and not (bare and job.request.metadata)
        ]
        return page_of(shown, request, limit_default=LIST_LIMIT, limit_max=LIST_LIMIT_MAX)

    def _paged(
        self, entries: Callable[[Job], list[dict[str, Any]]], limit: int
    ) -> Callable[[Request], Answer]:
        """An endpoint that lists what belongs to a job."""

        def answer(request: Request) -> Answer:
            found = entries(self._found(request))
            return page_of(found, request, limit_default=limit, limit_max=LIST_LIMIT_MAX)

        return answer

    def _cancel(self, request: Request) -> Answer:
        job = self._under_way(request)
        job.cancelled.set()
        job.going.set()
        job.ended.wait()
        return _answer(job)

    def _pause(self, request: Request) -> Answer:
        job = self._under_way(request)
        if job.status != "running":
            raise bad_request(f"Job {job.id} has status '{job.status}' and cannot be paused.")
        job.going.clear()
        job.status = "queued"
        job.say("Fine-tuning job paused")
        return _answer(job)

    def _resume(self, request: Request) -> Answer:
        job = self._under_way(request)
        if job.going.is_set():
            raise bad_request(f"Job {job.id} is not paused.")
        job.status = "running"
        job.going.set()
        job.say("Fine-tuning job resumed")
        return _answer(job)

    def _under_way(self, request: Request) -> Job:
        """The job in the path. Raises ProviderError: 404 unknown, 400 ended."""
        job = self._found(request)
        if job.status in _ENDED:
            words = "completed" if job.status == "succeeded" else job.status
            raise bad_request(f"Job has already {words}: {job.id}")
        return job

    def _found(self, request: Request) -> Job:
        job = self._jobs.get(request.params["job"])
        if job is None:
            raise ProviderError(
                404,
                f"Could not find fine tune: {request.params['job']}",
                param="fine_tune_id",
                code="fine_tune_not_found",
            )
        return job


def _answer(job: Job) -> Answer:
    return Answer(orjson.dumps(job.shown()))
