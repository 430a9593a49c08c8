"""The models that the simulator offers, the fine-tuned ones too, and ``/v1/models``.

Context windows and output maxima are the provider's published ones (its "Models" pages).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.simulator.errors import ProviderError, bad_request, model_not_found
from gateway.simulator.server import Answer, Request

ORGANIZATION = "org-simulated"
CREATED = 1_715_367_049
"""Creation time given for every model, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the simulator needs to know of a model. Sizes are in tokens."""

    name: str
    snapshot: str
    """The dated name under which answers are returned."""
    context: int
    output_max: int = 0
    encoding: str = "o200k_base"
    """The vocabulary, stated here and not shared with what the simulator is used to check."""
    reasoning: bool = False
    vision: bool = False
    caching: bool = True
    """Whether repeated prompt prefixes are reported as cached."""
    cache_writes: bool = False
    """Whether tokens newly put in the prompt cache are reported, and billed, as such."""
    dimensions: int = 0
    """Length of an embedding; 0 for models that make none."""
    serves: str = "chat"
    """The work it does: chat, completions, embeddings, images, moderations, speech or
    transcription."""
    tiers: tuple[str, ...] = ("default", "priority")
    """Service tiers that the model offers."""


_CL100K = "cl100k_base"
_FLEX = ("default", "flex", "priority")


def _chat(name: str, snapshot: str, context: int, output_max: int, **rest: Any) -> Model:
    return Model(name, snapshot, context, output_max, **rest)


def _completing(name: str, context: int, output_max: int) -> Model:
    return Model(name, name, context, output_max, _CL100K, caching=False, serves="completions")


def _moderating(name: str, snapshot: str) -> Model:
    return Model(name, snapshot, 32_768, caching=False, serves="moderations")


def _reasoning(name: str, snapshot: str, context: int, output_max: int, **rest: Any) -> Model:
    rest.setdefault("vision", True)
    rest.setdefault("tiers", _FLEX)
    return Model(name, snapshot, context, output_max, reasoning=True, **rest)


_OFFERED = (
    _chat("gpt-3.5-turbo", "gpt-3.5-turbo-0125", 16_385, 4_096, encoding=_CL100K, caching=False),
    _chat("gpt-4", "gpt-4-0613", 8_192, 8_192, encoding=_CL100K, caching=False),
    _chat(
        "gpt-4-turbo",
        "gpt-4-turbo-2024-04-09",
        128_000,
        4_096,
        encoding=_CL100K,
        caching=False,
        vision=True,
    ),
    _chat("gpt-4o", "gpt-4o-2024-08-06", 128_000, 16_384, vision=True),
    _chat("gpt-4o-mini", "gpt-4o-mini-2024-07-18", 128_000, 16_384, vision=True),
    _chat("gpt-4.1", "gpt-4.1-2025-04-14", 1_047_576, 32_768, vision=True),
    _chat("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1_047_576, 32_768, vision=True),
    _chat("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", 1_047_576, 32_768, vision=True),
    _chat("gpt-5-chat-latest", "gpt-5-chat-latest", 128_000, 16_384, vision=True),
    _reasoning("gpt-5", "gpt-5-2025-08-07", 400_000, 128_000),
    _reasoning("gpt-5-mini", "gpt-5-mini-2025-08-07", 400_000, 128_000),
    _reasoning("gpt-5-nano", "gpt-5-nano-2025-08-07", 400_000, 128_000),
    _reasoning("gpt-5.1", "gpt-5.1-2025-11-13", 400_000, 128_000),
    _reasoning("gpt-5.2", "gpt-5.2-2025-12-11", 400_000, 128_000),
    _reasoning("gpt-5.4", "gpt-5.4", 1_050_000, 128_000),
    _reasoning("gpt-5.4-mini", "gpt-5.4-mini", 400_000, 128_000),
    _reasoning("gpt-5.6-sol", "gpt-5.6-sol", 1_050_000, 128_000, cache_writes=True),
    _reasoning("o1", "o1-2024-12-17", 200_000, 100_000, tiers=("default",)),
    _reasoning("o3", "o3-2025-04-16", 200_000, 100_000),
    _reasoning("o3-mini", "o3-mini-2025-01-31", 200_000, 100_000, vision=False),
    _reasoning("o4-mini", "o4-mini-2025-04-16", 200_000, 100_000),
    _chat("sim-unpriced-1", "sim-unpriced-1", 128_000, 16_384),
    Model(
        "text-embedding-3-small",
        "text-embedding-3-small",
        8_192,
        encoding=_CL100K,
        dimensions=1_536,
        serves="embeddings",
    ),
    Model(
        "text-embedding-3-large",
        "text-embedding-3-large",
        8_192,
        encoding=_CL100K,
        dimensions=3_072,
        serves="embeddings",
    ),
    Model(
        "text-embedding-ada-002",
        "text-embedding-ada-002",
        8_192,
        encoding=_CL100K,
        dimensions=1_536,
        serves="embeddings",
    ),
    # Media models have no context window of their own here: their endpoints limit characters
    # and seconds. Those with no dated name in price lists are billed under their plain one.
    Model("dall-e-2", "dall-e-2", 0, serves="images"),
    Model("dall-e-3", "dall-e-3", 0, serves="images"),
    Model("gpt-image-1", "gpt-image-1", 0, serves="images"),
    Model("gpt-image-1-mini", "gpt-image-1-mini", 0, serves="images"),
    Model("gpt-image-1.5", "gpt-image-1.5-2025-12-16", 0, serves="images"),
    Model("tts-1", "tts-1", 0, serves="speech"),
    Model("tts-1-hd", "tts-1-hd", 0, serves="speech"),
    Model("gpt-4o-mini-tts", "gpt-4o-mini-tts", 0, serves="speech"),
    Model("whisper-1", "whisper-1", 0, serves="transcription"),
    Model("gpt-4o-transcribe", "gpt-4o-transcribe", 0, serves="transcription"),
    Model("gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe", 0, serves="transcription"),
    _completing("gpt-3.5-turbo-instruct", 4_096, 4_096),
    _completing("davinci-002", 16_384, 16_384),
    _completing("babbage-002", 16_384, 16_384),
    _moderating("omni-moderation-latest", "omni-moderation-2024-09-26"),
    _moderating("text-moderation-latest", "text-moderation-007"),
)

_BY_NAME = {model.name: model for model in _OFFERED} | {model.snapshot: model for model in _OFFERED}


@dataclass(frozen=True, slots=True)
class _Tuned:
    """A fine-tuned model, and when it was made, in seconds since 1970."""

    model: Model
    created: int


_TUNED: dict[str, _Tuned] = {}
"""The fine-tuned models and checkpoints of the organization, by name."""


def add_tuned_model(name: str, base: Model) -> None:
    """Offer a fine-tuned model: it works like its base, and is charged under its own name.

    No price is published for it but the default tier's and the batch tier's.
    """
    model = replace(base, snapshot=name, tiers=("default",))
    _TUNED[name] = _Tuned(model, int(time.time()))


def find_model(name: object) -> Model:
    """The model called ``name``, which may be its dated name or that of a fine-tuned model.

    Raises ProviderError: 400 without a name, 404 for one the provider does not know.
    """
    if not name:
        raise ProviderError(400, "you must provide a model parameter")
    if not isinstance(name, str):
        raise model_not_found(str(name))
    tuned = _TUNED.get(name)
    model = tuned.model if tuned else _BY_NAME.get(name)
    if model is None:
        raise model_not_found(name)
    return model


def find_model_serving(work: str, name: object) -> Model:
    """The model called ``name``, which must do this ``work`` (a value of ``Model.serves``).

    Raises ProviderError as ``find_model`` does, and 400 for a model that does other work.
    """
    model = find_model(name)
    if model.serves != work:
        able = ", ".join(f"'{offered.name}'" for offered in _OFFERED if offered.serves == work)
        raise bad_request(
            f"Invalid value: '{name}'. Supported values are: {able}.", "model", "invalid_value"
        )
    return model


def _described(name: str) -> dict[str, Any]:
    tuned = _TUNED.get(name)
    created, owner = (tuned.created, ORGANIZATION) if tuned else (CREATED, "system")
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def list_models(_request: Request) -> Answer:
    """``GET /v1/models``."""
    data = [_described(name) for name in sorted([*_BY_NAME, *_TUNED])]
    return Answer(orjson.dumps({"object": "list", "data": data}))


def get_model(request: Request) -> Answer:
    """``GET /v1/models/{id}``."""
    return Answer(orjson.dumps(_described(_known_name(request))))


def delete_model(request: Request) -> Answer:
    """``DELETE /v1/models/{id}``: a fine-tuned model; all others belong to the provider."""
    name = _known_name(request)
    if _TUNED.pop(name, None) is None:
        raise ProviderError(
            403,
            f"You have insufficient permissions to delete the model '{name}'. Only fine-tuned "
            "models of your organization can be deleted.",
            param="model",
        )
    return Answer(orjson.dumps({"id": name, "object": "model", "deleted": True}))


def _known_name(request: Request) -> str:
    """The name in the path, with ``%3A`` for ``:`` too. Raises ProviderError (404)."""
    name = unquote(request.params["model"])
    if name not in _BY_NAME and name not in _TUNED:
        raise ProviderError(
            404,
            f"The model '{name}' does not exist",
            param="model",
            code="model_not_found",
        )
    return name
