"""POST /v1/images/generations, /v1/images/edits and /v1/images/variations"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Blueprint, Response

from gateway.adapters.forms import Form
from gateway.core.image_meter import picture_stream_meter, read_picture_tokens, read_pictures
from gateway.core.image_requests import (
    bound_by_picture,
    bound_by_tokens,
    default_model,
    is_billed_by_picture,
    size_tag,
    wishes_of,
)
from gateway.core.images import HEADER_BYTES, size_of_file
from gateway.core.media_fields import KNOWN, names_in
from gateway.core.policy import Policy
from gateway.core.request_fields import flag_of, needed_text_of
from gateway.core.tags import IMAGE_SIZE
from gateway.exchange import Exchange, Read
from gateway.settings import Settings
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.form_body import form
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_fields
from gateway.web.openai.counting import tokens_of
from gateway.web.openai.form_fields import fields_of
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve, whole_or_streamed

blueprint = Blueprint("images", __name__)

_TEXTS = (
    *("model", "prompt", "size", "quality", "background", "moderation", "input_fidelity"),
    *("output_format", "output_compression", "complexity", "frame_count", "svg"),
)
_INTEGERS = ("n", "partial_images")

Sent = tuple[dict[str, Any], Form | None]
"""The fields of a request, and the form that they are of."""


@blueprint.post("/v1/images/generations")
def create_image() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at, "images/generations"), whole_or_streamed)


@blueprint.post("/v1/images/edits")
def create_image_edit() -> Response:
    """As ``create_image``, with pictures in a form."""
    at = services()
    return serve(at, partial(prepare, at, "images/edits"), whole_or_streamed)


@blueprint.post("/v1/images/variations")
def create_image_variation() -> Response:
    """As ``create_image``, with a picture in a form and no prompt."""
    at = services()
    return serve(at, partial(prepare, at, "images/variations"), whole_or_streamed)


def prepare(at: Services, endpoint: str, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    client, key = authenticate(policy, at.budgets)
    read = _from_json if endpoint == "images/generations" else _from_form
    fields, sent = read(at.gate.settings)
    names = fields if sent is None else names_in(name for name, _ in sent.fields)
    check_fields(names, KNOWN[endpoint], at.gate.settings)
    wishes = wishes_of(fields)
    if fields.get("model") is None:
        # Written out, so that what is priced and bounded here is what the provider runs.
        fields = {**fields, "model": default_model(fields)}
    model, price = priced_model(fields["model"], client, policy, at.models)
    prompt = "" if endpoint == "images/variations" else needed_text_of(fields, "prompt")
    if is_billed_by_picture(price):
        bound, certain = bound_by_picture(price, model, wishes)
        reader: Read = partial(read_pictures, certain=certain)
    else:
        tokens = tokens_of(at, model, [prompt])
        bound = bound_by_tokens(price, model, wishes, tokens, _sizes(sent))
        reader = read_picture_tokens
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=endpoint,
        model=model,
        body=fields if sent is None else {"model": model},
        form=sent,
        bound=bound,
        price=price,
        streamed=flag_of(fields, "stream"),
        read=reader,
        stream_meter=partial(picture_stream_meter, wishes.n),
        headers=forwarded_headers(at.gate.settings),
        own_tags={IMAGE_SIZE: size_tag(model, wishes.size)},
    )


def _from_json(settings: Settings) -> Sent:
    return json_object(settings)[0], None


def _from_form(settings: Settings) -> Sent:
    sent = form(settings)
    files = ("image", "mask")
    fields = fields_of(sent, texts=_TEXTS, integers=_INTEGERS, flags=("stream",), files=files)
    return fields, sent


def _sizes(sent: Form | None) -> Iterator[tuple[int, int] | None]:
    """Pixels of each picture given, masks too: whether those count is not published."""
    for file in sent.files if sent is not None else ():
        yield size_of_file(file.head(HEADER_BYTES))
