"""The lines of a batch's input file: what is refused, and the most that they can cost together.

Each line is a request that the provider runs by itself, later and unseen, so nothing can be
written into it: it is bounded at the maximum it names, or at the most its model can answer.
The limits on lines and bytes are OpenAI's (API reference, "Create batch").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import IO, Any

from gateway.core import completion_bounds, response_fields
from gateway.core.bounds import (
    BOUND_NANO_MAX,
    FREE,
    Bound,
    BoundRules,
    bound_chat,
    bound_embedding,
)
from gateway.core.catalog import ModelFacts
from gateway.core.chat_fields import (
    KNOWN,
    KNOWN_OF_EMBEDDINGS,
    refuse_unbounded_fields,
    refuse_unknown,
)
from gateway.core.completion_bounds import bound_completion, count_prompts
from gateway.core.errors import ApiError, BadRequest
from gateway.core.named_objects import file_ids_in, spoken_answers_in
from gateway.core.objects import Kind
from gateway.core.policy import Client
from gateway.core.prices import STANDARD_TIER, Price
from gateway.core.response_bounds import bound_response
from gateway.core.response_fields import check_response_fields
from gateway.core.response_ids import named_objects
from gateway.core.response_tokens import count_response_input
from gateway.core.strict_json import TOKEN_VALUES_MAX, parse_object
from gateway.core.tokens import Count, count_chat_prompt, count_embedding_input
from gateway.core.usage import Usage, usage_from_chat, usage_from_responses

LINES_MAX = 50_000
BYTES_MAX = 200 * 1024 * 1024
BATCH_TIER = "batch"
PARAM = "input_file_id"

KNOWN_OF_BATCHES = frozenset(
    ("completion_window", "endpoint", "input_file_id", "metadata", "output_expires_after")
)
"""OpenAI API reference, "Create batch"."""

_REFUSED = {
    "stream": "nobody reads it",
    "background": "a batch runs in the background already",
    "previous_response_id": "it brings input that is not known beforehand",
    "conversation": "it brings input that is not known beforehand",
    "prompt": "a stored prompt is input that is not known beforehand",
    "store": "the ids of stored answers would have no owner",
    "web_search_options": "searches are billed without being reported",
}
"""Parameters that a line may not set, and why; ``prompt`` only where it names a stored one."""

_TIERS = (None, "auto", "default")


@dataclass(frozen=True, slots=True)
class LineRules:
    """What all lines of one batch are bounded by."""

    model: str
    price: Price
    facts: ModelFacts
    count: Count
    client: Client
    rules: BoundRules
    unknown_pass: bool
    """Whether fields that are not known go on to the provider."""


BoundLine = Callable[[Mapping[str, Any], LineRules], Bound]
"""The bound of one line's body. Raises ApiError."""


Names = Callable[[Mapping[str, Any]], Iterable[tuple[Kind, object, str]]]
"""The objects that a line's body names, each by kind, id and place. Raises ApiError."""


def _files_of(body: Mapping[str, Any]) -> Iterator[tuple[Kind, object, str]]:
    return ((Kind.FILE, file_id, place) for file_id, place in file_ids_in(body))


def _named_in_chat(body: Mapping[str, Any]) -> Iterator[tuple[Kind, object, str]]:
    yield from _files_of(body)
    yield from ((Kind.SPOKEN_ANSWER, name, place) for name, place in spoken_answers_in(body))


@dataclass(frozen=True, slots=True)
class LineKind:
    """How the lines of one endpoint are bounded, and how their answers report usage."""

    bound: BoundLine
    usage: Callable[[object], Usage | None]
    """Reads the ``usage`` of an answer; None for no report to believe. Raises InvalidUsage."""
    known: Set[str]
    """The parameters of the endpoint."""
    names: Names = _files_of


def _bound_chat_line(body: Mapping[str, Any], by: LineRules) -> Bound:
    prompt = count_chat_prompt(body, by.facts, by.count)
    _check_maximum(body, by)
    whole = _with_maximum(body, by, ("max_completion_tokens", "max_tokens"))
    bound = bound_chat(whole, by.price, by.facts, prompt, by.client, by.rules)
    return _without_searches(bound, bound.web_search_calls)


def _bound_embedding_line(body: Mapping[str, Any], by: LineRules) -> Bound:
    return bound_embedding(by.price, count_embedding_input(body.get("input"), by.count), by.facts)


