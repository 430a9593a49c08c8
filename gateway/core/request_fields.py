"""Typed values of single request fields, for bodies that are JSON objects or forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import BadRequest


def integer_of(fields: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """An integer within limits; None where the field is missing or null. Raises BadRequest."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequest(f"{name} must be an integer from {least} to {most}.", param=name)
    return value


def text_of(fields: Mapping[str, Any], name: str) -> str | None:
    """A string; None where the field is missing or null. Raises BadRequest."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name} must be a string.", param=name)
    return value


def needed_text_of(fields: Mapping[str, Any], name: str) -> str:
    """A string that must be there and not be empty. Raises BadRequest."""
    value = text_of(fields, name)
    if not value:
        raise BadRequest(f"You must provide {name}, a string.", param=name)
    return value


def number_of(fields: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    """A number within limits; None where the field is missing or null. Raises BadRequest."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"{name} must be a number from {least:g} to {most:g}.", param=name)
    return value


def flag_of(fields: Mapping[str, Any], name: str) -> bool:
    """A truth value; False where the field is missing or null. Raises BadRequest."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.", param=name)
    return bool(value)
