"""What a run over the gateway's own description sends and checks.

Generated values alone would go no deeper than "no such model": so a part of the cases gets names
of models that exist, files that are sounds, and ids of the caller's own objects, each in the
place of a value that was as valid by the description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from zlib import crc32

import psutil
import schemathesis
from flask import Flask
from openai import OpenAI
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi import checks

from gateway.core.objects import ID_PATTERN
from gateway.web.descriptions.document import document
from gateway.web.openai.model_access import NAME_MAX
from gateway.web.routes import BLUEPRINTS
from tests.compat.material import sound
from tests.e2e.jsonl import chat_lines, examples
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import sim

LONG_MS = 600_000
"""How long work goes on that is paused, resumed and cancelled in the meantime."""

TUNABLE = "gpt-4o-mini-2024-07-18"
MODELS: Mapping[str, tuple[str, ...]] = {
    "/v1/chat/completions": ("gpt-4o-mini", "gpt-4o", "o4-mini", "gpt-3.5-turbo"),
    "/v1/completions": ("gpt-3.5-turbo-instruct", "davinci-002"),
    "/v1/embeddings": ("text-embedding-3-small", "text-embedding-3-large"),
    "/v1/moderations": ("omni-moderation-latest",),
    "/v1/responses": ("gpt-4o-mini", "o4-mini"),
    "/v1/images/": ("gpt-image-1", "dall-e-2", "dall-e-3"),
    "/v1/audio/speech": ("tts-1", "gpt-4o-mini-tts"),
    "/v1/audio/": ("whisper-1", "gpt-4o-mini-transcribe"),
    "/v1/fine_tuning/": (TUNABLE,),
}
"""By how the path begins; the first that fits."""

Case = schemathesis.Case[Any]

CHECKS: tuple[CheckFunction, ...] = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.ignored_auth,
)
REFUSALS: tuple[CheckFunction, ...] = (checks.negative_data_rejection,)
"""Where a case is not valid by the description."""


def described(unknown_pass: bool = False) -> dict[str, Any]:
    """The description, made without stores; by itself of one that refuses unknown fields."""
    app = Flask("described", static_folder=None)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    # A copy: schemathesis writes into what it is given.
    found: dict[str, Any] = json.loads(json.dumps(document(app.url_map, unknown_pass=unknown_pass)))
    return found


DESCRIPTION = described()


@dataclass
class World:
    """A deployment, a client of it with an object of each kind, and what was seen."""

    rig: Rig
    tenant: Tenant
    sdk: OpenAI
    ids: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, dict[int, int]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.rig.port}"

    @property
    def cases(self) -> int:
        """How many requests were sent."""
        return sum(sum(found.values()) for found in self.statuses.values())

    def workers(self) -> set[int]:
        """The processes that serve."""
        gateway = psutil.Process(self.rig.gateway.process.pid)
        return {child.pid for child in gateway.children(recursive=True)}

    def saw(self, label: str, status: int) -> None:
        found = self.statuses.setdefault(label, {})
        found[status] = found.get(status, 0) + 1


def ended(world: World) -> None:
    """Cancel what would go on: it is charged by what it has done."""
    for batch in world.sdk.batches.list(limit=100):
        if batch.status in ("validating", "in_progress", "finalizing"):
            world.sdk.batches.cancel(batch.id)
    for job in world.sdk.fine_tuning.jobs.list(limit=100):
        if job.status not in ("succeeded", "failed", "cancelled"):
            world.sdk.fine_tuning.jobs.cancel(job.id)


def new_world(rig: Rig) -> World:
    """A client with an object of each kind."""
    tenant = rig.tenant(10**15, may_fine_tune=True)
    world = World(rig, tenant, tenant.caller.sdk())
    for name in MAKERS:
        world.ids[name] = MAKERS[name](world)
    return world


def _file(world: World) -> str:
    made = world.sdk.files.create(file=("lines.jsonl", chat_lines(2)), purpose="batch")
    return made.id


def _training_file(world: World) -> str:
    made = world.sdk.files.create(file=("train.jsonl", examples(10)), purpose="fine-tune")
    return made.id


def _upload(world: World) -> str:
    made = world.sdk.uploads.create(
        bytes=9, filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    return made.id


def _batch(world: World) -> str:
    made = world.sdk.batches.create(
        input_file_id=_file(world),
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=sim(batch_ms=LONG_MS),
    )
    return made.id


def _job(world: World) -> str:
    made = world.sdk.fine_tuning.jobs.create(
        model=TUNABLE,
        training_file=_training_file(world),
        hyperparameters={"n_epochs": 1},
        extra_headers=sim(job_ms=LONG_MS),
    )
    return made.id


def _response(world: World) -> str:
    return world.sdk.responses.create(model="gpt-4o-mini", input="Is it?", background=True).id


def _completion(world: World) -> str:
    made = world.sdk.chat.completions.create(
        model="gpt-4o-mini", store=True, messages=[{"role": "user", "content": "Is it?"}]
    )
    return made.id


MAKERS: Mapping[str, Callable[[World], str]] = {
    "file_id": _file,
    "training_file": _training_file,
    "upload_id": _upload,
    "batch_id": _batch,
    "job_id": _job,
    "response_id": _response,
    "completion_id": _completion,
}
"""Named as in the paths, so that a path's variable finds its maker."""

