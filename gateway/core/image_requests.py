"""What a request for pictures can cost at most, by OpenAI's published rules.

DALL-E models are billed by the picture, at the price of its size and quality. GPT image models
are billed by tokens: of the prompt, of the pictures given and of the pictures made. No field of
a request limits the latter, so the bound is the published table of what a picture takes; a
model that is not in the table cannot be bounded, and is refused.

Sources: OpenAI, "Image generation", sections "Cost and latency" (tokens of a picture by size and
quality, partial images) and "Images and vision", section "Calculating costs" (pictures given);
API reference, "Create image", "Create image edit" (fields and defaults).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.core.bounds import Bound, bound_of_usage
from gateway.core.errors import BadRequest
from gateway.core.image_variants import default_size, image_variant
from gateway.core.money import divide_up
from gateway.core.prices import STANDARD_TIER, Meter, Price
from gateway.core.request_fields import flag_of, integer_of, text_of
from gateway.core.usage import Usage

PICTURES_MAX = 10
PARTIAL_IMAGES_MAX = 3
PARTIAL_IMAGE_TOKENS = 100
"""Output tokens of each partial image, beside those of the finished one."""

PROMPT_SLACK_TOKENS = 32
"""How a prompt is framed is not published."""

_SIZES = ("1024x1024", "1024x1536", "1536x1024")
_QUALITIES = ("low", "medium", "high")
_OUTPUT_TOKENS: Mapping[str, tuple[int, int, int]] = {
    "low": (272, 408, 400),
    "medium": (1_056, 1_584, 1_568),
    "high": (4_160, 6_240, 6_208),
}
"""Tokens of a picture by quality, in the order of ``_SIZES``."""

_TEXT_OUTPUT_TOKENS: Mapping[str, int] = {
    "gpt-image-1": 0,
    "gpt-image-1-mini": 0,
    "gpt-image-1.5": 1_024,
}
"""The models that the table is of, and the tokens of text that each may write per picture. That
gpt-image-1.5 is billed for some is published, how many is not: this is an assumption."""

_SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}", re.ASCII)
_SNAPSHOT = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")

INPUT_BASE_TOKENS = 65
INPUT_TILE_TOKENS = 129
TILE_PIXELS = 512
FIT_PIXELS = 2_048
TILES_MAX = FIT_PIXELS // TILE_PIXELS
HIGH_FIDELITY_SQUARE_TOKENS = 4_160
HIGH_FIDELITY_TOKENS = 6_240

_GPT_FIELDS = frozenset(
    {
        "background",
        "input_fidelity",
        "moderation",
        "output_compression",
        "output_format",
        "partial_images",
        "stream",
    }
)
"""Fields of GPT image models alone: a request that has one and names no model is for them."""

UNBOUNDED = {
    "complexity": "its planning is billed, and by how much is not published",
    "frame_count": "each frame is billed, and by how much is not published",
    "svg": "another model writes the picture, and is billed apart",
}
FORMATS = ("png", "jpeg", "webp")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request for pictures asks for, where it bears on the price."""

    n: int
    size: str | None
    quality: str | None
    partial_images: int
    high_fidelity: bool
    """Whether the pictures given may be read at high fidelity: unless low was asked for."""


def default_model(fields: Mapping[str, Any]) -> str:
    """The model of a request that names none, as the provider chooses it."""
    named = {name for name in _GPT_FIELDS if fields.get(name) is not None}
    return "gpt-image-1" if named else "dall-e-2"


def wishes_of(fields: Mapping[str, Any]) -> Wishes:
    """What the fields ask for. Raises BadRequest where they cannot be understood or bounded."""
    for name, why in UNBOUNDED.items():
        if any(key == name or key.startswith(f"{name}[") for key in fields):
            raise BadRequest(f"{name} is not allowed here: {why}.", param=name)
    form = text_of(fields, "output_format")
    if form is not None and form not in FORMATS:
        raise BadRequest(
            f"output_format must be one of {', '.join(FORMATS)}: what others cost cannot be"
            " bounded.",
            param="output_format",
        )
    flag_of(fields, "stream")
    return Wishes(
        n=integer_of(fields, "n", 1, PICTURES_MAX) or 1,
        size=text_of(fields, "size"),
        quality=text_of(fields, "quality"),
        partial_images=integer_of(fields, "partial_images", 0, PARTIAL_IMAGES_MAX) or 0,
        high_fidelity=text_of(fields, "input_fidelity") != "low",
    )


