"""Every place of a request where an id of the provider's can stand.

An id that is put where it stands makes an ``Ask``, which can be sent. What a place needs beside
the id (a file of lines, an upload of one's own) belongs to the one who asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.jsonl import CHAT, MODEL, lines
from tests.e2e.media import form_body, form_headers, send_form
from tests.e2e.traffic import RESPONSES, Caller, Reply, prompted, question, sim

JOBS = "/v1/fine_tuning/jobs"
BASE = "gpt-4o-mini-2024-07-18"
BATCH_MS = 200


@dataclass(frozen=True)
class Ask:
    """A request, ready to be sent."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, caller: Caller) -> Reply:
        return caller.request(self.method, self.path, self.body, self.headers)


@dataclass(frozen=True)
class Actor:
    """Someone who asks, with ids of its own by kind, and further ids that came with them."""

    caller: Caller
    ids: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    @property
    def all_ids(self) -> set[str]:
        return {*self.ids.values(), *self.others}


Build = Callable[[Actor, str], Ask]


@dataclass(frozen=True)
class Place:
    """Where an id stands, and what becomes of it."""

    name: str
    build: Build
    route: tuple[str, str] | None = None
    """Method and rule, where the id is a part of the path."""
    own: tuple[int, ...] = (200,)
    """What the owner may be answered: errors where it is refused for what the object is."""
    foreign: int = 404
    """What all others are answered, as for an id that does not exist."""
    reads: bool = False
    """Whether something of the asker's own is read from the provider on the way."""
    listed: bool = False
    """Whether the place is a list, in which the owner finds the id and all others do not."""
    passed: bool = False
    """Whether the id goes to the provider all the same, who looks for it in an object that is
    the asker's own."""
    nobodys: bool = False
    """Whether nobody may name such an id here, so that all get the same answer of 400."""
    ends: bool = False
    """Whether the object is no more, or no longer runs, once its owner has asked."""


# In the path


def path(method: str, rule: str, body: Any = None, query: str = "", **how: Any) -> Place:
    """A route that takes the id in its path, with a JSON body where it takes one."""
    raw = None if body is None else json.dumps(body).encode()

    def build(_actor: Actor, name: str) -> Ask:
        return Ask(method, re.sub("<[^>]+>", name, rule) + query, raw)

    return Place(f"{method} {rule}{query}", build, (method, rule), **how)


def reading(rule: str, query: str = "", **how: Any) -> tuple[Place, ...]:
    """A route that reads, and the same without a body."""
    return path("GET", rule, query=query, **how), path("HEAD", rule, query=query, **how)


# In the query


def listing(rule: str, query: str = "?limit=100") -> Place:
    """A list of one's own, which has the id or has it not."""
    return Place(f"in GET {rule}", lambda _a, _n: Ask("GET", rule + query), listed=True, reads=True)


def cursor(rule: str, name: str, **how: Any) -> Place:
    """A list that goes on from the id. From one that is not known there is nothing."""
    return Place(
        f"GET {rule}?{name}=",
        lambda _actor, one: Ask("GET", f"{rule}?{name}={one}"),
        foreign=200,
        reads=True,
        **how,
    )


def cursor_within(rule: str, of: str) -> Place:
    """A list of what belongs to an object of kind ``of``, which is the asker's own."""
    return Place(
        f"GET {rule}?after=",
        lambda actor, one: Ask("GET", f"{re.sub('<[^>]+>', actor.ids[of], rule)}?after={one}"),
        foreign=400,
        reads=True,
        passed=True,
    )


# In the body


def body(
    to: str, name: str, made: Callable[[str], Mapping[str, Any]], stream: bool = False, **how: Any
) -> Place:
    """A field of a JSON body."""

    def build(_actor: Actor, one: str) -> Ask:
        sent = {**made(one), **({"stream": True} if stream else {})}
        return Ask("POST", to, json.dumps(sent).encode(), sim(job_ms=100, batch_ms=BATCH_MS))

    return Place(f"POST {to} {name}{' (SSE)' if stream else ''}", build, **how)


def streamed_too(to: str, name: str, made: Any, **how: Any) -> tuple[Place, ...]:
    """A field of a JSON body, answered whole and in events."""
    return body(to, name, made, **how), body(to, name, made, stream=True, **how)


