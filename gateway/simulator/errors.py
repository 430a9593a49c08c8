"""Errors in the provider's envelope, worded as the provider words them."""

from __future__ import annotations

import json
from collections.abc import Mapping


class ProviderError(Exception):
    """An error answer: HTTP status and the four fields of the provider's envelope.

    ``kind`` is the field called ``type`` there.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON envelope, indented as the provider indents it."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}, indent=2, ensure_ascii=False).encode()


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ProviderError:
    """A 400 ``invalid_request_error``."""
    return ProviderError(400, message, param=param, code=code)


def missing_parameter(param: str) -> ProviderError:
    """A required request field is absent."""
    message = f"Missing required parameter: '{param}'."
    return bad_request(message, param, "missing_required_parameter")


def invalid_type(param: str, expected: str, value: object) -> ProviderError:
    """A request field has a type other than ``expected``, which carries its article."""
    return bad_request(
        f"Invalid type for '{param}': expected {expected}, but got {_named(value)} instead.",
        param,
        "invalid_type",
    )


def model_not_found(model: str) -> ProviderError:
    """The provider does not know the model."""
    return ProviderError(
        404,
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def unknown_url(method: str, path: str) -> ProviderError:
    """The provider has no such endpoint."""
    return ProviderError(404, f"Invalid URL ({method} {path})")


def injected(status: int) -> ProviderError:
    """The error that the provider would send with ``status``; used for injected failures."""
    if status == 429:
        return ProviderError(
            429,
            "Rate limit reached for requests. Please try again in 1s.",
            kind="requests",
            code="rate_limit_exceeded",
            headers={"retry-after": "1", "retry-after-ms": "1000"},
        )
    if status == 503:
        return ProviderError(
            503,
            "The engine is currently overloaded, please try again later",
            kind="server_error",
            headers={"retry-after": "1"},
        )
    if status >= 500:
        return ProviderError(
            status,
            "The server had an error while processing your request. Sorry about that!",
            kind="server_error",
        )
    return ProviderError(status, f"Injected failure with status {status}.", code="injected")


def _named(value: object) -> str:
    """The JSON type of ``value`` with its article, as the provider's messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
