"""Reads usage out of streams whose last event carries it: pictures, speech, transcripts.

Source: OpenAI API reference, "Image streaming events", "Create speech" and "Create
transcription" (streaming events). These streams have no ``[DONE]`` mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from gateway.core.objects import Found
from gateway.core.sse import event_data
from gateway.core.usage import InvalidUsage, Usage

ReadUsage = Callable[[object], Usage | None]
"""Usage from the ``usage`` object of an event; None where there is none. Raises InvalidUsage."""


@dataclass
class FinalUsageMeter:
    """Follows one stream, which ``answers`` events of the types in ``ends`` end.

    Events pass on as they came. They can be megabytes, so only those that may be the last one
    are parsed.
    """

    ends: Collection[str]
    read: ReadUsage
    answers: int = 1
    """How many of them are still to come: one for each picture."""
    usage: Usage | None = None
    service_tier: str | None = None
    done: bool = False
    complete: bool = False
    failed: bool = False
    kept_bytes: int = 0
    found: list[Found] = field(default_factory=list)

    def take(self, event: bytes) -> bytes:
        """``event``, unchanged."""
        self.kept_bytes += len(event)
        # A quote inside a JSON string is escaped, so a text cannot look like a type by chance;
        # one that is nothing but the name of a type is told apart by its place.
        if b'"error"' in event or any(f'"{end}"'.encode() in event for end in self.ends):
            self._inspect(event)
        return event

    def _inspect(self, event: bytes) -> None:
        try:
            said = json.loads(event_data(event))
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        if said.get("type") == "error" or said.get("error") is not None:
            self.failed = True
        if said.get("type") in self.ends and not self.done:
            self.answers -= 1
            self.done = self.complete = self.answers <= 0
            try:
                self.usage = self.read(said.get("usage"))
            except InvalidUsage:
                self.usage = None

    def output_tokens_counted(self, _count: Callable[[str], int]) -> int | None:
        """None: how far a picture or a sound has come says nothing of what is billed for it."""
        return None
