"""Every kind of id that the provider gives out: how a client comes by one, and where it can stand.

This is the one table of the isolation matrix. A kind more is an entry more; entries may use what
those before them have made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

from gateway.adapters.object_rows import write_objects
from gateway.core.objects import Kind, OwnedObject
from tests.e2e.id_places import (
    BASE,
    JOBS,
    Actor,
    Place,
    completed_with,
    cursor,
    cursor_within,
    file_places,
    item_places,
    listing,
    model_places,
    part_form,
    part_of,
    path,
    reading,
    response_bodies,
    spoken_places,
)
from tests.e2e.jsonl import CHAT, chat_lines, examples
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import RESPONSES, data_of, prompted, sim

LONG_MS = 600_000
PATIENCE = 60.0


@dataclass(frozen=True)
class Maker:
    """A client while it comes by its ids."""

    rig: Rig
    tenant: Tenant
    actor: Actor
    sdk: OpenAI


@dataclass(frozen=True)
class IdKind:
    """A kind of id. ``make`` returns one of the client's own."""

    name: str
    make: Callable[[Maker], str]
    places: tuple[Place, ...]


# Files and uploads


def _training_file(by: Maker) -> str:
    return by.sdk.files.create(file=("train.jsonl", examples(10)), purpose="fine-tune").id


def _input_file(by: Maker) -> str:
    return by.sdk.files.create(file=("lines.jsonl", chat_lines(2)), purpose="batch").id


def _upload(by: Maker) -> str:
    return by.sdk.uploads.create(
        bytes=9, filename="a.jsonl", mime_type="application/jsonl", purpose="batch"
    ).id


def _part(by: Maker, upload: str) -> str:
    return by.sdk.uploads.parts.create(upload, data=b'{"a": 1}\n').id


def _upload_with_a_part(by: Maker) -> str:
    name = _upload(by)
    by.actor.ids["its part"] = _part(by, name)
    return name


def _part_of_an_upload(by: Maker) -> str:
    by.actor.ids["part's upload"] = _upload(by)
    return _part(by, by.actor.ids["part's upload"])


# Batches and jobs


def _batch(by: Maker, milliseconds: int) -> str:
    made = by.sdk.batches.create(
        input_file_id=_kept(by, _input_file(by)),
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=sim(batch_ms=milliseconds),
    )
    return made.id


def _ended_batch(by: Maker) -> str:
    name = _batch(by, 200)

    def ended() -> Any:
        found = by.sdk.batches.retrieve(name)
        return found if found.status == "completed" else None

    by.actor.ids["batch output"] = until(ended, PATIENCE, "a batch to end").output_file_id
    return name


def _job(by: Maker, milliseconds: int) -> str:
    made = by.sdk.fine_tuning.jobs.create(
        model=BASE,
        training_file=_kept(by, _training_file(by)),
        hyperparameters={"n_epochs": 3},
        extra_headers=sim(job_ms=milliseconds),
    )
    return made.id


def _ended_job(by: Maker) -> str:
    name, jobs = _job(by, 200), by.sdk.fine_tuning.jobs

    def ended() -> Any:
        found = jobs.retrieve(name)
        return found if found.status == "succeeded" else None

    job = until(ended, PATIENCE, "a job to end")
    ids = by.actor.ids
    ids["fine-tuned model"], ids["result file"] = job.fine_tuned_model, job.result_files[0]
    checkpoints = jobs.checkpoints.list(name).data
    # That of the last step is the finished model.
    earlier = next(c for c in checkpoints if c.fine_tuned_model_checkpoint != job.fine_tuned_model)
    ids["checkpoint"] = earlier.id
    ids["checkpoint model"] = earlier.fine_tuned_model_checkpoint
    by.actor.others.update(one.id for one in checkpoints)
    by.actor.others.update(one.fine_tuned_model_checkpoint for one in checkpoints)
    ids["event"] = jobs.list_events(name).data[0].id
    return name


def _running_job(by: Maker) -> str:
    name, jobs = _job(by, LONG_MS), by.sdk.fine_tuning.jobs
    until(lambda: jobs.retrieve(name).status == "running", PATIENCE, "a job to run")
    return name


