"""The results of the usage and costs APIs, made of sums. Field for field as OpenAI's.

Source: OpenAI API reference, "Usage", ``organization.usage.*.result`` and
``organization.costs.result``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.line_items import ESTIMATE, HOLD
from gateway.core.prices import Meter
from gateway.core.usage_families import (
    AUDIO_SPEECHES,
    AUDIO_TRANSCRIPTIONS,
    COMPLETIONS,
    IMAGES,
    Family,
)

_TOKENS = "tokens"
_UNITS: Mapping[str, str | None] = {
    **{meter.value: _TOKENS for meter in Meter},
    Meter.AUDIO_SECONDS.value: "duration_seconds",
    Meter.CHARACTERS.value: "characters",
    Meter.IMAGES.value: "images",
    # What has no unit in OpenAI's list is a number of calls or sessions.
    Meter.WEB_SEARCH_CALLS.value: None,
    Meter.FILE_SEARCH_CALLS.value: None,
    Meter.CODE_INTERPRETER_SESSIONS.value: None,
}

_UNCOUNTED = frozenset((HOLD, ESTIMATE))


def usage_fields(family: Family, sums: Mapping[str, int]) -> dict[str, Any]:
    """The figures of one result of ``family``, without what it is grouped by."""
    if family.meter is not None:
        name = "num_sessions" if family.meter is Meter.CODE_INTERPRETER_SESSIONS else "num_requests"
        return {name: sums["fees"]}
    # What was refused or failed at the provider is no usage there.
    requests = {"num_model_requests": sums["requests"] - sums["failures"]}
    if family is COMPLETIONS:
        return {**_completion_fields(sums), **requests}
    if family is IMAGES:
        return {"images": sums["images"], **requests}
    if family is AUDIO_SPEECHES:
        return {"characters": sums["characters"], **requests}
    if family is AUDIO_TRANSCRIPTIONS:
        return {"seconds": -(-sums["audio_milliseconds"] // 1000), **requests}
    return {"input_tokens": sums["input_tokens"], **requests}


def _completion_fields(sums: Mapping[str, int]) -> dict[str, Any]:
    """Token counts. Providers say how many tokens were cached and how many were audio, but not
    how many were both: where both kinds occur, the fields that would need it are null.
    """
    total, cached = sums["input_tokens"], sums["cached_input_tokens"]
    written = sums["cache_write_tokens"]
    audio, image = sums["audio_input_tokens"], sums["image_input_tokens"]
    out_audio, out_image = sums["audio_output_tokens"], sums["image_output_tokens"]
    told_apart = not (audio or image) or not (cached or written)
    only_text = told_apart and not (audio or image)
    return {
        "input_tokens": total,
        "output_tokens": sums["output_tokens"],
        "input_cached_tokens": cached,
        "input_uncached_tokens": total - cached - written,
        "input_cache_write_tokens": written,
        "input_cache_write_30m_tokens": None,
        "input_cache_write_12h_tokens": None,
        "input_text_tokens": total - cached - written - audio - image if told_apart else None,
        "input_audio_tokens": audio,
        "input_image_tokens": image,
        "input_cached_text_tokens": cached if only_text or not cached else None,
        "input_cached_audio_tokens": 0 if only_text or not cached else None,
        "input_cached_image_tokens": 0 if only_text or not cached else None,
        "output_text_tokens": sums["output_tokens"] - out_audio - out_image,
        "output_audio_tokens": out_audio,
        "output_image_tokens": out_image,
    }


def line_item_name(model: str, item: str) -> str:
    """``gpt-4o-mini, cached_input``, as OpenAI writes line items; the item alone where what was
    charged names no model."""
    return f"{model}, {item}" if model else item


def line_item_of(name: str) -> tuple[str, str]:
    """The model and the item of a line item's name."""
    model, _, item = name.rpartition(", ")
    return model, item


def quantity_of(item: str, quantity: int) -> tuple[int, int | None, str | None]:
    """(whole units, thousandths or None, unit) of a line item. Sound is counted in milliseconds
    and shown in seconds; an item that stands for no count has none, which is (0, None, None)."""
    if item == Meter.AUDIO_SECONDS.value:
        return quantity // 1000, quantity % 1000, _UNITS[item]
    return quantity, None, _UNITS.get(item)


def is_counted(item: str) -> bool:
    """Whether a line item has a quantity: holds, estimates and adjustments are amounts alone."""
    return item in _UNITS and item not in _UNCOUNTED
