"""The table of what was proved with which client, ``docs/compatibility.md``.

A cell stands for one test. ``make compatibility`` runs them and writes the table from those
that passed; the test of the table holds it against the tests that there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.core.surface import NOT_SERVED
from tests.e2e.provider import ROOT

TABLE = ROOT / "docs" / "compatibility.md"

NPM_PACKAGES = ("openai@7.57.0", "zod@4.6.7")
"""The official package, and what it takes to describe a structured answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one call of every client does, and the routes of the gateway that it goes through."""

    call: str
    title: str
    routes: tuple[str, ...]


def _row(call: str, title: str, *routes: str) -> Row:
    return Row(call, title, routes)


_CHAT = "POST /v1/chat/completions"
_RESPONSES = "POST /v1/responses"
_IMAGES = "POST /v1/images/generations"
_TRANSCRIPTIONS = "POST /v1/audio/transcriptions"

ROWS = (
    _row("chat", "Chat", _CHAT),
    _row("chat_stream", "Chat, streamed", _CHAT),
    _row("chat_tools", "Chat with tools", _CHAT),
    _row("chat_schema", "Chat, structured output", _CHAT),
    _row(
        "stored_chat",
        "Stored chats",
        "GET /v1/chat/completions",
        "GET /v1/chat/completions/{id}",
        "POST /v1/chat/completions/{id}",
        "DELETE /v1/chat/completions/{id}",
        "GET /v1/chat/completions/{id}/messages",
    ),
    _row("responses", "Responses", _RESPONSES),
    _row("responses_stream", "Responses, streamed", _RESPONSES),
    _row("responses_tools", "Responses with tools", _RESPONSES),
    _row("responses_schema", "Responses, structured output", _RESPONSES),
    _row(
        "responses_background",
        "Responses in the background",
        _RESPONSES,
        "GET /v1/responses/{id}",
        "POST /v1/responses/{id}/cancel",
    ),
    _row(
        "stored_responses",
        "Stored responses",
        "GET /v1/responses/{id}",
        "GET /v1/responses/{id}/input_items",
        "DELETE /v1/responses/{id}",
    ),
    _row("responses_count", "Counting input tokens", "POST /v1/responses/input_tokens"),
    _row("responses_compact", "Compacting a conversation", "POST /v1/responses/compact"),
    _row("completions", "Completions (legacy)", "POST /v1/completions"),
    _row("completions_stream", "Completions, streamed", "POST /v1/completions"),
    _row("embeddings", "Embeddings", "POST /v1/embeddings"),
    _row("moderations", "Moderations", "POST /v1/moderations"),
    _row("models", "Models", "GET /v1/models", "GET /v1/models/{id}"),
    _row("images", "Images", _IMAGES),
    _row("images_stream", "Images, streamed", _IMAGES),
    _row("image_edits", "Image edits", "POST /v1/images/edits"),
    _row("image_variations", "Image variations", "POST /v1/images/variations"),
    _row("speech", "Speech", "POST /v1/audio/speech"),
    _row("speech_stream", "Speech as events", "POST /v1/audio/speech"),
    _row("transcriptions", "Transcriptions", _TRANSCRIPTIONS),
    _row("transcriptions_stream", "Transcriptions, streamed", _TRANSCRIPTIONS),
    _row("translations", "Translations", "POST /v1/audio/translations"),
    _row(
        "files",
        "Files",
        "POST /v1/files",
        "GET /v1/files",
        "GET /v1/files/{id}",
        "GET /v1/files/{id}/content",
        "DELETE /v1/files/{id}",
    ),
    _row(
        "uploads",
        "Uploads in parts",
        "POST /v1/uploads",
        "POST /v1/uploads/{id}/parts",
        "POST /v1/uploads/{id}/complete",
        "POST /v1/uploads/{id}/cancel",
    ),
    _row(
        "batches",
        "Batches",
        "POST /v1/batches",
        "GET /v1/batches",
        "GET /v1/batches/{id}",
        "POST /v1/batches/{id}/cancel",
    ),
    _row(
        "fine_tuning",
        "Fine-tuning",
        "POST /v1/fine_tuning/jobs",
        "GET /v1/fine_tuning/jobs",
        "GET /v1/fine_tuning/jobs/{id}",
        "GET /v1/fine_tuning/jobs/{id}/events",
        "GET /v1/fine_tuning/jobs/{id}/checkpoints",
    ),
    _row(
        "fine_tuning_control",
        "Pausing and cancelling a job",
        "POST /v1/fine_tuning/jobs/{id}/pause",
        "POST /v1/fine_tuning/jobs/{id}/resume",
        "POST /v1/fine_tuning/jobs/{id}/cancel",
    ),
    _row(
        "tuned_models",
        "Fine-tuned models",
        _CHAT,
        "GET /v1/models/{id}",
        "DELETE /v1/models/{id}",
    ),
)

CLIENTS = {
    "python": "Python",
    "python_async": "Python, async",
    "npm": "npm",
    "curl": "curl",
}
FRAMEWORKS = {
    "langchain": "langchain-openai",
    "litellm": "litellm",
    "pydantic_ai": "pydantic-ai-slim",
    "instructor": "instructor",
}
PARTS = {
    "chat": "chat",
    "tools": "tools",
    "structured": "structured output",
    "embeddings": "embeddings",
    "streaming": "streaming",
    "responses": "Responses API",
}
WITHOUT = {("instructor", "embeddings")}
"""What a framework has no calls for."""

Cell = tuple[str, str]
"""A call and a client, or a framework and a part of what it does."""

YES, NO, NONE = "yes", "**no**", "-"


def all_cells() -> list[Cell]:
    """Every cell that a test stands for."""
    calls = [(row.call, client) for row in ROWS for client in CLIENTS]
    parts = [(framework, part) for framework in FRAMEWORKS for part in PARTS]
    return [*calls, *(cell for cell in parts if cell not in WITHOUT)]


def locked(lock: str, name: str) -> str:
    """The version of a distribution in one of the locks."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    found = re.search(rf"^{re.escape(name)}==(\S+)", text, re.MULTILINE)
    assert found, f"{name} is not in {lock}.lock"
    return found[1]


