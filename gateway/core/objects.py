"""Objects that the provider keeps under one account, and whose they are here.

Files, batches, jobs, stored answers and fine-tuned models of all clients lie in one account of
the provider. Each has one owner here, noted before its id reaches the client. To everyone else
it does not exist: what is unknown and what is another's get the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.errors import ModelNotFound, NotFound
from gateway.core.policy import Client, Sharing

ID_PATTERN = re.compile(r"(?!\.)[A-Za-z0-9_.:-]{1,128}")
"""What an id may look like before it becomes part of a path to the provider."""

METADATA = "metadata"


class Kind(StrEnum):
    """The kinds of objects. Values are what the provider calls them, where it does."""

    FILE = "file"
    UPLOAD = "upload"
    UPLOAD_PART = "upload.part"
    BATCH = "batch"
    FINE_TUNING_JOB = "fine_tuning.job"
    MODEL = "model"
    """A fine-tuned model or a checkpoint of one."""
    RESPONSE = "response"
    RESPONSE_ITEM = "response.item"
    """An output item of a response, which later requests may refer to by its id."""
    COMPLETION = "chat.completion"
    SPOKEN_ANSWER = "chat.completion.audio"
    """The sound of an answer, which later requests may refer to by its id."""


class WorkState(StrEnum):
    """Whether work that outlives its request still holds a part of somebody's budget."""

    OPEN = "open"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """One object and its owner. ``created_at`` is the provider's, in seconds since 1970.

    ``data`` is the object as the provider last described it, kept for lists of objects that
    are no content (files, batches, jobs); None for what would be a prompt or an answer.
    ``work`` is what settles long-lived work to the client that began it (``core.long_work``).
    """

    kind: Kind
    id: str
    team_id: int
    client_id: int
    key_id: int
    created_at: int
    model: str = ""
    data: Mapping[str, Any] | None = None
    deleted: bool = False
    work: Mapping[str, Any] | None = None
    work_state: WorkState | None = None

    @property
    def name(self) -> str:
        """What is unique about it."""
        return f"{self.kind.value}/{self.id}"

    def visible_to(self, client: Client) -> bool:
        """Whether ``client`` may know of it."""
        return not self.deleted and self.was_visible_to(client)

    def was_visible_to(self, client: Client) -> bool:
        """Whether ``client`` may know of it, or might before it was deleted."""
        if self.client_id == client.id:
            return True
        return client.sharing is Sharing.TEAM and self.team_id == client.team_id


@dataclass(frozen=True, slots=True)
class Found:
    """An object that an answer of the provider names, before it has an owner."""

    kind: Kind
    id: str
    created_at: int = 0
    model: str = ""
    data: Mapping[str, Any] | None = None


def not_found(kind: Kind, object_id: str, param: str | None = None) -> NotFound:
    """The answer for an object that is unknown, deleted or another's; the three look alike."""
    if kind is Kind.MODEL:
        return ModelNotFound(
            f"The model {object_id[:128]!r} does not exist or you do not have access to it.",
            param=param or "model",
        )
    what = kind.value.replace(".", " ").replace("_", " ")
    return NotFound(f"No such {what}: {object_id[:128]!r}.", param=param, code="not_found")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, in OpenAI's shape once rendered."""

    objects: tuple[OwnedObject, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class PageWish:
    """Which page of a list is asked for."""

    limit: int = 20
    after: str | None = None
    before: str | None = None
    ascending: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)
    """Fields of ``data`` that must have these values: ``purpose`` of files, ``metadata[k]`` of
    jobs. ``metadata`` that is ``null`` means without any."""

    def wants(self, one: OwnedObject) -> bool:
        """Whether ``one`` passes the filters."""
        data = one.data or {}
        return all(_has(data, name, value) for name, value in self.filters.items())


def _has(data: Mapping[str, Any], name: str, value: str) -> bool:
    if name == METADATA:
        return value == "null" and not data.get(METADATA)
    if name.startswith(f"{METADATA}["):
        pairs = data.get(METADATA)
        return isinstance(pairs, dict) and pairs.get(name[len(METADATA) + 1 : -1]) == value
    return bool(data.get(name) == value)
