"""Checks that the endpoints share, on bodies in JSON and on forms alike.

A form is text throughout, so ``values_of_form`` reads it as the JSON body it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.simulator.errors import bad_request, invalid_type, missing_parameter
from gateway.simulator.multipart import Form
from gateway.simulator.validation import check_number

_WHOLE = re.compile(r"-?\d{1,18}")
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{0,18})?")
_TRUTHS = {"true": True, "false": False}


def values_of_form(
    form: Form,
    *,
    whole: Collection[str] = (),
    decimal: Collection[str] = (),
    flags: Collection[str] = (),
) -> dict[str, Any]:
    """The fields of ``form`` by name, those named here as numbers or truths where they are ones.

    Fields named ``x[]`` are a list called ``x``; an empty field is one that was not sent.
    """
    values: dict[str, Any] = {}
    for name, texts in form.fields.items():
        if name.endswith("[]"):
            values[name[:-2]] = texts
        elif texts[0] == "":
            continue
        elif name in whole:
            values[name] = _read(texts[0], _WHOLE, int)
        elif name in decimal:
            values[name] = _read(texts[0], _DECIMAL, float)
        elif name in flags:
            values[name] = _TRUTHS.get(texts[0].lower(), texts[0])
        else:
            values[name] = texts[0]
    return values


def refuse_unknown(body: Mapping[str, Any], known: Collection[str], strict: bool) -> None:
    """Raise ProviderError (400) for a field the endpoint does not have, where ``strict``."""
    unknown = body.keys() - set(known)
    if strict and unknown:
        raise bad_request(f"Unrecognized request argument supplied: {min(unknown)}")


def choice(body: Mapping[str, Any], name: str, allowed: Collection[str], default: str) -> str:
    """The value of a field that has only these. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid_type(name, "a string", value)
    if value not in allowed:
        shown = " and ".join(", ".join(f"'{entry}'" for entry in allowed).rsplit(", ", 1))
        raise bad_request(
            f"Invalid value: '{value}'. Supported values are: {shown}.", name, "invalid_value"
        )
    return value


def whole(body: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    """The value of a whole number from ``low`` to ``high``. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        return default
    check_number(name, value, True, low, high)
    return int(value)


def decimal(body: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    """The value of a number from ``low`` to ``high``. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        return default
    check_number(name, value, False, low, high)
    return float(value)


def flag(body: Mapping[str, Any], name: str) -> bool:
    """The value of a field that is true or false; false by itself. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise invalid_type(name, "a boolean", value)
    return value


def text(body: Mapping[str, Any], name: str, longest: int) -> str:
    """A text that must be there, of at most ``longest`` characters. Raises ProviderError (400)."""
    value = body.get(name)
    if value is None:
        raise missing_parameter(name)
    if not isinstance(value, str):
        raise invalid_type(name, "a string", value)
    if not value:
        raise bad_request(
            f"Invalid '{name}': empty string. Expected a string with minimum length 1, but got "
            "an empty string instead.",
            name,
            "empty_string",
        )
    if len(value) > longest:
        raise bad_request(
            f"Invalid '{name}': string too long. Expected a string with maximum length {longest}, "
            f"but got a string with length {len(value)} instead.",
            name,
            "string_above_max_length",
        )
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str:
    """A text that may be missing, which is an empty one. Raises ProviderError (400)."""
    value = body.get(name)
    if not isinstance(value, str | None):
        raise invalid_type(name, "a string", value)
    return value or ""


def _read(text: str, pattern: re.Pattern[str], number: Callable[[str], Any]) -> Any:
    """``text`` as a number, or as it is: the check of the field then names what is wrong."""
    return number(text) if pattern.fullmatch(text) else text