def batch_line(url: str, name: str, made: Callable[[str], Mapping[str, Any]], **how: Any) -> Place:
    """A field of the body of a batch's second line. The file of lines is the asker's own."""

    def build(actor: Actor, one: str) -> Ask:
        model = made(one)["model"]
        plain = question(model=model, max_tokens=5)
        if url == RESPONSES:
            plain = prompted(model=model, max_output_tokens=16)
        rows = [
            {"custom_id": str(number), "method": "POST", "url": url, "body": sent}
            for number, sent in enumerate((plain, made(one)))
        ]
        part = ("file", "lines.jsonl", "application/jsonl", lines(*rows))
        file_id = send_form(actor.caller, "/v1/files", {"purpose": "batch"}, [part]).json["id"]
        actor.others.add(file_id)
        asked = {"input_file_id": file_id, "endpoint": url, "completion_window": "24h"}
        return Ask("POST", "/v1/batches", json.dumps(asked).encode(), sim(batch_ms=BATCH_MS))

    return Place(f"batch line {url} {name}", build, reads=True, **how)


# What names files


def file_places(as_input: tuple[int, ...], as_training: tuple[int, ...]) -> tuple[Place, ...]:
    """All places that name a file; the statuses are what its owner is answered there."""

    def said(one: str) -> Mapping[str, Any]:
        part = {"type": "file", "file": {"file_id": one}}
        return {**question(), "messages": [{"role": "user", "content": [part]}], "max_tokens": 5}

    def given(kind: str) -> Callable[[str], Mapping[str, Any]]:
        part = {"type": kind}
        return lambda one: _input({"role": "user", "content": [{**part, "file_id": one}]})

    def called(one: str) -> Mapping[str, Any]:
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        output = [{"type": "input_file", "file_id": one}]
        return _input(call, {"type": "function_call_output", "call_id": "c", "output": output})

    def begun(one: str) -> Mapping[str, Any]:
        return {"input_file_id": one, "endpoint": CHAT, "completion_window": "24h"}

    rule = "/v1/files/<file_id>"
    return (
        *reading(rule),
        *reading(f"{rule}/content"),
        listing("/v1/files", ""),
        cursor("/v1/files", "after"),
        cursor("/v1/files", "before"),
        body("/v1/batches", "input_file_id", begun, own=as_input),
        body(JOBS, "training_file", lambda one: _job(training_file=one), own=as_training),
        body(JOBS, "validation_file", _validated, own=as_training),
        *streamed_too(CHAT, "messages[].content[].file.file_id", said, own=(400,)),
        *streamed_too(RESPONSES, "input_file.file_id", given("input_file")),
        body(RESPONSES, "input_image.file_id", given("input_image")),
        body(RESPONSES, "function_call_output input_file.file_id", called),
        body(f"{RESPONSES}/input_tokens", "input_file.file_id", given("input_file")),
        body(f"{RESPONSES}/compact", "input_file.file_id", given("input_file")),
        batch_line(CHAT, "file.file_id", said),
        batch_line(RESPONSES, "input_file.file_id", given("input_file")),
        path("DELETE", rule, ends=True),
    )


def _input(*items: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"model": MODEL, "input": list(items), "max_output_tokens": 16}


def _job(**fields: Any) -> Mapping[str, Any]:
    return {"model": BASE, "training_file": "file-none", **fields}


def _validated(one: str) -> Mapping[str, Any]:
    return _job(training_file=one, validation_file=one)


# What names responses, answers and models


def response_bodies(own: tuple[int, ...] = (200,)) -> tuple[Place, ...]:
    """All places of a body that name a response. Who names an unknown one is answered 400."""

    def previous(one: str) -> Mapping[str, Any]:
        return {**_input({"role": "user", "content": "And?"}), "previous_response_id": one}

    def compared(one: str) -> Mapping[str, Any]:
        options = {"comparison_response_id": one}
        return {**_input({"role": "user", "content": "?"}), "prompt_cache_options": options}

    name = "previous_response_id"
    return (
        *streamed_too(RESPONSES, name, previous, own=own, foreign=400),
        body(
            RESPONSES,
            f"{name} (background)",
            lambda one: {**previous(one), "background": True},
            own=own,
            foreign=400,
        ),
        body(f"{RESPONSES}/input_tokens", name, previous, own=own, foreign=400),
        body(f"{RESPONSES}/compact", name, previous, own=own, foreign=400),
        body(RESPONSES, "prompt_cache_options.comparison_response_id", compared, foreign=400),
    )


