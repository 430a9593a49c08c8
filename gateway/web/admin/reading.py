"""Requests to the admin API, read by their models. What is wrong is said by field, not repeated."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gateway.core.errors import BadRequest, PreconditionRequired
from gateway.core.etags import parse_if_match
from gateway.web.current import services
from gateway.web.json_body import json_object

_Model = TypeVar("_Model", bound=BaseModel)
_NAMED_MAX = 80


def read_query(model: type[_Model]) -> _Model:
    """The query of the current request. Raises BadRequest, also for what is not known."""
    values: dict[str, Any] = {}
    for name, given in request.args.lists():
        field = model.model_fields.get(name)
        if field is not None and is_many(field):
            values[name] = given
        elif len(given) > 1:
            raise BadRequest(f"{_shown(name)}: given more than once.", param=_shown(name))
        else:
            values[name] = given[0]
    return _validated(model, values, "query parameter")


def is_many(field: FieldInfo) -> bool:
    """Whether a query parameter may be given several times."""
    return isinstance(field.default, tuple)


def read_body(model: type[_Model]) -> _Model:
    """The JSON body of the current request; none at all is an empty one. Raises BadRequest."""
    chunked = "Transfer-Encoding" in request.headers
    empty = not request.content_length and not chunked
    body = {} if empty else json_object(services().gate.settings)[0]
    return _validated(model, body, "field")


def read_seen(*, required: bool) -> frozenset[str] | None:
    """The entity tags of ``If-Match``. Raises BadRequest; PreconditionRequired without any."""
    header = request.headers.get("If-Match")
    if header is None:
        if required:
            raise PreconditionRequired(
                "Send If-Match with the ETag of what you have read, so that nobody's change is"
                " overwritten unseen; `If-Match: *` changes whatever there is."
            )
        return None
    try:
        return parse_if_match(header)
    except ValueError as error:
        raise BadRequest(f"If-Match: {error}.") from None


def _validated(model: type[_Model], values: dict[str, Any], what: str) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or what
        raise BadRequest(
            _says(first["type"], first["msg"], place, what), param=_shown(place)
        ) from None


def _says(kind: str, message: str, place: str, what: str) -> str:
    if kind == "extra_forbidden":
        return f"Unknown {what}: {_shown(place)}."
    if kind == "missing":
        return f"Missing {what}: {_shown(place)}."
    return f"{_shown(place)}: {message.removeprefix('Value error, ')}."


def _shown(name: str) -> str:
    return name[:_NAMED_MAX] if name.isprintable() else repr(name[:_NAMED_MAX])
