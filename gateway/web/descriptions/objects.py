"""Objects that the provider keeps: files, uploads, batches, jobs, models, stored answers."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.batch_lines import KNOWN_OF_BATCHES, LINE_KINDS
from gateway.core.errors import Conflict, NotFound, UpstreamUnreachable
from gateway.core.objects import Kind
from gateway.core.training import EPOCHS_MAX, KNOWN_OF_JOBS, METHODS
from gateway.web.descriptions.operation import (
    EVENT,
    EVENTS,
    ID,
    JSON,
    PRICED,
    Operation,
    Query,
)
from gateway.web.descriptions.shapes import (
    ANY,
    Shape,
    either,
    fields,
    file,
    integer,
    list_of,
    metadata,
    nullable,
    one_of,
    record,
    text,
)
from gateway.web.descriptions.text import MODEL, const, refused_beside
from gateway.web.openai.checks import FILE_PURPOSES
from gateway.web.openai.files import LIST_MAX

PAGE_MAX = 100

_LIST = {JSON: record({"object": const("list"), "data": list_of({})})}
_AFTER = Query("after", text(), "The id of the last object of the page before.")
_ORDER = Query("order", one_of("asc", "desc"))
_METADATA = Query(
    "metadata",
    ANY,
    "Only objects with these pairs of strings.",
    "deepObject",
)


def _page(most: int = PAGE_MAX) -> tuple[Query, ...]:
    return (
        Query("limit", integer(1, most)),
        _ORDER,
        _AFTER,
        Query("before", text(), "The id of the first object of the page after."),
    )


def _object(kind: Kind) -> Mapping[str, Shape]:
    return {JSON: record({"id": text(1), "object": const(kind.value)})}


def _deleted() -> Mapping[str, Shape]:
    return {JSON: record({"id": text(1), "deleted": {"const": True}})}


_UPDATE = record({"metadata": {**metadata(), "type": ["object", "null"]}})
_EXPIRES = record({"anchor": const("created_at"), "seconds": integer(3_600, 2_592_000)})
_OPEN_BODY: Shape = {"type": "object"}
"""A body that the gateway passes on, where one comes."""

_HYPERPARAMETERS = record(
    {}, {"n_epochs": either(integer(1, EPOCHS_MAX), {"enum": ["auto", None]})}
)
_METHOD = either(
    *(
        record(
            {"type": const(kind)},
            {kind: nullable(record({}, {"hyperparameters": nullable(_HYPERPARAMETERS)}))},
        )
        for kind in METHODS
    )
)

FILES: Mapping[str, Operation] = {
    "files.upload_file": Operation(
        "Upload a file",
        _object(Kind.FILE),
        form=record({"file": file(), "purpose": one_of(*FILE_PURPOSES)}),
        unknown_pass=False,
    ),
    "files.list_files": Operation(
        "List one's own files",
        _LIST,
        query=(*_page(LIST_MAX), Query("purpose", text())),
        asks_provider=False,
    ),
    "files.retrieve_file": Operation("Describe a file", _object(Kind.FILE)),
    "files.delete_file": Operation("Delete a file", _deleted()),
    "files.download_file": Operation(
        "Download a file", {"application/octet-stream": {}, "application/jsonl": {}, JSON: {}}
    ),
    "uploads.create_upload": Operation(
        "Begin to upload a large file in parts",
        _object(Kind.UPLOAD),
        json=record(
            {
                "purpose": one_of(*FILE_PURPOSES),
                "bytes": integer(1, 8 * 1024**3),
                "filename": text(),
                "mime_type": text(),
            }
        ),
        unknown_pass=False,
    ),
    "uploads.add_part": Operation(
        "Add a part to an upload",
        _object(Kind.UPLOAD_PART),
        form=record({"data": file()}),
        unknown_pass=False,
    ),
    "uploads.complete_upload": Operation(
        "Make a file of the parts of an upload",
        _object(Kind.UPLOAD),
        json=record({"part_ids": list_of(text(1), least=1)}),
        unknown_pass=False,
    ),
    "uploads.cancel_upload": Operation(
        "Give an upload up",
        _object(Kind.UPLOAD),
        json=_OPEN_BODY,
        body_needed=False,
        unknown_pass=False,
    ),
}

BATCHES: Mapping[str, Operation] = {
    "batches.create_batch": Operation(
        "Run a file of requests; its worst case is held until it has ended",
        _object(Kind.BATCH),
        json=fields(
            KNOWN_OF_BATCHES,
            {
                "input_file_id": ID,
                "endpoint": one_of(*LINE_KINDS),
                "completion_window": one_of("24h"),
            },
            {"metadata": metadata(), "output_expires_after": _EXPIRES},
            refused=refused_beside(KNOWN_OF_BATCHES),
        ),
        errors=(*PRICED, NotFound),
        holds=True,
    ),
    "batches.list_batches": Operation(
        "List one's own batches", _LIST, query=_page(), asks_provider=False
    ),
    "batches.retrieve_batch": Operation("Describe a batch", _object(Kind.BATCH)),
    "batches.cancel_batch": Operation(
        "Cancel a batch",
        _object(Kind.BATCH),
        json=_OPEN_BODY,
        body_needed=False,
        unknown_pass=False,
    ),
}

_JOB = _object(Kind.FINE_TUNING_JOB)
_PASSED_PAGE = (_AFTER, Query("limit", integer(1, PAGE_MAX)))


def _change(summary: str) -> Operation:
    return Operation(summary, _JOB, json=_OPEN_BODY, body_needed=False, unknown_pass=False)


JOBS: Mapping[str, Operation] = {
    "fine_tuning.create_job": Operation(
        "Train a model; the worst case is held until the job has ended",
        _JOB,
        json=fields(
            KNOWN_OF_JOBS,
            {"model": MODEL, "training_file": ID},
            {
                "validation_file": ID,
                "method": _METHOD,
                "hyperparameters": _HYPERPARAMETERS,
                "integrations": list_of({}, most=0),
                "metadata": metadata(),
                "seed": integer(0, 2**31 - 1),
                "suffix": text(1, 64),
            },
            refused=refused_beside(KNOWN_OF_JOBS),
        ),
        errors=(*PRICED, NotFound),
        holds=True,
    ),
    "fine_tuning.list_jobs": Operation(
        "List one's own jobs", _LIST, query=(*_page(), _METADATA), asks_provider=False
    ),
    "fine_tuning.retrieve_job": Operation("Describe a job", _JOB),
    "fine_tuning.list_events": Operation("What happened to a job", _LIST, query=_PASSED_PAGE),
    "fine_tuning.list_checkpoints": Operation("A job's checkpoints", _LIST, query=_PASSED_PAGE),
    "fine_tuning.cancel_job": _change("Cancel a job"),
    "fine_tuning.pause_job": _change("Pause a job"),
    "fine_tuning.resume_job": _change("Let a job go on"),
}

MODELS: Mapping[str, Operation] = {
    "models.list_models": Operation(
        "List the models that one may use",
        _LIST,
        errors=(UpstreamUnreachable,),
        asks_provider=False,
    ),
    "models.retrieve_model": Operation("Describe a model", _object(Kind.MODEL)),
    "models.delete_model": Operation("Delete one's own fine-tuned model", _deleted()),
}

_RETRIEVING = (
    Query("include", list_of(text())),
    Query("include_obfuscation", text()),
    Query("starting_after", text(), "The number of the last event that one has."),
    Query("stream", text(), "true, for the events."),
)

STORED: Mapping[str, Operation] = {
    "stored_completions.list_completions": Operation(
        "List one's own stored chat completions",
        _LIST,
        query=(*_page(), Query("model", text()), _METADATA),
    ),
    "stored_completions.retrieve_completion": Operation(
        "A stored chat completion", _object(Kind.COMPLETION)
    ),
    "stored_completions.update_completion": Operation(
        "Change the metadata of a stored chat completion",
        _object(Kind.COMPLETION),
        json=_UPDATE,
        unknown_pass=False,
    ),
    "stored_completions.delete_completion": Operation(
        "Delete a stored chat completion", _deleted()
    ),
    "stored_completions.list_completion_messages": Operation(
        "The messages that a stored chat completion answered",
        _LIST,
        query=(*_PASSED_PAGE, _ORDER),
    ),
    "stored_responses.retrieve_response": Operation(
        "A response, or its events from any on",
        {**_object(Kind.RESPONSE), EVENTS: EVENT},
        query=_RETRIEVING,
    ),
    "stored_responses.delete_response": Operation(
        "Delete a response", _deleted(), errors=(Conflict,)
    ),
    "stored_responses.cancel_response": Operation(
        "Cancel a response that runs in the background",
        _object(Kind.RESPONSE),
        json=_OPEN_BODY,
        body_needed=False,
        unknown_pass=False,
    ),
    "stored_responses.list_input_items": Operation(
        "What a response was made from",
        _LIST,
        query=(*_PASSED_PAGE, _ORDER, Query("before", text()), Query("include", list_of(text()))),
    ),
}

PROBES: Mapping[str, Operation] = {
    "probes.healthz": Operation(
        "Whether a process answers", {JSON: record({"status": const("ok")})}, is_open=True
    ),
    "probes.readyz": Operation(
        "Whether requests can be admitted",
        {JSON: record({"status": one_of("ready", "not ready"), "checks": record({})})},
        is_open=True,
        failing=(503,),
    ),
    "probes.metrics": Operation("Figures for Prometheus", {"text/plain": text()}, is_open=True),
    "openapi.describe": Operation(
        "This description", {JSON: record({"openapi": text(1), "paths": record({})})}, is_open=True
    ),
}

OPERATIONS: Mapping[str, Operation] = {
    **FILES,
    **BATCHES,
    **JOBS,
    **MODELS,
    **STORED,
    **PROBES,
}