def _bound_completion_line(body: Mapping[str, Any], by: LineRules) -> Bound:
    prompts = count_prompts(body, by.facts, by.count)
    whole = _with_maximum(body, by, ("max_tokens",))
    return bound_completion(whole, by.price, prompts, by.client, by.rules)


def _bound_response_line(body: Mapping[str, Any], by: LineRules) -> Bound:
    check_response_fields(body)
    prompt = count_response_input(body, by.facts, by.count)
    whole = _with_maximum(body, by, ("max_output_tokens",))
    bound = bound_response(whole, by.price, by.facts, prompt, by.client, by.rules)
    return _without_searches(bound, bound.tool_calls)


def _bound_moderation_line(_body: Mapping[str, Any], by: LineRules) -> Bound:
    if not by.price.is_free:
        raise BadRequest(f"{by.model} is billed: name a moderation model, which is free.")
    return FREE


def _without_searches(bound: Bound, calls: int) -> Bound:
    if calls:
        raise BadRequest(
            "Faregate cannot bound searches in a batch: they are billed by the call, and neither"
            " limited nor reported there."
        )
    return bound


def _named_in_response(body: Mapping[str, Any]) -> Iterator[tuple[Kind, object, str]]:
    return ((named.kind, named.id, named.param) for named in named_objects(body))


LINE_KINDS: Mapping[str, LineKind] = {
    "/v1/chat/completions": LineKind(_bound_chat_line, usage_from_chat, KNOWN, _named_in_chat),
    "/v1/completions": LineKind(_bound_completion_line, usage_from_chat, completion_bounds.KNOWN),
    "/v1/embeddings": LineKind(_bound_embedding_line, usage_from_chat, KNOWN_OF_EMBEDDINGS),
    "/v1/moderations": LineKind(
        # They report no usage, and need none.
        _bound_moderation_line,
        lambda _report: Usage(),
        frozenset(("input", "model")),
    ),
    "/v1/responses": LineKind(
        _bound_response_line,
        usage_from_responses,
        response_fields.KNOWN | response_fields.REFUSED,
        _named_in_response,
    ),
}
"""The endpoints that a batch may call. An entry is all that another one takes."""


def line_kind(endpoint: object) -> LineKind:
    """The kind of an endpoint's lines. Raises BadRequest for one that batches may not call."""
    kind = LINE_KINDS.get(endpoint) if isinstance(endpoint, str) else None
    if kind is None:
        raise BadRequest(
            f"endpoint must be one of {', '.join(LINE_KINDS)}: lines of other endpoints cannot be"
            " bounded here.",
            param="endpoint",
        )
    return kind


def batch_rates(price: Price) -> tuple[str, Price]:
    """The tier that a batch is priced at, and a price with its rates alone.

    A price row without batch rates is taken at its standard rates. Providers give a discount
    on batches, so that is an upper bound, and what is charged by it is not marked exact.
    """
    tier = BATCH_TIER if BATCH_TIER in price.tiers else STANDARD_TIER
    return tier, replace(price, tiers={STANDARD_TIER: price.tiers[tier]})


@dataclass(slots=True)
class BatchBound:
    """What the lines of a batch come to. Amounts in nano-dollars."""

    lines: int = 0
    nano: int = 0
    named: dict[tuple[Kind, str], str] = field(default_factory=dict)
    """The objects that lines name, each with the first place that names it."""


def first_model(content: IO[bytes], line_bytes_max: int, depth_max: int) -> tuple[int, object]:
    """The first line's number, and the model that it asks for. Raises BadRequest."""
    for number, raw in numbered_lines(content, line_bytes_max, PARAM, "input file"):
        try:
            return number, _body(parse_object(raw, depth_max, TOKEN_VALUES_MAX)).get("model")
        except BadRequest as error:
            raise in_line(number, error) from None
    raise BadRequest("The input file has no lines.", param=PARAM)


def bound_lines(
    content: IO[bytes], endpoint: str, by: LineRules, line_bytes_max: int, depth_max: int
) -> BatchBound:
    """Check and bound every line of ``content``. Raises ApiError, naming the line.

    Takes about as long as tokenizing the file; run it where it holds up nobody.
    """
    kind, found = line_kind(endpoint), BatchBound()
    custom_ids: set[str] = set()
    for number, raw in numbered_lines(content, line_bytes_max, PARAM, "input file"):
        found.lines += 1
        if found.lines > LINES_MAX:
            raise BadRequest(f"The input file has more than {LINES_MAX:,} lines.", param=PARAM)
        try:
            line = parse_object(raw, depth_max, TOKEN_VALUES_MAX)
            _check_frame(line, endpoint, custom_ids)
            body = _body(line)
            _check_body(body, kind.known, by)
            found.nano += kind.bound(body, by).worst_nano
            for what, name, place in kind.names(body):
                found.named.setdefault((what, str(name)), f"line {number}: body.{place}")
        except ApiError as error:
            raise in_line(number, error) from None
        if found.nano > BOUND_NANO_MAX:
            raise BadRequest(
                "This batch could cost more than Faregate can hold for one request (about $9.0"
                " million). Make several of it, or set a maximum of output tokens in its lines.",
                param=PARAM,
            )
    return found


