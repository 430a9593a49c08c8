"""One operation of the API, and how OpenAPI says it.

Answers are described loosely: they are the provider's, and fields may come that are not known
here. Errors are exact: they are the classes of ``core.errors``, and each has its status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core import errors
from gateway.core.errors import ApiError
from gateway.core.objects import ID_PATTERN
from gateway.web.descriptions.shapes import Shape, record, text
from gateway.web.idempotency import KEY_CHARACTERS_MAX

JSON = "application/json"
EVENTS = "text/event-stream"
FORM = "multipart/form-data"

EVENT = record({}, {"event": text(), "data": text()})
"""One event of a stream; what its data says is JSON, and then ``[DONE]`` where OpenAI ends so."""

UNREADABLE: Mapping[int, str] = {
    414: "The request line is too long.",
    431: "The headers are too many, or too long.",
}
"""What the server answers before any route is found (``green_worker``), in the envelope too."""

Errors = tuple[type[ApiError], ...]

ALWAYS: Errors = (
    ApiError,
    errors.Unauthorized,
    errors.RateLimited,
    errors.StoreUnavailable,
)
"""What every operation that asks who calls may answer."""

OF_CONTROL: Errors = (
    ApiError,
    errors.Unauthorized,
    errors.Forbidden,
    errors.StoreUnavailable,
)
"""What every operation of the control plane may answer."""

FORWARDED: Errors = (
    errors.UpstreamUnreachable,
    errors.UpstreamInvalid,
    errors.UpstreamTimeout,
)
"""What an operation that asks the provider may answer, beside the provider's own errors."""

WITH_BODY: Errors = (
    errors.BadRequest,
    errors.RequestTimeout,
    errors.BodyTooLarge,
    errors.UnsupportedEncoding,
)

PRICED: Errors = (
    errors.Forbidden,
    errors.ModelNotFound,
    errors.ModelUnpriced,
    errors.OverBudget,
)
"""What a request for a model may be answered."""

ID = text(pattern=f"^{ID_PATTERN.pattern}$")
"""An id of an object. Any other string in its place names no object, which is a 404."""


@dataclass(frozen=True, slots=True)
class Query:
    """An argument after the question mark."""

    name: str
    shape: Shape
    says: str = ""
    style: str = "form"
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path takes and answers. ``answers`` are by media type."""

    summary: str
    answers: Mapping[str, Shape]
    json: Shape | None = None
    """The body where it is JSON."""
    form: Shape | None = None
    """The body where it is a form."""
    body_needed: bool = True
    unknown_pass: bool = True
    """Whether unknown fields pass on to the provider wherever it is OpenAI."""
    query: tuple[Query, ...] = ()
    errors: Errors = ()
    """Beside ``ALWAYS`` and what follows from the body, the path and the provider."""
    asks_provider: bool = True
    costs: bool = False
    """Whether the answer says what it cost."""
    holds: bool = False
    """Whether work may go on after the answer, which then says what is held for it."""
    is_open: bool = False
    """Whether nobody is asked who calls."""
    by_admin_token: bool = False
    """Whether it reads or changes the control plane, for which a client's key is not enough."""
    looks: bool = False
    """Whether it does nothing: it is no request that a key could have run once."""
    failing: tuple[int, ...] = ()
    """Further statuses with the body of a success."""


def rendered(
    name: str, operation: Operation, method: str, parameters: Sequence[str], closed: bool
) -> dict[str, Any]:
    """The operation object of ``operation``; ``parameters`` are those of its path.

    ``closed`` says that the deployment refuses fields which are not known.
    """
    keyed = method == "POST" and not (operation.by_admin_token or operation.looks)
    found: dict[str, Any] = {"operationId": name, "summary": operation.summary}
    arguments = [_path_parameter(parameter) for parameter in parameters]
    arguments += [_query_parameter(query) for query in operation.query]
    if keyed and not operation.is_open:
        arguments.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if arguments:
        found["parameters"] = arguments
    if operation.json is not None or operation.form is not None:
        found["requestBody"] = _request_body(operation, closed)
    if operation.is_open:
        found["security"] = []
    if operation.by_admin_token:
        found["security"] = [{"adminToken": []}]
    found["responses"] = _responses(operation, keyed, bool(parameters))
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    # A model's name may have slashes and is looked up; every other id becomes part of a path.
    shape = text(least=1) if name == "name" else ID
    return {"name": name, "in": "path", "required": True, "schema": shape}


def _query_parameter(query: Query) -> dict[str, Any]:
    found: dict[str, Any] = {"name": query.name, "in": "query", "schema": query.shape}
    if query.style != "form":
        found |= {"style": query.style, "explode": True}
    if query.says:
        found["description"] = query.says
    if query.needed:
        found["required"] = True
    return found