_ENDS = ("/cancel", "/complete")
_IN_BODIES = {
    "input_file_id": "file_id",
    "training_file": "training_file",
    "validation_file": "training_file",
    "previous_response_id": "response_id",
}


def with_own(world: World, case: Case) -> None:
    """Put what exists in the place of a valid value, in most of the cases."""
    chance = crc32(repr((case.path_parameters, case.body)).encode("utf-8", "replace")) % 8
    _with_own_id(world, case, chance)
    headers: Any = case.headers or {}
    if (key := headers.get("Idempotency-Key")) and chance:
        # Short keys come again and again, and the same key with another body goes no further.
        headers["Idempotency-Key"] = f"{key[:200]}-{next(world.numbers)}"
    body: Any = case.body
    if not isinstance(body, dict) or chance == 0:
        return
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _with_sense(case, body)
    model, models = body.get("model"), _models(case.path)
    if models and isinstance(model, str) and 0 < len(model) <= NAME_MAX:
        body["model"] = models[chance % len(models)]
    for name, kind in _IN_BODIES.items():
        if isinstance(body.get(name), str) and ID_PATTERN.fullmatch(body[name]):
            body[name] = world.ids[kind]


def _with_own_id(world: World, case: Case, chance: int) -> None:
    if case.path == "/v1/models/{name}" and case.method == "GET" and chance > 3:
        case.path_parameters["name"] = TUNABLE
    names = [name for name in case.path_parameters or {} if name in MAKERS]
    if not names or chance < 4:
        return
    (name,) = names
    value: Any = case.path_parameters[name]
    if not (isinstance(value, str) and ID_PATTERN.fullmatch(value)):
        return
    ends = case.method == "DELETE" or case.path.endswith(_ENDS)
    if ends and chance < 7:
        return
    case.path_parameters[name] = MAKERS[name](world) if ends else world.ids[name]


def _with_sense(case: Case, body: dict[str, Any]) -> None:
    """Give a valid body what no schema can say: it is as valid, and goes further."""
    for name in body:
        body[name] = _whole(body[name])
    if body.get("stream_options") is not None and "stream" in _names(case):
        body["stream"] = True
    if case.media_type == "multipart/form-data":
        for name in body.keys() - _names(case):
            del body[name]
    if case.path.startswith("/v1/audio/") and "file" in body:
        body["file"] = sound()
    if "voice" in body:
        body["voice"] = "alloy"
    if "endpoint" in body:
        body["endpoint"] = "/v1/chat/completions"
    if case.path.startswith("/v1/responses"):
        body.setdefault("input", "Is it?")


def _whole(value: Any) -> Any:
    """``value`` with 5 for 5.0, which is an integer by JSON Schema, and none by OpenAI."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def _names(case: Case) -> set[str]:
    """The fields that the description names."""
    operation = DESCRIPTION["paths"][case.path][case.operation.method.lower()]
    content = operation["requestBody"]["content"]
    return set(content[case.media_type]["schema"].get("properties", ()))


def _models(path: str) -> tuple[str, ...]:
    return next((found for start, found in MODELS.items() if path.startswith(start)), ())


def in_the_envelope(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> bool | None:
    """Every error is OpenAI's envelope, with four fields of the right types."""
    if response.status_code < 400 or case.method in ("HEAD", "OPTIONS"):
        return None
    if case.path == "/readyz":
        return None
    wrong = wrong_envelope(response.content)
    if wrong:
        raise Failure(
            operation=case.operation.label,
            title="Not an error of OpenAI's",
            message=f"{wrong}: {response.content[:300]!r}",
        )
    return None


def wrong_envelope(body: bytes) -> str:
    """What is wrong with the body of an error; empty where nothing is."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return "no envelope"
    if not isinstance(error, dict) or not {"message", "type", "param", "code"} <= error.keys():
        return "not the four fields"
    if not (isinstance(error["message"], str) and error["message"]):
        return "no message"
    if not all(isinstance(error[name], str | None) for name in ("type", "param", "code")):
        return "fields of other types"
    return ""


def _has_lists(case: Case) -> bool:
    """Whether a form has lists in the place of texts: of one they are the same, of none nothing."""
    body: Any = case.body
    is_form = case.media_type == "multipart/form-data" and isinstance(body, dict)
    return is_form and any(isinstance(value, list) for value in body.values())


def call(world: World, case: Case) -> None:
    """Send one case and check what comes back. Raises schemathesis' failures."""
    # Judged by what was generated: bytes that are put into a form are no strings to schemathesis.
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    is_judged = not is_valid and not _has_lists(case)
    with_own(world, case)
    headers = {}
    if case.meta is None or "Authorization" not in (case.headers or {}):
        headers = {"Authorization": f"Bearer {world.tenant.key.secret}"}
    response = case.call(base_url=world.base_url, headers=headers, timeout=30)
    world.saw(case.operation.label, response.status_code)
    case.validate_response(
        response,
        checks=[*CHECKS, *(REFUSALS if is_judged else ()), in_the_envelope],
        headers=headers,
        transport_kwargs={"base_url": world.base_url, "headers": headers},
    )