def size_tag(model: str, size: str | None) -> str:
    """The size of the pictures for reports: ``1024x1024``, or ``auto`` where the provider chooses.

    Where a client asks for what is no size, it is ``other``: reports have a row for each value.
    """
    if size is None:
        return default_size(model) or "auto"
    return size if size == "auto" or _SIZE.fullmatch(size) else "other"


def is_billed_by_picture(price: Price) -> bool:
    """Whether the model's pictures have a price each, whatever tokens they take."""
    return price.rate_or_none(STANDARD_TIER, Meter.IMAGES) is not None


def bound_by_picture(price: Price, model: str, wishes: Wishes) -> tuple[Bound, bool]:
    """The bound, and whether the provider bills each picture at just that price.

    It does not where it chooses the quality itself, or the size or quality is not known here:
    these are bounded, and charged, at the dearest price of the model.
    """
    tier = image_variant(model, wishes.size, wishes.quality)
    unasked = image_variant(model, wishes.size, None)
    chosen = wishes.quality == "auto" and tier != unasked
    if tier not in price.tiers:
        tier = STANDARD_TIER
    certain = not chosen and (tier != STANDARD_TIER or len(price.tiers) == 1)
    return bound_of_usage(price, Usage(images=wishes.n), tier=tier), certain


def bound_by_tokens(
    price: Price,
    model: str,
    wishes: Wishes,
    prompt_tokens: int,
    given: Iterable[tuple[int, int] | None] = (),
) -> Bound:
    """The bound for a GPT image model. ``given`` are the sizes of the pictures given, in pixels.

    They count once, however many pictures are made of them. Raises BadRequest for a model,
    size or quality that the published table does not have.
    """
    pictures = [input_tokens(size, wishes.high_fidelity) for size in given]
    made, written = _output_tokens(model, wishes)
    usage = Usage(
        input_tokens=prompt_tokens + PROMPT_SLACK_TOKENS + sum(pictures),
        image_input_tokens=sum(pictures),
        output_tokens=made + written,
        image_output_tokens=made,
    )
    # A report without details leaves open what is picture and what is text.
    pictures_alone = replace(
        usage,
        image_input_tokens=usage.input_tokens,
        image_output_tokens=usage.output_tokens,
    )
    return bound_of_usage(price, usage, pictures_alone)


def _output_tokens(model: str, wishes: Wishes) -> tuple[int, int]:
    """Tokens of pictures and of text that the answer can have."""
    dated = _SNAPSHOT.fullmatch(model)
    text = _TEXT_OUTPUT_TOKENS.get(dated[1] if dated else model)
    if text is None:
        raise BadRequest(
            f"How many tokens {model} takes for a picture is not known here, so the cost of this"
            f" request cannot be bounded. Models that can: {', '.join(_TEXT_OUTPUT_TOKENS)}.",
            param="model",
        )
    quality = _known(wishes.quality, "quality", _QUALITIES)
    size = _known(wishes.size, "size", _SIZES)
    by_size = _OUTPUT_TOKENS[quality or "high"]
    tokens = max(by_size) if size is None else by_size[_SIZES.index(size)]
    made = tokens * wishes.n + PARTIAL_IMAGE_TOKENS * wishes.partial_images * wishes.n
    return made, text * wishes.n


def _known(value: str | None, name: str, known: tuple[str, ...]) -> str | None:
    """``value``; None where the provider chooses."""
    if value is None or value == "auto":
        return None
    if value not in known:
        raise BadRequest(
            f"{name} must be one of {', '.join(known)} or auto: what others cost cannot be"
            " bounded.",
            param=name,
        )
    return value


def input_tokens(size: tuple[int, int] | None, high_fidelity: bool) -> int:
    """An upper bound of the tokens of a picture given; a size of None is any size.

    It is fit into 2048 x 2048 and its short side brought down to 512; then each square of 512
    counts. High fidelity adds a set number, less for a square. The rule does not say how it
    rounds: here it rounds the way that counts more.
    """
    extra = HIGH_FIDELITY_TOKENS if high_fidelity else 0
    if size is None:
        return INPUT_BASE_TOKENS + INPUT_TILE_TOKENS * TILES_MAX + extra
    short, long = sorted(max(side, 1) for side in size)
    if high_fidelity and short == long:
        extra = HIGH_FIDELITY_SQUARE_TOKENS
    if long > FIT_PIXELS:
        short, long = max(short * FIT_PIXELS // long, 1), FIT_PIXELS
    if short > TILE_PIXELS:
        long = divide_up(long * TILE_PIXELS, short)
    tiles = min(divide_up(long, TILE_PIXELS), TILES_MAX)
    return INPUT_BASE_TOKENS + INPUT_TILE_TOKENS * tiles + extra
