"""``POST /v1/images/generations``, ``edits`` and ``variations``: whole answers and streams.

The older models are charged by the picture; the GPT models by tokens of text, of pictures given,
and of pictures made.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator.image_request import ImageTask, read_edit, read_generation, read_variation
from gateway.simulator.image_tokens import PARTIAL_IMAGE_TOKENS, input_tokens, output_tokens
from gateway.simulator.multipart import form_of
from gateway.simulator.picture import SHADES, draw_png, picture_url
from gateway.simulator.routes import Route
from gateway.simulator.server import Answer, Request, Stream
from gateway.simulator.truth import Charge

_EVENTS = {"images/generations": "image_generation", "images/edits": "image_edit"}


def image_routes(tokenizer: Tokenizer) -> list[Route]:
    """The endpoints of this family."""
    images = Images(tokenizer)
    return [
        ("POST", "/v1/images/generations", images.generate),
        ("POST", "/v1/images/edits", images.edit),
        ("POST", "/v1/images/variations", images.vary),
    ]


class Images:
    """The three endpoints. Each raises ProviderError as the provider would refuse a request."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def generate(self, request: Request) -> Answer | Stream:
        """Pictures from a prompt."""
        return self._answer(request, read_generation(request.json(), request.strict))

    def edit(self, request: Request) -> Answer | Stream:
        """Pictures from a prompt and pictures."""
        return self._answer(request, read_edit(form_of(request), request.strict))

    def vary(self, request: Request) -> Answer | Stream:
        """Pictures from a picture."""
        return self._answer(request, read_variation(form_of(request), request.strict))

    def _answer(self, request: Request, task: ImageTask) -> Answer | Stream:
        created = int(time.time())
        if not task.gpt:
            data = [_entry(request, task, index) for index in range(task.n)]
            return Answer(orjson.dumps({"created": created, "data": data}), _charge_by_piece(task))
        charge = self._charge_by_tokens(task)
        usage = _usage(charge)
        if task.stream:
            return _stream(task, charge, usage, created)
        drawn = charge.completion_tokens
        usage["output_tokens_details"] = {"image_tokens": drawn, "text_tokens": 0}
        answer = {
            "created": created,
            **_described(task),
            "data": [{"b64_json": _packed(task, index)} for index in range(task.n)],
            "usage": usage,
        }
        if task.user:
            answer["safety_identifier"] = task.user
        return Answer(orjson.dumps(answer), charge)

    def _charge_by_tokens(self, task: ImageTask) -> Charge:
        text_tokens = len(self._tokenizer.encode(task.prompt, task.model.encoding))
        given = sum(input_tokens(*size, task.high_fidelity) for size in task.inputs)
        drawn = task.n * output_tokens(task.size, task.quality)
        return Charge(
            endpoint=task.endpoint,
            model=task.model.snapshot,
            requested_model=task.requested_model,
            prompt_tokens=text_tokens + given,
            image_tokens=given,
            completion_tokens=drawn + task.partial_images * PARTIAL_IMAGE_TOKENS,
            streamed=task.stream,
        )


def _charge_by_piece(task: ImageTask) -> Charge:
    size = "{}x{}".format(*task.size)
    return Charge(
        endpoint=task.endpoint,
        model=task.model.snapshot,
        requested_model=task.requested_model,
        units={"images": task.n},
        variant=f"hd-{size}" if task.quality == "hd" else size,
    )


def _entry(request: Request, task: ImageTask, index: int) -> dict[str, Any]:
    """One picture of an older model."""
    if task.as_url:
        entry = {"url": picture_url(request, *task.size, _shade(task, index))}
    else:
        entry = {"b64_json": _packed(task, index)}
    if task.model.name == "dall-e-3":
        entry["revised_prompt"] = f"A picture in stripes: {task.prompt}"
    return entry


def _shade(task: ImageTask, index: int) -> int:
    return (task.seed // 9 + index) % SHADES


def _packed(task: ImageTask, index: int) -> str:
    picture = draw_png(*task.size, _shade(task, index), task.transparent)
    return base64.b64encode(picture).decode()


def _described(task: ImageTask) -> dict[str, Any]:
    return {
        "background": "transparent" if task.transparent else "opaque",
        "output_format": "png",
        "quality": task.quality,
        "size": "{}x{}".format(*task.size),
    }


def _usage(charge: Charge) -> dict[str, Any]:
    return {
        "input_tokens": charge.prompt_tokens,
        "input_tokens_details": {
            "image_tokens": charge.image_tokens,
            "text_tokens": charge.prompt_tokens - charge.image_tokens,
        },
        "output_tokens": charge.completion_tokens,
        "total_tokens": charge.prompt_tokens + charge.completion_tokens,
    }


def _stream(task: ImageTask, charge: Charge, usage: dict[str, Any], created: int) -> Stream:
    """Partial images, then the finished one, which leaves only when it is on record."""
    event = {"b64_json": _packed(task, 0), "created_at": created, **_described(task)}
    if task.user:
        event["safety_identifier"] = task.user
    kind = f"{_EVENTS[task.endpoint]}.completed"
    return Stream(
        events=_partials(task, charge.completion_tokens, created),
        event_count=task.partial_images,
        charge=charge,
        usage_event=_event(kind, event | {"usage": usage}),
        usage_event_bare=_event(kind, event),
        done_event=b"",
    )


def _partials(task: ImageTask, tokens: int, created: int) -> Iterator[tuple[bytes, int]]:
    """Each partial image, with the tokens generated by then: its even share of all."""
    kind = f"{_EVENTS[task.endpoint]}.partial_image"
    steps = task.partial_images + 1
    for index in range(task.partial_images):
        event = {
            "b64_json": _packed(task, index + 1),
            "created_at": created,
            "partial_image_index": index,
            **_described(task),
        }
        yield _event(kind, event), tokens * (index + 1) // steps


def _event(kind: str, event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **event}))
