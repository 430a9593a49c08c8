"""Errors that reach an API client. Each class carries its HTTP status and OpenAI's fields.

Raise anywhere, render once (``web/errors.py``)::

    ApiError
    +-- BadRequest            400 invalid_request_error
    |   +-- ModelUnpriced     400 model_not_priced
    +-- Unauthorized          401 invalid_api_key
    +-- Forbidden             403 permission_error
    +-- NotFound              404
    |   +-- ModelNotFound     404 model_not_found
    |   +-- UnknownEndpoint   404 unknown_endpoint
    +-- MethodNotAllowed      405 method_not_supported
    +-- RequestTimeout        408 request_timeout
    +-- Conflict              409 idempotency_in_progress and others
    +-- PreconditionFailed    412 changed_meanwhile
    +-- BodyTooLarge          413 request_too_large
    +-- UnsupportedEncoding   415 unsupported_content_encoding
    +-- PreconditionRequired  428 if_match_required
    +-- OverBudget            429 insufficient_quota
    +-- RateLimited           429 rate_limit_exceeded
    +-- UpstreamUnreachable   502 upstream_unreachable
    +-- UpstreamInvalid       502 upstream_invalid_response
    +-- StoreUnavailable      503 store_unavailable
    +-- StoreFull             503 store_full
    +-- ServerBusy            503 server_busy
    +-- UpstreamTimeout       504 upstream_timeout

The envelope is OpenAI's: ``{"error": {"message", "type", "param", "code"}}``. Messages say
what was wrong, what the limit is and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ApiError(Exception):
    """Base of every error an API client can see."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    def envelope(self) -> dict[str, Any]:
        """The JSON body; ``details`` add fields beside OpenAI's four."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        error.update(self.details)
        return {"error": error}


class BadRequest(ApiError):
    """The request is malformed or asks for something that cannot be bounded."""

    status = 400
    type = "invalid_request_error"


class ModelUnpriced(BadRequest):
    """The model exists but has no price, so its cost cannot be bounded."""

    code = "model_not_priced"


class Unauthorized(ApiError):
    """No key, or a key that is unknown, revoked or expired."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(ApiError):
    """The key is good but may not do this."""

    status = 403
    type = "invalid_request_error"
    code = "permission_denied"


class NotFound(ApiError):
    """There is no such object, or it is not this client's."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """Neither the price list nor the provider knows the model."""

    code = "model_not_found"


class UnknownEndpoint(NotFound):
    """The path is not one that the gateway meters, so it is not passed on."""

    code = "unknown_endpoint"


class MethodNotAllowed(ApiError):
    """The endpoint exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_supported"


class RequestTimeout(ApiError):
    """The client stopped sending its request; nothing was forwarded."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class Conflict(ApiError):
    """The request's Idempotency-Key stands for another request, or for one without an answer; or
    what the request is about is not in a state for it."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_in_progress"


class PreconditionFailed(ApiError):
    """What is to be changed has been changed since the caller read it (admin API)."""

    status = 412
    type = "invalid_request_error"
    code = "changed_meanwhile"


class BodyTooLarge(ApiError):
    """The body is larger than the configured limit."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedEncoding(ApiError):
    """The body is compressed; requests are taken uncompressed only."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_content_encoding"


class PreconditionRequired(ApiError):
    """A change of the admin API that does not say what it was decided on (``If-Match``)."""

    status = 428
    type = "invalid_request_error"
    code = "if_match_required"


class OverBudget(ApiError):
    """A budget cannot afford the request."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str, *, budget_id: int = 0, **fields: Any) -> None:
        """``budget_id`` names the budget, and ``fields`` are those of every error."""
        super().__init__(message, **fields)
        self.budget_id = budget_id


class RateLimited(ApiError):
    """A rate limit is reached; ``retry-after`` says for how long."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class UpstreamUnreachable(ApiError):
    """No connection to the provider, or it broke before an answer."""

    status = 502
    type = "server_error"
    code = "upstream_unreachable"


class UpstreamInvalid(ApiError):
    """The provider's answer cannot be understood."""

    status = 502
    type = "server_error"
    code = "upstream_invalid_response"


class StoreUnavailable(ApiError):
    """Redis or the policy store cannot be reached, so nothing can be admitted."""

    status = 503
    type = "server_error"
    code = "store_unavailable"


class StoreFull(ApiError):
    """Redis is so full that only what is in flight is still settled."""

    status = 503
    type = "server_error"
    code = "store_full"


class ServerBusy(ApiError):
    """The process that took the request has no room for it."""

    status = 503
    type = "server_error"
    code = "server_busy"


class UpstreamTimeout(ApiError):
    """The provider did not answer in time."""

    status = 504
    type = "server_error"
    code = "upstream_timeout"
