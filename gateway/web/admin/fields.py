"""Fields of the admin API: their JSON forms, their limits, and what they are in Python.

Bodies are strict: a number in quotes is no number, and a field that is not known is refused. In
queries everything is text, so text is what numbers and times are read from, in one form each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from gateway.core.money import decimal_usd, nano_from_usd
from gateway.core.timestamps import moment_of, timestamp

ID_MAX = 2**63 - 1
"""Largest id that the databases know."""

COUNT_MAX = 10**12
PAGE_MAX = 500
_USD = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
_SIGNED_PATTERN = r"^-?[0-9]{1,10}(\.[0-9]{1,9})?$"
_YEARS = (1970, 2200)
"""What has to do with usage and prices; and a day earlier and later can be reckoned."""
_DIGITS = re.compile(r"-?[0-9]{1,19}")


UNSENT: Any = None
"""The default of a field of a Patch, which is never sent as null."""


class Body(BaseModel):
    """A JSON object that a caller sends."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Patch(Body):
    """A JSON object of which at least one field is sent; those that are not stay as they are.

    Fields are declared with ``UNSENT``: null is not sent for what stays, but refused.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _something(self) -> Patch:
        if not self.model_fields_set:
            raise ValueError("nothing to change: send at least one field")
        return self

    def given(self) -> dict[str, Any]:
        """What was sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """A JSON object that the API answers. Further fields may come with later versions."""

    model_config = ConfigDict(frozen=True)


class Query(BaseModel):
    """What stands after the question mark."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("a time is a string such as 2026-12-01T00:00:00Z")
    found = moment_of(value)
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise ValueError(f"not a time from {_YEARS[0]} to {_YEARS[1]}")
    return found


def _number(value: Any) -> Any:
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise ValueError("not a whole number")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("true or false")
        return value == "true"
    return value


def _many(value: Any) -> Any:
    """Repeated parameters come as a list, one alone too."""
    return tuple(value) if isinstance(value, list) else value


_AMOUNT_SAYS = "US dollars as a decimal string, exact to the nano-dollar."
_TIME_SCHEMA = {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Dollars:
    """Marks nano-dollars that are sent as decimals, with so many digits before the point."""

    digits: int = 10
    most_nano: int | None = None

    def __get_pydantic_core_schema__(self, _source: Any, _given: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._nano)

    def __get_pydantic_json_schema__(self, _core: Any, _given: Any) -> dict[str, Any]:
        pattern = rf"^[0-9]{{1,{self.digits}}}(\.[0-9]{{1,9}})?$"
        return {"type": "string", "pattern": pattern, "description": _AMOUNT_SAYS}

    def _nano(self, value: Any) -> int:
        if not isinstance(value, str) or _USD.fullmatch(value) is None:
            raise ValueError('an amount is a string of US dollars with up to 9 decimals: "500.00"')
        nano = nano_from_usd(value)
        if self.most_nano is not None and nano > self.most_nano:
            raise ValueError(f"at most {decimal_usd(self.most_nano)} US dollars")
        return nano


Usd = Annotated[int, Dollars()]
"""An amount that is sent: in Python nano-dollars, never below zero."""

Amount = Annotated[
    int,
    PlainSerializer(decimal_usd, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _SIGNED_PATTERN, "description": _AMOUNT_SAYS}),
]
"""An amount that is answered, from nano-dollars."""

AmountText = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": _SIGNED_PATTERN, "description": _AMOUNT_SAYS}),
]
"""An amount that is answered, already decimal."""

Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(timestamp, return_type=str),
    WithJsonSchema(_TIME_SCHEMA),
]
"""A time in RFC 3339; in answers always in UTC."""

MomentText = Annotated[str, WithJsonSchema(_TIME_SCHEMA)]
"""A time that is answered, already text."""

Id = Annotated[int, Field(ge=1, le=ID_MAX)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
ModelName = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,99}$"),
    AfterValidator(_printable),
]
"""The name of a team, client, key or budget."""

Pattern = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)
]
"""A shell-style pattern of model names, such as ``gpt-4o*``."""

TagPair = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9_.-]{1,64}=[^,]{1,128}$"),
    AfterValidator(_printable),
]
"""A tag and its value: ``project=alpha``."""

QueryId = Annotated[Id, BeforeValidator(_number)]
QueryFlag = Annotated[bool, BeforeValidator(_flag)]
QueryIds = Annotated[tuple[QueryId, ...], BeforeValidator(_many), Field(max_length=100)]
QueryTexts = Annotated[tuple[Text, ...], BeforeValidator(_many), Field(max_length=100)]
PageSize = Annotated[int, Field(ge=1, le=PAGE_MAX)]
Limit = Annotated[PageSize, BeforeValidator(_number)]
CursorText = Annotated[
    str, StringConstraints(min_length=1, max_length=400, pattern=r"^[A-Za-z0-9_.-]+$")
]


class Listed(Query):
    """What every list takes."""

    limit: Limit = Field(50, description="How many at most.")
    cursor: CursorText | None = Field(
        None, description="Where to go on: `next` of the page before, with the same filters."
    )


ETag = Annotated[str, Field(description="What `If-Match` takes: the ETag, without quotes.")]
NextCursor = Annotated[
    str | None, Field(description="The `cursor` of the next page; null at the end.")
]