# Responses and completions


def _response(by: Maker) -> str:
    body = prompted("Search the web.", tools=[{"type": "web_search"}])
    made = by.tenant.caller.post(body, RESPONSES, tool_calls=1).json
    search, message = made["output"]
    by.actor.ids["response item"], by.actor.ids["search item"] = message["id"], search["id"]
    by.actor.ids["input item"] = by.sdk.responses.input_items.list(made["id"]).data[0].id
    return str(made["id"])


def _streamed_response(by: Maker) -> str:
    events = data_of(by.tenant.caller.streamed(prompted(), RESPONSES).all())
    last = events[-1]["response"]
    by.actor.ids["streamed item"] = last["output"][0]["id"]
    return str(last["id"])


def _background_response(by: Maker, milliseconds: int) -> str:
    """Its events can be had again, from the first on."""
    body = {**prompted(background=True, stream=True), "max_output_tokens": 50}
    raw = json.dumps(body).encode()
    if milliseconds < LONG_MS:
        reply = by.tenant.caller.request("POST", RESPONSES, raw, sim(background_ms=milliseconds))
        return str(data_of(reply.body)[0]["response"]["id"])
    stream = by.tenant.caller.streamed(body, RESPONSES, background_ms=milliseconds)
    created = data_of(next(stream.events()))[0]
    stream.hang_up()
    return str(created["response"]["id"])


def _completion(by: Maker) -> str:
    return str(by.tenant.caller.chat(store=True, max_completion_tokens=5).json["id"])


def _stored(by: Maker) -> str:
    name = _completion(by)
    messages = by.sdk.chat.completions.messages.list(name).data
    by.actor.ids["stored message"] = messages[0].id
    return name


def _streamed_completion(by: Maker) -> str:
    stream = by.tenant.caller.stream(store=True, max_completion_tokens=5)
    return str(data_of(stream.all())[0]["id"])


def _spoken_answer(by: Maker) -> str:
    """As if it had been heard: the simulated models do not speak."""
    name = f"audio_{by.tenant.key.secret[-24:]}"
    (team,) = [row for row in by.rig.directory.teams() if row.name == by.tenant.team]
    write_objects(
        by.rig.engine,
        [OwnedObject(Kind.SPOKEN_ANSWER, name, int(team.id), by.tenant.id, 1, 0)],
    )
    return name


def _kept(by: Maker, name: str) -> str:
    by.actor.others.add(name)
    return name


def _named(name: str) -> Callable[[Maker], str]:
    """An id that an earlier entry has met."""
    return lambda by: by.actor.ids[name]


_BATCH, _JOB = "/v1/batches/<batch_id>", f"{JOBS}/<job_id>"
_UPLOAD, _RESPONSE = "/v1/uploads/<upload_id>", f"{RESPONSES}/<response_id>"
_COMPLETION = f"{CHAT}/<completion_id>"
_STREAM = "?stream=true"

