"""Checks of request fields that the gateway itself must understand."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from gateway.core.bounds import BoundRules
from gateway.core.chat_fields import refuse_unbounded_fields, refuse_unknown
from gateway.core.errors import BadRequest
from gateway.settings import Settings


def check_stream_fields(body: Mapping[str, Any]) -> None:
    """Raise BadRequest unless ``stream`` and ``stream_options`` have their documented types."""
    streamed = body.get("stream")
    if streamed is not None and not isinstance(streamed, bool):
        raise BadRequest("stream must be true or false.", param="stream")
    options = body.get("stream_options")
    if options is None:
        return
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.", param="stream_options")
    if not streamed:
        raise BadRequest(
            "stream_options is only allowed when stream is true.", param="stream_options"
        )
    wanted = options.get("include_usage")
    if wanted is not None and not isinstance(wanted, bool):
        raise BadRequest(
            "stream_options.include_usage must be true or false.",
            param="stream_options.include_usage",
        )


def check_fields(body: Mapping[str, Any], known: Set[str], settings: Settings) -> None:
    """Raise BadRequest for a field that cannot be bounded, or that must be known and is not."""
    refuse_unbounded_fields(body, known)
    if "service_tier" not in known and body.get("service_tier") is not None:
        raise BadRequest(
            "service_tier is not a parameter of this endpoint: what it would cost is not known.",
            param="service_tier",
        )
    if not settings.passes_unknown_fields:
        refuse_unknown(body, known)


def bound_rules(settings: Settings) -> BoundRules:
    """The settings that bounding depends on."""
    return BoundRules(
        settings.output_floor_tokens, settings.auto_service_tier, settings.output_limit_field
    )


FILE_PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
"""OpenAI API reference, "Upload file"."""


def check_file_purpose(purpose: object) -> None:
    """Raise BadRequest unless ``purpose`` is one that a client may give to a file."""
    if purpose not in FILE_PURPOSES:
        raise BadRequest(f"purpose must be one of {', '.join(FILE_PURPOSES)}.", param="purpose")
