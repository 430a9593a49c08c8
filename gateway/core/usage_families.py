"""Which requests belong to which of OpenAI's usage APIs, and what each may be grouped by.

OpenAI parts usage by what was made: text, embeddings, images, speech. Records say the endpoint.
Source: OpenAI API reference, "Usage"; the parameters are those of the official SDK
(``openai.types.admin.organization.usage_*_params``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.prices import Meter

WHO = ("project_id", "user_id", "api_key_id")
"""Team, client and key."""

_WHO_FILTERS = ("project_ids", "user_ids", "api_key_ids")

SOURCES: Mapping[str, str] = {
    "images/generations": "image.generation",
    "images/edits": "image.edit",
    "images/variations": "image.variation",
}
"""What OpenAI calls the endpoints of images."""

EMBEDDING_MARK = "embedding"
"""Part of the name of every embedding model: it tells what the lines of a batch were."""

API_SOURCE = "unlabeled"
"""What OpenAI calls usage that is not of its Agents API."""


@dataclass(frozen=True, slots=True)
class Family:
    """One usage API."""

    name: str
    """The last part of its path."""
    result: str
    """The ``object`` of its results, between ``organization.usage.`` and ``.result``."""
    endpoints: tuple[str, ...]
    group_by: tuple[str, ...]
    filters: tuple[str, ...]
    meter: Meter | None = None
    """Where it counts a fee and no requests, the meter of that fee, whatever the endpoint."""
    batches: str = "none"
    """Which batches belong to it: ``embedding`` those of embeddings, ``other`` the others."""


COMPLETIONS = Family(
    "completions",
    "completions",
    ("chat/completions", "completions", "responses", "responses/compact"),
    (*WHO, "model", "batch", "service_tier", "api_source"),
    (*_WHO_FILTERS, "models", "batch"),
    batches="other",
)
EMBEDDINGS = Family(
    "embeddings",
    "embeddings",
    ("embeddings",),
    (*WHO, "model"),
    (*_WHO_FILTERS, "models"),
    batches="embedding",
)
MODERATIONS = Family(
    "moderations",
    "moderations",
    ("moderations",),
    (*WHO, "model"),
    (*_WHO_FILTERS, "models"),
)
IMAGES = Family(
    "images",
    "images",
    tuple(SOURCES),
    (*WHO, "model", "size", "source"),
    (*_WHO_FILTERS, "models", "sizes", "sources"),
)
AUDIO_SPEECHES = Family(
    "audio_speeches",
    "audio_speeches",
    ("audio/speech",),
    (*WHO, "model"),
    (*_WHO_FILTERS, "models"),
)
AUDIO_TRANSCRIPTIONS = Family(
    "audio_transcriptions",
    "audio_transcriptions",
    ("audio/transcriptions", "audio/translations"),
    (*WHO, "model"),
    (*_WHO_FILTERS, "models"),
)
VECTOR_STORES = Family("vector_stores", "vector_stores", (), ("project_id",), ("project_ids",))
"""Empty: the gateway serves no vector stores, so nobody can have stored anything through it."""
CODE_INTERPRETER_SESSIONS = Family(
    "code_interpreter_sessions",
    "code_interpreter_sessions",
    (),
    ("project_id",),
    ("project_ids",),
    meter=Meter.CODE_INTERPRETER_SESSIONS,
)
FILE_SEARCH_CALLS = Family(
    "file_search_calls",
    "file_searches",
    (),
    WHO,
    _WHO_FILTERS,
    meter=Meter.FILE_SEARCH_CALLS,
)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        COMPLETIONS,
        EMBEDDINGS,
        MODERATIONS,
        IMAGES,
        AUDIO_SPEECHES,
        AUDIO_TRANSCRIPTIONS,
        VECTOR_STORES,
        CODE_INTERPRETER_SESSIONS,
        FILE_SEARCH_CALLS,
    )
}


@dataclass(frozen=True, slots=True)
class Only:
    """What a query leaves of all usage; None where it does not say."""

    team_ids: tuple[int, ...] | None = None
    client_ids: tuple[int, ...] | None = None
    key_ids: tuple[int, ...] | None = None
    models: tuple[str, ...] | None = None
    batch: bool | None = None
    sizes: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    line_items: tuple[tuple[str, str], ...] | None = None
    """(model, item) pairs."""