KINDS: tuple[IdKind, ...] = (
    IdKind("file", _training_file, file_places(as_input=(400,), as_training=(200,))),
    IdKind("batch input file", _input_file, file_places(as_input=(200,), as_training=(400,))),
    IdKind(
        "upload",
        _upload_with_a_part,
        (
            Place("POST " + _UPLOAD + "/parts", part_form, ("POST", _UPLOAD + "/parts")),
            Place(
                "POST " + _UPLOAD + "/complete",
                completed_with("its part"),
                ("POST", _UPLOAD + "/complete"),
                ends=True,
            ),
        ),
    ),
    IdKind("upload given up", _upload, (path("POST", _UPLOAD + "/cancel", ends=True),)),
    IdKind(
        "upload part",
        _part_of_an_upload,
        (Place("POST /v1/uploads/*/complete part_ids", part_of("part's upload"), ends=True),),
    ),
    IdKind(
        "batch",
        _ended_batch,
        (
            *reading(_BATCH),
            listing("/v1/batches"),
            cursor("/v1/batches", "after"),
            cursor("/v1/batches", "before"),
        ),
    ),
    IdKind("batch output", _named("batch output"), file_places((400,), (400,))),
    IdKind(
        "running batch",
        lambda by: _batch(by, LONG_MS),
        (*reading(_BATCH), path("POST", f"{_BATCH}/cancel", ends=True)),
    ),
    IdKind(
        "fine-tuning job",
        _ended_job,
        (
            *reading(_JOB),
            *reading(f"{_JOB}/events"),
            *reading(f"{_JOB}/checkpoints"),
            listing(JOBS),
            cursor(JOBS, "after"),
            cursor(JOBS, "before"),
        ),
    ),
    IdKind("result file", _named("result file"), file_places((400,), (400,))),
    IdKind("fine-tuned model", _named("fine-tuned model"), model_places()),
    IdKind("checkpoint model", _named("checkpoint model"), model_places()),
    IdKind(
        "checkpoint",
        _named("checkpoint"),
        (cursor_within(f"{_JOB}/checkpoints", "fine-tuning job"),),
    ),
    IdKind("event", _named("event"), (cursor_within(f"{_JOB}/events", "fine-tuning job"),)),
    IdKind(
        "running job",
        _running_job,
        (
            path("POST", f"{_JOB}/pause", ends=True),
            path("POST", f"{_JOB}/resume", ends=True),
            path("POST", f"{_JOB}/cancel", ends=True),
        ),
    ),
    IdKind(
        "response",
        _response,
        (
            *reading(_RESPONSE),
            *reading(f"{_RESPONSE}/input_items"),
            *response_bodies(),
            path("POST", f"{_RESPONSE}/cancel", own=(400,)),
        ),
    ),
    IdKind(
        "response item",
        _named("response item"),
        item_places(
            {
                "item_reference": {"type": "item_reference"},
                "without a type": {},
                "reasoning": {"type": "reasoning", "summary": []},
            },
            own=(200, 400, 404),
        ),
    ),
    IdKind(
        "search item",
        _named("search item"),
        item_places(
            {"web_search_call": {"type": "web_search_call", "status": "completed"}}, own=(200,)
        ),
    ),
    IdKind(
        "input item", _named("input item"), (cursor_within(f"{_RESPONSE}/input_items", "response"),)
    ),
    IdKind(
        "streamed response",
        _streamed_response,
        (*reading(_RESPONSE), *response_bodies(), path("DELETE", _RESPONSE, ends=True)),
    ),
    IdKind(
        "streamed item",
        _named("streamed item"),
        item_places({"item_reference": {"type": "item_reference"}}, own=(200, 400, 404)),
    ),
    IdKind(
        "background response",
        lambda by: _background_response(by, 200),
        (
            *reading(_RESPONSE),
            path("GET", _RESPONSE, query=_STREAM),
            path("GET", _RESPONSE, query=f"{_STREAM}&starting_after=2"),
            *response_bodies(),
        ),
    ),
    IdKind(
        "running response",
        lambda by: _background_response(by, LONG_MS),
        (
            *reading(_RESPONSE),
            *response_bodies(own=(200, 400)),
            path("DELETE", _RESPONSE, own=(409,)),
            path("POST", f"{_RESPONSE}/cancel", ends=True),
        ),
    ),
    IdKind(
        "stored completion",
        _stored,
        (
            *reading(_COMPLETION),
            *reading(f"{_COMPLETION}/messages"),
            listing(CHAT),
            cursor(CHAT, "after"),
            path("POST", _COMPLETION, {"metadata": {"a": "b"}}),
            path("DELETE", _COMPLETION, ends=True),
        ),
    ),
    IdKind(
        "stored message",
        _named("stored message"),
        (cursor_within(f"{_COMPLETION}/messages", "stored completion"),),
    ),
    IdKind(
        "streamed completion",
        _streamed_completion,
        (*reading(_COMPLETION), listing(CHAT), cursor(CHAT, "after")),
    ),
    IdKind("spoken answer", _spoken_answer, spoken_places()),
)


def ids_of(rig: Rig, tenant: Tenant) -> Actor:
    """A client with an id of every kind."""
    actor = Actor(tenant.caller)
    with tenant.caller.sdk() as sdk:
        for kind in KINDS:
            actor.ids[kind.name] = kind.make(Maker(rig, tenant, actor, sdk))
    return actor
