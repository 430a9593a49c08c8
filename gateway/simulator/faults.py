"""What a request may ask of the simulator: speed, lengths, failures.

Set by header (``x-sim-fault: hang``), by ``metadata`` in the body (``{"sim_fault": "hang"}``, for
clients behind a gateway that drops headers), or for every request by flags at start. A header
wins over metadata, metadata over flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from gateway.simulator.errors import bad_request

NUMBER_MAX = 10_000_000


class Fault(StrEnum):
    """Ways for an answer to go wrong. All but the first charge for the work."""

    RESET_BEFORE_HEADERS = "reset-before-headers"
    """Reset before any byte; no work was done, nothing is charged."""
    RESET_BEFORE_HEADERS_CHARGED = "reset-before-headers-charged"
    """The same to the client, but the work was done and is charged."""
    RESET_AFTER_HEADERS = "reset-after-headers"
    """Reset after the header block; charged in full."""
    RESET_MID_STREAM = "reset-mid-stream"
    """Reset half-way. A stream is charged for the half generated, a whole answer in full."""
    TRUNCATE_CHUNK = "truncate-chunk"
    """The connection ends inside an announced length, half-way; charged as above."""
    HANG = "hang"
    """Silence: before the headers of a whole answer, half-way in a stream; charged as above."""
    BAD_JSON = "bad-json"
    """The body, or one event in the middle of a stream, is not JSON; charged in full."""
    NO_USAGE = "no-usage"
    """The usage report is left out; charged in full."""
    ERROR_EVENT = "error-event"
    """A stream of events ends half-way in an error; charged for the half. Else a 500, free."""
    CLOSE_IDLE = "close-idle"
    """A right answer, then the kept-alive connection is closed unannounced."""
    GZIP = "gzip"
    """A right answer, compressed."""
    MISSING_DONE = "missing-done"
    """A right stream without its ``[DONE]`` mark, or its last event where it has no mark."""
    FAILED = "failed"
    """A response gets the status ``failed`` half-way; the half is charged and reported. Others
    answer rightly."""


@dataclass(frozen=True, slots=True)
class Directives:
    """How one request is to be answered. None: as the simulator would by itself."""

    status: int | None = None
    """Answer with this error status; nothing is charged."""
    fault: Fault | None = None
    latency_ms: int = 0
    """Wait before the status line."""
    first_byte_ms: int = 0
    """Wait between the headers and the first byte of the body."""
    token_interval_ms: int = 0
    """Wait between the events of a stream."""
    output_tokens: int | None = None
    """Length of the visible answer before any maximum, per choice."""
    reasoning_tokens: int | None = None
    """Hidden reasoning tokens of a reasoning model before any maximum, per choice."""
    background_ms: int | None = None
    """How long a background response takes; None: ``BACKGROUND_MS``."""
    tool_calls: int | None = None
    """Web searches of a response that searches, before any maximum."""
    service_tier: str | None = None
    """Answer with this tier instead of the one asked for, as a busy provider does."""
    batch_ms: int = 2_000
    """How long the batch that the request creates takes, from creation to completion."""
    batch_expires_after: int | None = None
    """The batch that the request creates expires once this many of its lines have run."""
    job_ms: int = 2_000
    """How long the fine-tuning job that the request creates takes."""


_NAMES = tuple(f.name for f in fields(Directives))
_HEADERS = tuple((f"x-sim-{name.replace('_', '-')}", name) for name in _NAMES)
_METADATA = tuple((f"sim_{name}", name) for name in _NAMES)


def directives_for(
    headers: Mapping[str, str], metadata: object, defaults: Directives
) -> Directives:
    """The directives of one request. Raises ProviderError (400) for one that makes no sense."""
    found: dict[str, Any] = {}
    if isinstance(metadata, dict):
        for key, name in _METADATA:
            if key in metadata:
                found[name] = _parsed(name, metadata[key])
    for key, name in _HEADERS:
        if key in headers:
            found[name] = _parsed(name, headers[key])
    if not found:
        return defaults
    return Directives(**{name: getattr(defaults, name) for name in _NAMES} | found)


def _parsed(name: str, value: object) -> Any:
    """A directive's value from its text."""
    text = str(value)
    if name == "service_tier":
        return text
    if name == "fault":
        try:
            return Fault(text)
        except ValueError:
            raise bad_request(
                f"Unknown simulator fault '{text}'; there are {', '.join(Fault)}.", "sim_fault"
            ) from None
    if not text.isdecimal() or int(text) > NUMBER_MAX:
        raise bad_request(f"The simulator wants a count for '{name}', not '{text}'.", name)
    if name == "status" and not 400 <= int(text) <= 599:
        raise bad_request(f"The simulator fails with 400 to 599, not '{text}'.", name)
    return int(text)
