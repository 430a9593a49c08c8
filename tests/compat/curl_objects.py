"""Plain ``curl``: files, uploads, batches, fine-tuning and the models that come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.compat import material
from tests.compat.curl import Curl, CurlCall

JOBS = "/fine_tuning/jobs"


def _file(curl: Curl, content: bytes, purpose: str) -> Any:
    return curl.form("/files", "file", ("lines.jsonl", content), {"purpose": purpose}).json


def _ids(found: Mapping[str, Any]) -> set[str]:
    return {one["id"] for one in found["data"]}


def files(curl: Curl) -> None:
    content = material.batch_lines()
    made = _file(curl, content, "batch")
    one = f"/files/{made['id']}"
    assert curl.read(one)["bytes"] == len(content)
    assert made["id"] in _ids(curl.read("/files?purpose=batch"))
    assert curl.get(f"{one}/content").body == content
    assert curl.delete(one)["deleted"]
    assert curl.get(one).status == 404


def uploads(curl: Curl) -> None:
    content = material.batch_lines()
    asked = {
        "filename": "lines.jsonl",
        "bytes": len(content),
        "mime_type": "application/jsonl",
        "purpose": "batch",
    }
    one = f"/uploads/{curl.post('/uploads', asked)['id']}"
    half = len(content) // 2
    parts = [
        curl.form(f"{one}/parts", "data", ("part", data), {}).json["id"]
        for data in (content[:half], content[half:])
    ]
    done = curl.post(f"{one}/complete", {"part_ids": parts})
    assert curl.get(f"/files/{done['file']['id']}/content").body == content
    other = curl.post("/uploads", asked)
    assert curl.post(f"/uploads/{other['id']}/cancel")["status"] == "cancelled"


def batches(curl: Curl) -> None:
    asked = {
        "input_file_id": _file(curl, material.batch_lines(), "batch")["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    made = curl.post("/batches", {**asked, "metadata": material.QUICK_BATCH})
    ends = ("completed", "failed", "expired", "cancelled")
    done = curl.until(f"/batches/{made['id']}", *ends)
    assert done["status"] == "completed"
    output = curl.get(f"/files/{done['output_file_id']}/content").body
    names = {json.loads(line)["custom_id"] for line in output.splitlines()}
    assert names == {"line-0", "line-1", "line-2"}
    assert made["id"] in _ids(curl.read("/batches"))
    slow = curl.post("/batches", {**asked, "metadata": material.LONG_BATCH})
    curl.post(f"/batches/{slow['id']}/cancel")
    curl.until(f"/batches/{slow['id']}", "cancelled")


def _job(curl: Curl, metadata: Mapping[str, str]) -> Any:
    source = _file(curl, material.training_lines(), "fine-tune")
    asked = {"model": material.TUNED_MODEL, "training_file": source["id"], "metadata": metadata}
    return curl.post(JOBS, asked)


def fine_tuning(curl: Curl) -> None:
    one = f"{JOBS}/{_job(curl, material.QUICK_JOB)['id']}"
    done = curl.until(one, "succeeded", "failed", "cancelled")
    assert done["status"] == "succeeded"
    assert done["trained_tokens"] > 0
    assert done["id"] in _ids(curl.read(JOBS))
    assert curl.read(f"{one}/events")["data"]
    assert curl.read(f"{one}/checkpoints")["data"]


def fine_tuning_control(curl: Curl) -> None:
    one = f"{JOBS}/{_job(curl, material.LONG_JOB)['id']}"
    curl.until(one, "running")
    assert curl.post(f"{one}/pause")["status"] == "queued"
    assert curl.post(f"{one}/resume")["status"] == "running"
    assert curl.post(f"{one}/cancel")["status"] == "cancelled"


def tuned_models(curl: Curl) -> None:
    job = _job(curl, material.QUICK_JOB)
    name = curl.until(f"{JOBS}/{job['id']}", "succeeded", "failed")["fine_tuned_model"]
    answer = curl.post("/chat/completions", {**material.chat(), "model": name})
    assert answer["choices"][0]["message"]["content"]
    assert name in _ids(curl.read("/models"))
    assert curl.read(f"/models/{name}")["id"] == name
    assert curl.delete(f"/models/{name}")["deleted"]
    assert curl.get(f"/models/{name}").status == 404


CALLS: Mapping[str, CurlCall] = {
    "files": files,
    "uploads": uploads,
    "batches": batches,
    "fine_tuning": fine_tuning,
    "fine_tuning_control": fine_tuning_control,
    "tuned_models": tuned_models,
}
