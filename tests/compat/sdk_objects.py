"""The Python SDK: files, uploads, batches, fine-tuning and the models that come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.compat import material
from tests.compat.program import Call, Program, every, gone, until


def _file(sdk: Any, content: bytes, purpose: str) -> Any:
    return sdk.files.create(file=("lines.jsonl", content), purpose=purpose)


def files(sdk: Any) -> Program:
    content = material.batch_lines()
    made = yield _file(sdk, content, "batch")
    assert made.bytes == len(content)
    assert (yield sdk.files.retrieve(made.id)).id == made.id
    assert made.id in {found.id for found in (yield every(sdk.files.list(purpose="batch")))}
    assert (yield sdk.files.content(made.id)).content == content
    assert (yield sdk.files.delete(made.id)).deleted
    yield from gone(lambda: sdk.files.retrieve(made.id))


def uploads(sdk: Any) -> Program:
    content = material.batch_lines()
    asked: dict[str, Any] = {
        "filename": "lines.jsonl",
        "bytes": len(content),
        "mime_type": "application/jsonl",
        "purpose": "batch",
    }
    upload = yield sdk.uploads.create(**asked)
    half = len(content) // 2
    parts = []
    for data in (content[:half], content[half:]):
        parts.append((yield sdk.uploads.parts.create(upload.id, data=data)).id)
    done = yield sdk.uploads.complete(upload.id, part_ids=parts)
    assert done.status == "completed"
    assert (yield sdk.files.content(done.file.id)).content == content
    other = yield sdk.uploads.create(**asked)
    assert (yield sdk.uploads.cancel(other.id)).status == "cancelled"


def batches(sdk: Any) -> Program:
    source = yield _file(sdk, material.batch_lines(), "batch")
    asked: dict[str, Any] = {
        "input_file_id": source.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    made = yield sdk.batches.create(**asked, metadata=material.QUICK_BATCH)
    ends = ("completed", "failed", "expired", "cancelled")
    done = yield from until(sdk, lambda: sdk.batches.retrieve(made.id), *ends)
    assert done.status == "completed"
    output = (yield sdk.files.content(done.output_file_id)).text
    assert {json.loads(line)["custom_id"] for line in output.splitlines()} == {
        "line-0",
        "line-1",
        "line-2",
    }
    assert made.id in {found.id for found in (yield every(sdk.batches.list()))}
    slow = yield sdk.batches.create(**asked, metadata=material.LONG_BATCH)
    assert (yield sdk.batches.cancel(slow.id)).status in ("cancelling", "cancelled")
    yield from until(sdk, lambda: sdk.batches.retrieve(slow.id), "cancelled")


def fine_tuning(sdk: Any) -> Program:
    source = yield _file(sdk, material.training_lines(), "fine-tune")
    jobs = sdk.fine_tuning.jobs
    asked: dict[str, Any] = {"model": material.TUNED_MODEL, "training_file": source.id}
    made = yield jobs.create(**asked, metadata=material.QUICK_JOB)
    ends = ("succeeded", "failed", "cancelled")
    done = yield from until(sdk, lambda: jobs.retrieve(made.id), *ends)
    assert done.status == "succeeded"
    assert done.trained_tokens > 0
    assert made.id in {found.id for found in (yield every(jobs.list()))}
    assert (yield every(jobs.list_events(made.id)))
    assert (yield every(jobs.checkpoints.list(made.id)))


def fine_tuning_control(sdk: Any) -> Program:
    source = yield _file(sdk, material.training_lines(), "fine-tune")
    jobs = sdk.fine_tuning.jobs
    slow = yield jobs.create(
        model=material.TUNED_MODEL, training_file=source.id, metadata=material.LONG_JOB
    )
    yield from until(sdk, lambda: jobs.retrieve(slow.id), "running")
    assert (yield jobs.pause(slow.id)).status == "queued"
    assert (yield jobs.resume(slow.id)).status == "running"
    assert (yield jobs.cancel(slow.id)).status == "cancelled"


def tuned_models(sdk: Any) -> Program:
    source = yield _file(sdk, material.training_lines(), "fine-tune")
    jobs = sdk.fine_tuning.jobs
    made = yield jobs.create(
        model=material.TUNED_MODEL, training_file=source.id, metadata=material.QUICK_JOB
    )
    done = yield from until(sdk, lambda: jobs.retrieve(made.id), "succeeded", "failed")
    name = done.fine_tuned_model
    answer = yield sdk.chat.completions.create(**{**material.chat(), "model": name})
    assert answer.choices[0].message.content
    assert name in {model.id for model in (yield every(sdk.models.list()))}
    assert (yield sdk.models.retrieve(name)).id == name
    assert (yield sdk.models.delete(name)).deleted
    yield from gone(lambda: sdk.models.retrieve(name))


CALLS: Mapping[str, Call] = {
    "files": files,
    "uploads": uploads,
    "batches": batches,
    "fine_tuning": fine_tuning,
    "fine_tuning_control": fine_tuning_control,
    "tuned_models": tuned_models,
}