def rendered(passed: Iterable[Cell]) -> str:
    """The document, where the tests of the cells in ``passed`` passed."""
    proved = set(passed)

    def mark(cell: Cell) -> str:
        if cell in WITHOUT:
            return NONE
        return YES if cell in proved else NO

    calls = [
        [row.title, _routes(row), *(mark((row.call, client)) for client in CLIENTS)] for row in ROWS
    ]
    frameworks = [
        [f"`{package}` {locked('compat', package)}", *(mark((name, part)) for part in PARTS)]
        for name, package in FRAMEWORKS.items()
    ]
    refused = [[f"`/v1/{family}`", reason] for family, reason in NOT_SERVED.items()]
    values: Mapping[str, str] = {
        "python": locked("dev", "openai"),
        "npm": NPM_PACKAGES[0].partition("@")[2],
        "calls": _grid(["call", "endpoints", *CLIENTS.values()], calls),
        "frameworks": _grid(["framework", *PARTS.values()], frameworks),
        "refused": _grid(["family", "why"], refused),
    }
    return _DOCUMENT.format(**values)


def _routes(row: Row) -> str:
    return "<br>".join(f"`{route}`" for route in row.routes)


def _grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_DOCUMENT = """\
# Compatibility

Which clients were seen to work with the gateway, unchanged but for their base URL and key.
`make compatibility` writes this page from its tests; `make test` runs the same tests and fails
where the page says something else. Behind the gateway stands the simulated provider, which
refuses what OpenAI's reference does not allow. After each test the gateway's records are held
against what the provider charged: they are equal to the nano-dollar; where the provider reports
no usage (some speech and transcripts, what was cancelled), they are labelled upper bounds.

## Endpoints

Clients: the official Python SDK `openai` {python}, sync and async; the official npm package
`openai` {npm}; the `curl` program. Each does the whole of a row: where several endpoints are
named, it makes an object, reads it, lists it, changes it, deletes it.

{calls}

With an admin token the Python SDK reads usage and costs too, and sets spend limits and alerts, by
`client.admin.organization`: [usage-api.md](usage-api.md) says what it finds,
`tests/e2e/test_organization_usage.py` and `test_organization_spend.py` show it.

## Frameworks

Each is given a base URL and a key, and nothing else.

{frameworks}

A "-" stands where a framework has no such calls.

## Not served

What cannot be bounded before it is sent, what OpenAI has replaced, and what is the account's own is
refused, with status 404 and a reason in OpenAI's error envelope; nothing is passed on unmetered.

{refused}
"""