def numbered_lines(
    content: IO[bytes], bytes_max: int, param: str, what: str
) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, numbered from 1. Raises BadRequest for one that is too long,
    or that some readers would take for several."""
    number = 0
    while raw := content.readline(bytes_max + 1):
        number += 1
        if len(raw) > bytes_max:
            raise BadRequest(
                f"Line {number} of the {what} is longer than {bytes_max:,} bytes.", param=param
            )
        # What JSON has for white space, and nothing else that a provider may stumble over.
        if not (line := raw.strip(b" \t\r\n")):
            continue
        if b"\r" in line:
            # White space to JSON, but to some readers the end of a line: they would find other
            # lines than were checked.
            raise BadRequest(
                f"Line {number} of the {what} has a carriage return inside. Lines end with a line"
                " feed.",
                param=param,
            )
        yield number, line


def _check_frame(line: Mapping[str, Any], endpoint: str, custom_ids: set[str]) -> None:
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise BadRequest("custom_id must be a string.")
    if custom_id in custom_ids:
        raise BadRequest(f"custom_id {custom_id[:64]!r} is that of an earlier line.")
    custom_ids.add(custom_id)
    if line.get("method") != "POST":
        raise BadRequest("method must be POST.")
    if line.get("url") != endpoint:
        raise BadRequest(f"url must be {endpoint}, the endpoint of the batch.")


def _body(line: Mapping[str, Any]) -> dict[str, Any]:
    body = line.get("body")
    if not isinstance(body, dict):
        raise BadRequest("body must be an object.")
    return body


def _check_body(body: Mapping[str, Any], known: Set[str], by: LineRules) -> None:
    if body.get("model") != by.model:
        raise BadRequest(
            f"its model is {str(body.get('model'))[:128]!r}, and that of the first line is"
            f" {by.model!r}. A batch must ask one model, by one name: make a batch for each."
        )
    for name, why in _REFUSED.items():
        value = body.get(name)
        if value and (name != "prompt" or isinstance(value, dict)):
            raise BadRequest(f"{name} cannot be used in a batch: {why}.")
    refuse_unbounded_fields(body, known)
    if not by.unknown_pass:
        refuse_unknown(body, known)
    if body.get("service_tier") not in _TIERS:
        raise BadRequest("service_tier cannot be used in a batch, which is a tier of its own.")


def _check_maximum(body: Mapping[str, Any], by: LineRules) -> None:
    """Raise BadRequest for a maximum in a field that the provider is not known to obey.

    Of other requests the gateway writes the maximum into the field that is; here it cannot.
    """
    obeyed = by.rules.output_limit_field
    if obeyed == "max_tokens" and body.get("max_completion_tokens") is not None:
        raise BadRequest(
            "max_completion_tokens cannot be used in a batch: this deployment's provider limits"
            f" answers by {obeyed} (FAREGATE_OUTPUT_LIMIT_FIELD). Set that."
        )


def _with_maximum(
    body: Mapping[str, Any], by: LineRules, fields: tuple[str, ...]
) -> Mapping[str, Any]:
    """``body`` as it is bounded: with the most its model can answer where it names nothing."""
    if any(body.get(name) is not None for name in fields):
        return body
    windows = [w for w in (by.price.context_window, by.facts.context_window) if w]
    most = by.price.output_tokens_max or by.facts.output_tokens_max or max(windows, default=None)
    if most is None:
        raise BadRequest(
            f"{fields[0]} must be set: the most that {by.model} can answer is not known, so"
            " without it the cost of this line cannot be bounded."
        )
    return {**body, fields[0]: most}


def in_line(number: int, error: ApiError) -> ApiError:
    """``error`` with the line that it is about."""
    told = error.message.replace("The request body", "It")
    return type(error)(f"Line {number} of the input file: {told}", param=PARAM, code=error.code)
