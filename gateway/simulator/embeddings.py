"""``POST /v1/embeddings``: texts or token arrays, as numbers or base64.

A vector is made from a hash of its text. A shorter one (``dimensions``) is the beginning of the
longer, brought back to length 1, as with the provider's models.
"""

from __future__ import annotations

import base64
import math
from array import array
from hashlib import blake2b, shake_128
from typing import Any

import gevent
import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.models import Model, find_model
from gateway.simulator.server import Answer, Request
from gateway.simulator.truth import Charge

INPUTS_MAX = 2_048
TOKENS_MAX = 300_000
"""Tokens of all inputs of one request together."""
OFFLOAD_BYTES = 16_384

_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


class Embeddings:
    """The endpoint."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, request: Request) -> Answer:
        """Answer a request. Raises ProviderError as the provider would refuse it."""
        body = request.json()
        model = _checked_model(body, request.strict)
        inputs = _inputs(body.get("input"))
        form = "float" if body.get("encoding_format") is None else body["encoding_format"]
        if form not in ("float", "base64"):
            raise bad_request(
                f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.",
                "encoding_format",
                "invalid_value",
            )
        dimensions = _dimensions(body, model)
        work = (model, inputs, dimensions, form == "base64")
        if len(request.body) > OFFLOAD_BYTES:
            data, tokens = gevent.get_hub().threadpool.apply(self._embed, work)
        else:
            data, tokens = self._embed(*work)
        answer = {
            "object": "list",
            "data": data,
            "model": model.snapshot,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        charge = Charge(
            endpoint="embeddings",
            model=model.snapshot,
            requested_model=body["model"],
            prompt_tokens=tokens,
        )
        return Answer(orjson.dumps(answer), charge)

    def _embed(
        self, model: Model, inputs: list[str | list[int]], dimensions: int, packed: bool
    ) -> tuple[list[dict[str, Any]], int]:
        """The ``data`` of an answer and the tokens of all inputs."""
        data: list[dict[str, Any]] = []
        total = 0
        for index, text in enumerate(inputs):
            ids = text if isinstance(text, list) else self._tokenizer.encode(text, model.encoding)
            if len(ids) > model.context:
                raise bad_request(
                    f"This model's maximum context length is {model.context} tokens, however you "
                    f"requested {len(ids)} tokens ({len(ids)} in your prompt; 0 for the "
                    "completion). Please reduce your prompt; or completion length.",
                )
            total += len(ids)
            if total > TOKENS_MAX:
                raise ProviderError(
                    400,
                    f"Requested {total} tokens, max {TOKENS_MAX} tokens per request",
                    kind="max_tokens_per_request",
                    code="max_tokens_per_request",
                )
            vector = _vector(model.snapshot, ids, dimensions)
            shown = base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist()
            data.append({"object": "embedding", "index": index, "embedding": shown})
        return data, total


def _checked_model(body: dict[str, Any], strict: bool) -> Model:
    model = find_model(body.get("model"))
    if not model.dimensions:
        raise ProviderError(
            403, f"You are not allowed to generate embeddings from this model: {model.name}"
        )
    unknown = body.keys() - _FIELDS
    if strict and unknown:
        raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
    return model


def _inputs(given: object) -> list[str | list[int]]:
    """The inputs as a list of texts or token arrays. Raises ProviderError (400)."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise invalid_type("input", "a string or an array", given)
    if given and all(_is_token(entry) for entry in given):
        given = [given]
    if not 1 <= len(given) <= INPUTS_MAX:
        raise bad_request(
            f"Invalid 'input': expected an array of 1 to {INPUTS_MAX} inputs.", "input"
        )
    inputs: list[Any] = given
    for entry in inputs:
        fine = isinstance(entry, str) or (
            isinstance(entry, list) and all(_is_token(token) for token in entry)
        )
        if not entry or not fine:
            raise bad_request("'$.input' is invalid. Please check the API reference.", "input")
    return inputs


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _dimensions(body: dict[str, Any], model: Model) -> int:
    asked = body.get("dimensions")
    if asked is None:
        return model.dimensions
    if isinstance(asked, bool) or not isinstance(asked, int):
        raise invalid_type("dimensions", "an integer", asked)
    if model.name.endswith("ada-002"):
        raise bad_request("This model does not support specifying dimensions.", "dimensions")
    if not 1 <= asked <= model.dimensions:
        raise bad_request(
            f"Invalid value for 'dimensions' = {asked}. Must be between 1 and {model.dimensions}.",
            "dimensions",
        )
    return asked


def _vector(model: str, ids: list[int], dimensions: int) -> array[float]:
    """A vector of length 1, the same for the same tokens."""
    seed = blake2b(model.encode() + array("I", ids).tobytes()).digest()
    raw = array("h", shake_128(seed).digest(2 * dimensions))
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", [value / length for value in raw])