def _request_body(operation: Operation, closed: bool) -> dict[str, Any]:
    content = {}
    if operation.json is not None:
        shape = operation.json
        if closed and operation.unknown_pass:
            # Null is as good as missing, also where a field is not known.
            shape = {**shape, "additionalProperties": {"type": "null"}}
        content[JSON] = {"schema": shape}
    if operation.form is not None:
        content[FORM] = {"schema": operation.form}
    return {"required": operation.body_needed, "content": content}


def _responses(operation: Operation, keyed: bool, names_object: bool) -> dict[str, Any]:
    content = {media: {"schema": shape} for media, shape in operation.answers.items()}
    found: dict[str, Any] = {
        str(status): {"description": "As OpenAI answers.", "content": content}
        for status in (200, *operation.failing)
    }
    if operation.is_open:
        return found
    if operation.by_admin_token or operation.looks:
        return {**found, **_error_responses(operation, keyed, names_object)}
    headers = ["x-faregate-request-id", "x-request-id", *_RATE_HEADERS]
    if operation.costs:
        headers += ["x-faregate-cost-usd", "x-faregate-budget-remaining-usd"]
    if operation.holds:
        headers.append("x-faregate-held-usd")
    if keyed:
        headers.append("x-faregate-idempotent-replay")
    found["200"]["headers"] = {name: _header(name) for name in headers}
    return {**found, **_error_responses(operation, keyed, names_object)}


_RATE_HEADERS = tuple(
    f"x-ratelimit-{what}-{unit}"
    for unit in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _error_responses(
    operation: Operation, keyed: bool, names_object: bool
) -> dict[str, dict[str, Any]]:
    kinds = {*(OF_CONTROL if operation.by_admin_token else ALWAYS), *operation.errors}
    if names_object:
        kinds.add(errors.NotFound)
    if operation.query:
        kinds.add(errors.BadRequest)
    if operation.json is not None or operation.form is not None:
        kinds |= set(WITH_BODY)
    if operation.asks_provider:
        kinds |= set(FORWARDED)
    if keyed:
        kinds |= {errors.BadRequest, errors.Conflict}
    found = {
        str(status): {"$ref": f"#/components/responses/Error{status}"}
        for status in sorted({kind.status for kind in kinds} | UNREADABLE.keys())
    }
    if operation.asks_provider:
        found["default"] = {"$ref": "#/components/responses/ProviderError"}
    return found


def error_components() -> dict[str, Any]:
    """The response objects that operations refer to, one for each status of ``core.errors``."""
    by_status: dict[int, list[type[ApiError]]] = {}
    for kind in _all_errors(ApiError):
        by_status.setdefault(kind.status, []).append(kind)
    found = {
        f"Error{status}": _error_component(kinds) for status, kinds in sorted(by_status.items())
    }
    found |= {f"Error{status}": _envelope(says) for status, says in UNREADABLE.items()}
    found["ProviderError"] = {
        **_envelope("An error of the provider, with its own status and body."),
        "headers": {"x-faregate-request-id": _header("x-faregate-request-id")},
    }
    return found


def _envelope(says: str) -> dict[str, Any]:
    return {
        "description": says,
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _all_errors(kind: type[ApiError]) -> list[type[ApiError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _all_errors(below))]


def _error_component(kinds: list[type[ApiError]]) -> dict[str, Any]:
    said = [_first_line(kind) for kind in kinds if kind is not ApiError]
    found = _envelope(" ".join(said) or "A mistake of the gateway itself.")
    if {429, 503, 409} & {kind.status for kind in kinds}:
        found["headers"] = {"retry-after": _header("retry-after")}
    return found


def _first_line(kind: type[ApiError]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


COMPONENTS: Mapping[str, Any] = {
    "securitySchemes": {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A Faregate key: fg-... (`faregate key create CLIENT`).",
        },
        "adminToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "An admin token: fga-..., of an admin, of finance or of a team's owner.",
        },
    },
    "parameters": {
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A retry with the same key and body gets the first answer.",
            "schema": text(1, KEY_CHARACTERS_MAX, r"^[ -~]+$"),
        }
    },
    "headers": {
        name: {"description": says, "schema": {"type": "string"}}
        for name, says in {
            "x-faregate-request-id": "Names the request in records and logs.",
            "x-faregate-cost-usd": "What the request cost, exact to the nano-dollar.",
            "x-faregate-held-usd": "What is held until work that goes on has ended.",
            "x-faregate-budget-remaining-usd": "What the tightest budget has left.",
            "x-faregate-idempotent-replay": "true, where this is the first answer again.",
            "x-request-id": "The provider's own id of the request.",
            "retry-after": "Seconds to wait before trying again.",
            **dict.fromkeys(_RATE_HEADERS, "The client's own limits, as OpenAI writes them."),
        }.items()
    },
    "schemas": {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message", "type", "param", "code"],
                    "properties": {
                        "message": {"type": "string"},
                        "type": {"type": "string"},
                        "param": {"type": ["string", "null"]},
                        "code": {"type": ["string", "null"]},
                        "budget": {
                            "type": "object",
                            "description": "The budget that cannot afford the request.",
                        },
                    },
                }
            },
        }
    },
}
