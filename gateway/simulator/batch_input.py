"""The input file of a batch: its lines, and what is wrong with them.

Source: OpenAI docs, "Batch API", and its API reference, "Create batch". The codes are those that
failed batches of the provider show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.simulator.blobs import Blob
from gateway.simulator.errors import ProviderError
from gateway.simulator.models import find_model

BATCH_BYTES_MAX = 200 * 1024 * 1024
LINES_MAX = 50_000
EMBEDDING_INPUTS_MAX = 50_000
"""Of all lines of a batch of embeddings together."""
ERRORS_MAX = 100
"""A file that is wrong in every line is not told so line by line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch."""

    custom_id: str
    body: bytes
    """The request's JSON."""


@dataclass(frozen=True, slots=True)
class BatchInput:
    """What a file holds. ``errors`` are ``batch.errors.data``; with any, nothing is to run."""

    lines: list[Line]
    errors: list[dict[str, Any]]
    model: str | None


def read_batch_input(content: Blob, endpoint: str) -> BatchInput:
    """The lines of ``content`` for ``endpoint``; empty lines are passed over."""
    if content.size > BATCH_BYTES_MAX:
        message = f"The input file is larger than {BATCH_BYTES_MAX} bytes."
        return BatchInput([], [_error("file_too_large", message)], None)
    reader = _Reader(endpoint)
    for number, raw in enumerate(content.lines(), start=1):
        if raw.strip():
            reader.read(number, raw)
        if len(reader.errors) >= ERRORS_MAX:
            break
    if len(reader.lines) > LINES_MAX:
        message = f"The batch has more than {LINES_MAX} requests."
        reader.errors.append(_error("too_many_tasks", message))
    if reader.inputs > EMBEDDING_INPUTS_MAX:
        message = f"The batch has more than {EMBEDDING_INPUTS_MAX} embedding inputs."
        reader.errors.append(_error("too_many_tasks", message))
    if not reader.lines and not reader.errors:
        reader.errors.append(_error("empty_file", "The input file is empty."))
    return BatchInput(reader.lines, reader.errors, reader.model)


class _Reader:
    """Takes in one line after the other."""

    def __init__(self, endpoint: str) -> None:
        self.lines: list[Line] = []
        self.errors: list[dict[str, Any]] = []
        self.model: str | None = None
        self.inputs = 0
        self._endpoint = endpoint
        self._custom_ids: set[str] = set()

    def read(self, number: int, raw: bytes) -> None:
        try:
            row = orjson.loads(raw)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            message = "This line is not parseable as valid JSON."
            self.errors.append(_error("invalid_json_line", message, line=number))
            return
        found = self._problem(row, number)
        if found is not None:
            self.errors.append(found)
            return
        self._custom_ids.add(row["custom_id"])
        if self._endpoint == "/v1/embeddings":
            given = row["body"].get("input")
            self.inputs += len(given) if isinstance(given, list) else 1
        self.lines.append(Line(row["custom_id"], orjson.dumps(row["body"])))

    def _problem(self, row: dict[str, Any], line: int) -> dict[str, Any] | None:
        for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
            if not isinstance(row.get(name), kind):
                message = f"Missing required parameter: '{name}'."
                return _error("missing_required_parameter", message, name, line)
        if row["custom_id"] in self._custom_ids:
            message = (
                f"The custom_id '{row['custom_id']}' for this request is a duplicate of another "
                "request. The custom_id parameter must be unique for each request in a batch."
            )
            return _error("duplicate_custom_id", message, "custom_id", line)
        if row["method"] != "POST":
            return _error("invalid_method", "Only POST requests are supported.", "method", line)
        if row["url"] != self._endpoint:
            message = "The URL provided for this request does not match the batch endpoint."
            return _error("invalid_url", message, "url", line)
        return self._model_problem(row["body"].get("model"), line)

    def _model_problem(self, name: object, line: int) -> dict[str, Any] | None:
        """A model of its own in each line is refused; without a model, the line itself fails."""
        if name is None:
            return None
        try:
            model = find_model(name).snapshot
        except ProviderError:
            message = f"The provided model '{name}' is not supported by the Batch API."
            return _error("model_not_found", message, "body.model", line)
        if self.model not in (None, model):
            message = (
                f"The model `{name}` for this request does not match the rest of the batch. Each "
                "batch must contain requests for a single model."
            )
            return _error("mismatched_model", message, "body.model", line)
        self.model = model
        return None


def _error(
    code: str, message: str, param: str | None = None, line: int | None = None
) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}
