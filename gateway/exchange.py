"""One request on the paid path: what it is, what it works with, and what goes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import orjson

from gateway.adapters.allowances import Allowances
from gateway.adapters.forms import Form
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.intents import Intents
from gateway.adapters.metrics import Metrics
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.policies import Policies
from gateway.adapters.tokenizer import Tokenizer
from gateway.adapters.upstream import Answer, Upstream
from gateway.adapters.watermarks import Watermarks
from gateway.core import sse
from gateway.core.bounds import Bound
from gateway.core.catalog import ModelFacts
from gateway.core.holds import Hold, Resolution
from gateway.core.meters import BytesMeter, Reading, StreamMeter, read_answer
from gateway.core.money import usd_from_nano
from gateway.core.objects import Found, OwnedObject
from gateway.core.policy import Client, Key, Policy
from gateway.core.prices import Price
from gateway.core.refusals import rate_headers
from gateway.core.tags import NO_TAGS
from gateway.settings import Settings

_PASSED_HEADERS = frozenset(
    (
        "content-type",
        "x-request-id",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "openai-model",
        "content-disposition",
    )
)
"""The provider's headers that a client gets. Not among them: the organization, the project,
cookies, and the provider's rate limits, which are the deployment's and not the client's."""


@dataclass(frozen=True)
class Gate:
    """What the paid path works with; one per process."""

    settings: Settings
    policies: Policies
    keeper: HoldKeeper
    objects: ObjectKeeper
    upstream: Upstream
    tokenizer: Tokenizer
    metrics: Metrics
    allowances: Allowances
    watermarks: Watermarks
    intents: Intents | None = None
    """Where requests are written down in SQL before they are sent, if anywhere."""


Read = Callable[[object], Reading]
"""Reads usage and service tier out of a whole, parsed answer."""

Owns = Callable[[Mapping[str, Any]], Sequence[Found]]
"""The objects that a whole, parsed answer makes the client the owner of."""


def owns_nothing(_answer: Mapping[str, Any]) -> Sequence[Found]:
    """The objects of an answer that names none."""
    return ()


Rewrite = Callable[[Mapping[str, Any], Bound, int], Mapping[str, Any]]
"""Makes the request to forward of body, bound and granted output tokens."""


def as_it_came(body: Mapping[str, Any], _bound: Bound, _granted: int) -> Mapping[str, Any]:
    """The request to forward where the bound needs nothing written."""
    return body


ErrorEvent = Callable[[Mapping[str, Any]], bytes]
"""Makes the event that tells of an error in the middle of a stream, from its four fields."""


def envelope_event(error: Mapping[str, Any]) -> bytes:
    """The event of an error in OpenAI's envelope."""
    return sse.data_event(orjson.dumps({"error": error}))


class Tape(Protocol):
    """Records the body of an answer as it goes out."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def end(self) -> None:
        """The answer is whole."""
        ...


@dataclass(frozen=True)
class Exchange:
    """One authenticated, parsed and bounded request."""

    policy: Policy
    client: Client
    key: Key
    endpoint: str
    model: str
    body: Mapping[str, Any]
    bound: Bound
    price: Price | None
    facts: ModelFacts | None = None
    streamed: bool = False
    rewrite: Rewrite = as_it_came
    method: str = "POST"
    path: str | None = None
    """Below the base URL, with its query; the endpoint's own where it is None."""
    form: Form | None = None
    """The body where it is a form: ``body`` has its fields, ``rewrite`` gives what to set."""
    read: Read = read_answer
    stream_meter: Callable[[], StreamMeter] | None = None
    """Makes the meter of a streamed answer."""
    error_event: ErrorEvent = envelope_event
    """Makes the last event of a stream that the provider broke off."""
    bytes_meter: Callable[[], BytesMeter] | None = None
    """Makes the meter of an answer in bytes."""
    owns: Owns = owns_nothing
    target: OwnedObject | None = None
    """The object that the request is about, where it names one in its path."""
    tape: Tape | None = None
    """Records what the client gets, where it may ask for it again."""
    headers: Mapping[str, str] = field(default_factory=dict)
    own_tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    """The tags of its record that the gateway sets itself (``core.tags.RESERVED``)."""
    request_id: str = field(default_factory=lambda: "frq_" + os.urandom(12).hex())
    started: float = field(default_factory=perf_counter)

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the request came in."""
        return int((perf_counter() - self.started) * 1000)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: a whole body, or an iterator of bytes with ``close``."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes]


def owned_by(exchange: Exchange, found: Iterable[Found]) -> list[OwnedObject]:
    """``found`` with an owner: that of the object which the request is about, else its client.

    A team mate who asks about a batch is told of its files, and they stay with the batch.
    """
    about = exchange.target
    client = exchange.client
    return [
        OwnedObject(
            kind=one.kind,
            id=one.id,
            team_id=about.team_id if about else client.team_id,
            client_id=about.client_id if about else client.id,
            key_id=about.key_id if about else exchange.key.id,
            created_at=one.created_at,
            model=one.model,
            data=one.data,
        )
        for one in found
    ]


Prepare = Callable[[Policy], Exchange]
"""Authenticates, parses and bounds a request under a policy. Raises ApiError."""


def facts_of(exchange: Exchange, answer: Answer) -> dict[str, Any]:
    """What a record keeps of an answer besides its usage."""
    return {
        "status": answer.status,
        "upstream_id": (answer.header("x-request-id") or "")[:256] or None,
        "duration_ms": exchange.elapsed_ms,
    }


def named(exchange: Exchange) -> dict[str, str]:
    """The header that names the request in records and logs."""
    return {"x-faregate-request-id": exchange.request_id}


def common_headers(exchange: Exchange, hold: Hold) -> dict[str, str]:
    """The headers of every answer to an admitted request."""
    return {**named(exchange), **rate_headers(exchange.client, hold.rates)}


def reply_headers(exchange: Exchange, hold: Hold, answer: Answer) -> dict[str, str]:
    """The allowed headers of the provider, and ours."""
    passed = {
        name.lower(): value for name, value in answer.headers() if name.lower() in _PASSED_HEADERS
    }
    return {**passed, **common_headers(exchange, hold)}


def left_header(resolution: Resolution | None) -> dict[str, str]:
    """What the tightest hard budget has left, where that is known."""
    if resolution is None or resolution.left_nano < 0:
        return {}
    return {"x-faregate-budget-remaining-usd": usd_from_nano(resolution.left_nano)}
