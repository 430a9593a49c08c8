"""Reads what was billed for pictures out of answers, whole or streamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.final_meter import FinalUsageMeter
from gateway.core.meters import Reading
from gateway.core.usage import InvalidUsage, Usage, usage_from_images

_ENDS = ("image_generation.completed", "image_edit.completed")
"""Source: OpenAI API reference, ``ImageGenCompletedEvent``, ``ImageEditCompletedEvent``."""


def read_pictures(payload: object, certain: bool) -> Reading:
    """The reading of an answer billed by the picture: as many as it holds."""
    pictures = _pictures(payload)
    usage = None if pictures is None else Usage(images=len(pictures))
    return Reading(usage, None, certain)


def read_picture_tokens(payload: object) -> Reading:
    """The reading of an answer billed by tokens; the pictures are counted for reports."""
    pictures = _pictures(payload)
    if pictures is None or not isinstance(payload, dict):
        return Reading(None, None)
    try:
        usage = usage_from_images(payload.get("usage"))
    except InvalidUsage:
        usage = None
    return Reading(usage and replace(usage, images=len(pictures)), None)


def _pictures(payload: object) -> Sequence[object] | None:
    data = payload.get("data") if isinstance(payload, dict) else None
    return data if isinstance(data, list) else None


def picture_stream_meter(pictures: int) -> FinalUsageMeter:
    """Follows a stream of one picture. Of several, it is not published whose usage an event
    tells, so none of it is believed."""
    return FinalUsageMeter(_ENDS, _usage_of_event if pictures == 1 else _none, pictures)


def _usage_of_event(report: object) -> Usage | None:
    usage = usage_from_images(report)
    return usage and replace(usage, images=1)


def _none(_report: object) -> Usage | None:
    return None