def item_places(names: Mapping[str, Mapping[str, Any]], own: tuple[int, ...]) -> tuple[Place, ...]:
    """All places that name an item of a response, each as ``names`` has it beside the id."""
    found: list[Place] = []
    for name, item in names.items():

        def made(one: str, item: Mapping[str, Any] = item) -> Mapping[str, Any]:
            return _input({**item, "id": one}, {"role": "user", "content": "And?"})

        found += streamed_too(RESPONSES, f"input[] {name}", made, own=own)
        found.append(body(f"{RESPONSES}/input_tokens", f"input[] {name}", made, own=own))
        found.append(body(f"{RESPONSES}/compact", f"input[] {name}", made, own=own))
        found.append(batch_line(RESPONSES, f"input[] {name}", made))
    return tuple(found)


def spoken_places() -> tuple[Place, ...]:
    """All places that name an earlier spoken answer."""

    def made(one: str) -> Mapping[str, Any]:
        said = {"role": "assistant", "audio": {"id": one}}
        return {**question(), "messages": [said, *question()["messages"]], "max_tokens": 5}

    own = (200, 400)
    name = "messages[].audio.id"
    return (*streamed_too(CHAT, name, made, own=own), batch_line(CHAT, name, made))


def model_places() -> tuple[Place, ...]:
    """All places that name a fine-tuned model."""
    rule = "/v1/models/<path:name>"

    def chat(one: str) -> Mapping[str, Any]:
        return {**question(), "model": one, "max_tokens": 5}

    def response(one: str) -> Mapping[str, Any]:
        return {**_input({"role": "user", "content": "?"}), "model": one}

    def prompt(one: str) -> Mapping[str, Any]:
        return {"model": one, "prompt": "Once", "max_tokens": 5}

    def said(one: str) -> Mapping[str, Any]:
        return {"model": one, "input": "hello", "voice": "alloy"}

    def drawn(one: str) -> Mapping[str, Any]:
        return {"model": one, "prompt": "a cat"}

    refused = (400, 403, 404)
    return (
        *reading(rule),
        listing("/v1/models", ""),
        *streamed_too(CHAT, "model", chat),
        *streamed_too(RESPONSES, "model", response),
        body(f"{RESPONSES}/input_tokens", "model", response),
        body(f"{RESPONSES}/compact", "model", response),
        body("/v1/completions", "model", prompt, own=refused),
        body("/v1/embeddings", "model", lambda one: {"model": one, "input": "a"}, own=refused),
        # Only models that cost nothing moderate, so nobody's of these does.
        body("/v1/moderations", "model", lambda one: {"model": one, "input": "a"}, nobodys=True),
        body("/v1/images/generations", "model", drawn, own=refused),
        body("/v1/audio/speech", "model", said, own=(400,)),
        body(JOBS, "model", lambda one: _job(model=one), own=refused),
        batch_line(CHAT, "model", chat),
        path("DELETE", rule, ends=True),
    )


# Uploads


def part_form(_actor: Actor, name: str) -> Ask:
    """A part for the upload ``name``."""
    data = form_body([], [("data", "part", "application/octet-stream", b'{"a": 1}\n')])
    return Ask("POST", f"/v1/uploads/{name}/parts", data, form_headers())


def completed_with(part: str) -> Build:
    """The upload in the path is completed with the actor's own part."""

    def build(actor: Actor, name: str) -> Ask:
        raw = json.dumps({"part_ids": [actor.ids[part]]}).encode()
        return Ask("POST", f"/v1/uploads/{name}/complete", raw)

    return build


def part_of(upload: str) -> Build:
    """The actor's own upload is completed with the part that is named."""

    def build(actor: Actor, name: str) -> Ask:
        raw = json.dumps({"part_ids": [name]}).encode()
        return Ask("POST", f"/v1/uploads/{actor.ids[upload]}/complete", raw)

    return build
