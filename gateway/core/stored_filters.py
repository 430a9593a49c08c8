"""Which stored chat completions a list asks for, by model and metadata.

Source: OpenAI API reference, "List chat completions".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_METADATA = re.compile(r"metadata\[([^\]]+)\]")
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}|-\d{4}")


@dataclass(frozen=True, slots=True)
class CompletionFilter:
    """What a completion must have: a model, by any of its names, and pairs of metadata."""

    model: str | None
    metadata: Mapping[str, str]

    def allows_model(self, model: str) -> bool:
        """Whether answers of ``model``, a snapshot's name, are asked for."""
        wanted = self.model
        if wanted is None or model == wanted:
            return True
        return model.startswith(wanted) and _DATED.fullmatch(model[len(wanted) :]) is not None

    def allows(self, completion: Mapping[str, Any]) -> bool:
        """Whether ``completion``, as the provider describes it, has the metadata."""
        found = completion.get("metadata")
        pairs = found if isinstance(found, dict) else {}
        return all(pairs.get(name) == value for name, value in self.metadata.items())


def completion_filter(arguments: Iterable[tuple[str, str]]) -> CompletionFilter:
    """The filter that a list's query arguments state."""
    model, metadata = None, {}
    for name, value in arguments:
        if name == "model":
            model = value
        elif pair := _METADATA.fullmatch(name):
            metadata[pair[1]] = value
    return CompletionFilter(model, metadata)
