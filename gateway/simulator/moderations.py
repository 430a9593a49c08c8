"""``POST /v1/moderations``: free of charge, with scores made up but steady.

Source: OpenAI API reference, "Create moderation". A text is flagged for a category where it holds
one of the category's words below; all other scores are small and come from a hash of the input.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from gateway.simulator.errors import ProviderError, bad_request, invalid_type, missing_parameter
from gateway.simulator.models import find_model
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request

MODEL_DEFAULT = "omni-moderation-latest"
INPUTS_MAX = 2_048
SCORE_FLAGGED = 0.5

_WORDS: dict[str, tuple[str, ...]] = {
    "harassment": ("idiot", "harass"),
    "harassment/threatening": ("hurt you", "kill you"),
    "hate": ("hateful",),
    "hate/threatening": ("hateful threat",),
    "illicit": ("steal", "launder"),
    "illicit/violent": ("build a bomb",),
    "self-harm": ("self-harm",),
    "self-harm/instructions": ("how to self-harm",),
    "self-harm/intent": ("harm myself",),
    "sexual": ("explicit sexual",),
    "sexual/minors": ("sexual minor",),
    "violence": ("kill", "murder", "bomb"),
    "violence/graphic": ("gore",),
}
_ILLICIT = frozenset({"illicit", "illicit/violent"})
"""Categories that only the omni models know."""
_SEEN_IN_IMAGES = frozenset(
    {
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "violence",
        "violence/graphic",
    }
)


def routes() -> list[Route]:
    """The endpoints."""
    return [("POST", "/v1/moderations", moderate)]


def moderate(request: Request) -> Answer:
    """Answer a request. Raises ProviderError as the provider would refuse it."""
    body = request.json()
    asked = body.get("model") or MODEL_DEFAULT
    model = find_model(asked)
    if model.serves != "moderations":
        raise ProviderError(
            400,
            f"Invalid value for 'model' = {asked}. Please check the OpenAI documentation and try "
            "again.",
            param="model",
        )
    unknown = body.keys() - {"input", "model"}
    if request.strict and unknown:
        raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")
    omni = model.name == MODEL_DEFAULT
    results = [_result(text, image, omni) for text, image in _inputs(body.get("input"), omni)]
    answer = {
        "id": f"modr-{request.id[4:33]}",
        "model": asked if omni else model.snapshot,
        "results": results,
    }
    return Answer(orjson.dumps(answer))


def _inputs(given: object, omni: bool) -> list[tuple[str | None, str | None]]:
    """Text and image of each input; parts of a multimodal one are judged as one."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        return [(given, None)]
    if not isinstance(given, list):
        raise invalid_type("input", "a string or an array", given)
    if not 1 <= len(given) <= INPUTS_MAX:
        raise bad_request(
            f"Invalid 'input': expected an array of 1 to {INPUTS_MAX} inputs.", "input"
        )
    texts = [entry for entry in given if isinstance(entry, str)]
    if len(texts) == len(given):
        return [(text, None) for text in texts]
    if not omni:
        raise bad_request("This model only supports text inputs.", "input")
    return [_parts(given)]


def _parts(parts: list[Any]) -> tuple[str | None, str | None]:
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url" and isinstance(_url(part), str):
            images.append(_url(part))
        else:
            raise bad_request(
                f"Invalid value: '{kind}'. Supported values are: 'text' and 'image_url'.",
                f"input[{index}].type",
                "invalid_value",
            )
    if len(images) > 1:
        raise bad_request("Number of images must be at most 1.", "input")
    return "\n".join(texts) if texts else None, images[0] if images else None


def _url(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else None


def _result(text: str | None, image: str | None, omni: bool) -> dict[str, Any]:
    names = [name for name in _WORDS if omni or name not in _ILLICIT]
    scores = {name: _score(name, text, image) for name in names}
    categories = {name: score >= SCORE_FLAGGED for name, score in scores.items()}
    result: dict[str, Any] = {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
    }
    if omni:
        result["category_applied_input_types"] = {
            name: [
                *(["text"] if text is not None else []),
                *(["image"] if image is not None and name in _SEEN_IN_IMAGES else []),
            ]
            for name in names
        }
    return result


def _score(name: str, text: str | None, image: str | None) -> float:
    content = f"{name}\0{text or ''}\0{image or ''}".encode()
    small = int.from_bytes(blake2b(content, digest_size=4).digest(), "big") / 2**32
    lower = (text or "").lower()
    flagged = any(word in lower for word in _WORDS[name])
    return 0.9 + small / 20 if flagged else small / 100
