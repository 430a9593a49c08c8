"""The objects that requests and answers of the provider name.

What an answer names in its documented fields belongs to whoever the answer is for. Free text
(events, error messages) is never searched for ids: a client could have written it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.objects import Found, Kind

BATCH_OUTPUT = "batch_output"
TRAINING_RESULTS = "fine-tune-results"
"""Purposes of the files that the provider itself makes."""

_NO_OBJECTS = frozenset(("functions", "logit_bias", "metadata", "response_format", "tools"))
"""Fields of a chat completion that hold the client's own names and no object of the provider."""


def described(kind: Kind, answer: Mapping[str, Any]) -> Sequence[Found]:
    """The object of ``kind`` that ``answer`` itself is, with its description."""
    name = answer.get("id")
    if answer.get("object") != kind.value or not isinstance(name, str):
        return ()
    model = answer.get("model")
    return (
        Found(
            kind, name, _time(answer, "created_at"), model if isinstance(model, str) else "", answer
        ),
    )


def file_of_upload(answer: Mapping[str, Any]) -> Sequence[Found]:
    """The file that a completed upload has become."""
    made = answer.get("file")
    return described(Kind.FILE, made) if isinstance(made, dict) else ()


def files_of_batch(batch: Mapping[str, Any]) -> Sequence[Found]:
    """The output and error files of a batch, as far as there are any."""
    at = next(
        (
            _time(batch, name)
            for name in ("completed_at", "expired_at", "cancelled_at", "finalizing_at")
            if _time(batch, name)
        ),
        _time(batch, "created_at"),
    )
    names = (batch.get("output_file_id"), batch.get("error_file_id"))
    return [_made_file(name, BATCH_OUTPUT, at) for name in names if isinstance(name, str)]


def results_of_job(job: Mapping[str, Any]) -> Sequence[Found]:
    """The fine-tuned model and the result files of a job, as far as there are any."""
    at = _time(job, "finished_at") or _time(job, "created_at")
    found = []
    model = job.get("fine_tuned_model")
    if isinstance(model, str):
        found.append(_model(model, at, job.get("organization_id")))
    files = job.get("result_files")
    for name in files if isinstance(files, list) else ():
        if isinstance(name, str):
            found.append(_made_file(name, TRAINING_RESULTS, at))
    return found


def checkpoint_models(page: Mapping[str, Any]) -> Sequence[Found]:
    """The models of a page of a job's checkpoints."""
    entries = page.get("data")
    return [
        _model(entry["fine_tuned_model_checkpoint"], _time(entry, "created_at"), None)
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("fine_tuned_model_checkpoint"), str)
    ]


def is_whole(description: Mapping[str, Any]) -> bool:
    """Whether the description of a file is the provider's, and not what was gathered here."""
    return "bytes" in description


def file_ids_in(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids of files that a chat completion's ``body`` names, each with its place."""
    for name, value in body.items():
        if name not in _NO_OBJECTS and isinstance(value, (dict, list)):
            yield from _file_ids(value, name)


def spoken_answers_in(body: Mapping[str, Any]) -> Iterator[tuple[object, str]]:
    """The earlier spoken answers that a chat completion's ``body`` goes on from, with places."""
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        audio = message.get("audio") if isinstance(message, dict) else None
        if audio is not None:
            name = audio.get("id") if isinstance(audio, dict) else None
            yield name, f"messages[{index}].audio.id"


def _file_ids(value: dict[str, Any] | list[Any], place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                yield from _file_ids(item, f"{place}[{index}]")
        return
    for name, item in value.items():
        if name == "file_id" and isinstance(item, str):
            yield item, f"{place}.{name}"
        elif name == "file_ids" and isinstance(item, list):
            yield from ((one, f"{place}.{name}") for one in item if isinstance(one, str))
        elif isinstance(item, (dict, list)):
            yield from _file_ids(item, f"{place}.{name}")


def _made_file(name: str, purpose: str, at: int) -> Found:
    data = {"id": name, "object": "file", "purpose": purpose}
    return Found(Kind.FILE, name, at, data=data)


def _model(name: str, at: int, owner: object) -> Found:
    owner = owner if isinstance(owner, str) else "organization-owner"
    data = {"id": name, "object": "model", "created": at, "owned_by": owner}
    return Found(Kind.MODEL, name, at, name, data)


def _time(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0
