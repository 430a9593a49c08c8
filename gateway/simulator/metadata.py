"""The up to 16 pairs of strings that a stored object carries.

Source: OpenAI API reference, ``metadata``: keys of at most 64 characters, values of at most 512.
"""

from __future__ import annotations

from gateway.simulator.errors import bad_request, invalid_type

PAIRS_MAX = 16
KEY_CHARACTERS_MAX = 64
VALUE_CHARACTERS_MAX = 512


def checked_metadata(given: object) -> dict[str, str]:
    """``given`` as metadata, empty for null. Raises ProviderError (400)."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid_type("metadata", "an object", given)
    if len(given) > PAIRS_MAX:
        raise bad_request(
            f"Invalid 'metadata': too many properties. Expected an object with at most "
            f"{PAIRS_MAX} properties, but got an object with {len(given)} properties instead.",
            "metadata",
            "object_above_max_properties",
        )
    for key, value in given.items():
        if len(key) > KEY_CHARACTERS_MAX:
            raise _too_long("metadata", KEY_CHARACTERS_MAX, len(key))
        if not isinstance(value, str):
            raise invalid_type(f"metadata.{key}", "a string", value)
        if len(value) > VALUE_CHARACTERS_MAX:
            raise _too_long(f"metadata.{key}", VALUE_CHARACTERS_MAX, len(value))
    return given


def _too_long(where: str, most: int, length: int) -> Exception:
    return bad_request(
        f"Invalid '{where}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {length} instead.",
        where,
        "string_above_max_length",
    )
