"""The parameters of picture and sound requests: OpenAI API reference, "Images" and "Audio"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

_PICTURES = frozenset(("model", "n", "response_format", "size", "user"))
_DRAWN = _PICTURES | {
    "background",
    "complexity",
    "frame_count",
    "frame_duration_ms",
    "output_compression",
    "output_format",
    "partial_images",
    "prompt",
    "quality",
    "safety_identifier",
    "stream",
    "svg",
}
_SOUND = frozenset(("file", "model", "prompt", "response_format", "temperature"))

KNOWN: Mapping[str, Set[str]] = {
    "images/generations": _DRAWN | {"moderation", "style"},
    "images/edits": _DRAWN | {"image", "input_fidelity", "markup", "mask"},
    "images/variations": _PICTURES | {"image"},
    "audio/speech": frozenset(
        ("input", "instructions", "model", "response_format", "speed", "stream_format", "voice")
    ),
    "audio/transcriptions": _SOUND
    | {
        "chunking_strategy",
        "include",
        "keywords",
        "known_speaker_names",
        "known_speaker_references",
        "language",
        "languages",
        "stream",
        "timestamp_granularities",
    },
    "audio/translations": _SOUND,
}
"""By endpoint."""


def names_in(form_names: Iterable[str]) -> dict[str, bool]:
    """The parameters that a form's fields set: ``include[]`` and ``a[b]`` are of ``include`` and
    ``a``."""
    return {name.partition("[")[0]: True for name in form_names}
