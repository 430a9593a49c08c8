"""Which price of a model that is billed by the image applies to a request.

DALL-E images cost by size and quality. A price row has no such dimensions, so each pair of them
is a processing variant of its own among the row's tiers, named ``quality-size`` such as
``standard-1024x1024``. The row's standard tier is the dearest variant, so that a bound made
there holds whatever the provider makes of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.prices import STANDARD_TIER


@dataclass(frozen=True, slots=True)
class _Variants:
    """Sizes and qualities that a model is priced by; the first size is the one taken unasked."""

    sizes: tuple[str, ...]
    qualities: tuple[str, ...]


_MODELS: Mapping[str, _Variants] = {
    "dall-e-2": _Variants(("1024x1024", "512x512", "256x256"), ("standard",)),
    "dall-e-3": _Variants(("1024x1024", "1024x1792", "1792x1024"), ("standard", "hd")),
}

_LEFT_TO_THE_MODEL = "auto"


def default_size(model: str) -> str | None:
    """The size that ``model`` makes unasked; None where it chooses, or is not known here."""
    variants = _MODELS.get(model)
    return None if variants is None else variants.sizes[0]


def image_variant(model: str, size: str | None, quality: str | None) -> str:
    """The tier of ``model``'s price row that a request with ``size`` and ``quality`` is billed at.

    None is a field that the request does not have: the provider then makes a standard image of
    1024x1024. Quality ``auto`` lets it choose, so it is the dearest that there is. What is no
    variant of a known model, and every model that is billed otherwise, such as GPT image
    models by tokens, is ``default``.
    Source: OpenAI API reference, create image: ``size``, ``quality``.
    """
    variants = _MODELS.get(model)
    if variants is None:
        return STANDARD_TIER
    size = variants.sizes[0] if size is None else size
    quality = variants.qualities[0] if quality is None else quality
    if quality == _LEFT_TO_THE_MODEL:
        quality = variants.qualities[-1]
    if size not in variants.sizes or quality not in variants.qualities:
        return STANDARD_TIER
    return f"{quality}-{size}"
