"""The paid path, top to bottom: reserve -> forward -> meter -> settle -> respond.

``web/`` has authenticated, parsed and bounded the request before it comes here, and turns the
``Reply`` into HTTP after. Every hold placed here ends in exactly one of settled or released;
if this process dies in between, it expires and is charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import orjson
import structlog

from gateway.adapters.intents import IntentNotWritten
from gateway.adapters.policies import PolicyUnavailable
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.upstream import Answer, AnswerLost, AnswerTimeout, NotSent, Payload
from gateway.core import outcomes
from gateway.core.errors import (
    ApiError,
    BadRequest,
    StoreUnavailable,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.core.holds import (
    BudgetRefused,
    Hold,
    HoldRequest,
    PolicyStale,
    RateRefused,
    Resolution,
)
from gateway.core.meters import Reading
from gateway.core.money import usd_from_nano
from gateway.core.outcomes import Outcome
from gateway.core.refusals import over_budget, rate_limited
from gateway.core.usage import Certainty
from gateway.exchange import (
    Exchange,
    Gate,
    Prepare,
    Reply,
    common_headers,
    facts_of,
    left_header,
    named,
    owned_by,
    reply_headers,
)

_log = structlog.get_logger(__name__)


def complete(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve an admitted request whose answer comes whole."""
    answer = forward(gate, exchange, hold)
    if not 200 <= answer.status < 300:
        return passed_error(gate, exchange, hold, answer)
    body = whole_body(gate, exchange, hold, answer)
    payload = parsed(body)
    note_objects(gate, exchange, payload)
    outcome = judged(exchange, hold, answer, exchange.read(payload))
    resolution = settle(gate, exchange, hold, outcome)
    headers = reply_headers(exchange, hold, answer)
    headers["x-faregate-cost-usd"] = usd_from_nano(outcome.cost_nano)
    headers.update(left_header(resolution))
    return Reply(answer.status, headers, body)


def free(gate: Gate, exchange: Exchange, hold: Hold, make: Callable[[], bytes]) -> Reply:
    """Serve what the provider does not bill: admitted and recorded like anything else."""
    try:
        body = make()
    except ApiError as error:
        release(gate, exchange, hold, error.status, error.code or "refused")
        raise
    except BaseException:
        release(gate, exchange, hold, 500, "interrupted")
        raise
    outcome = Outcome(200, Certainty.EXACT, 0, duration_ms=exchange.elapsed_ms)
    settle(gate, exchange, hold, outcome)
    headers = common_headers(exchange, hold)
    headers.update({"content-type": "application/json", "x-faregate-cost-usd": usd_from_nano(0)})
    return Reply(200, headers, body)


# The steps, in the order in which they run


def admit(gate: Gate, prepare: Prepare) -> tuple[Exchange, Hold]:
    """Prepare a request under the policy in force and place its hold, or raise ApiError."""
    policy = gate.policies.current
    try:
        for _ in range(8):
            try:
                exchange = prepare(policy)
                hold = _reserve(gate, exchange)
                _write_intent(gate, exchange, hold)
                return exchange, hold
            except PolicyStale:
                policy = gate.policies.catch_up(policy)
    except StoreDown as error:
        _log.warning("redis.unavailable", reason=str(error))
    except CountersLost:
        _log.error("redis.counters_lost")
    except PolicyUnavailable as error:
        _log.warning("database.unavailable", reason=str(error))
    else:
        _log.error("policy.never_settles")
    raise StoreUnavailable(
        "The gateway cannot check budgets at the moment, so it admits nothing. Try again shortly.",
        headers={"retry-after": "1"},
    )


def _reserve(gate: Gate, exchange: Exchange) -> Hold:
    """Place one hold against every budget and limit; a refusal becomes its ApiError."""
    context = {
        "team_id": exchange.client.team_id,
        "client_id": exchange.client.id,
        "key_id": exchange.key.id,
        "endpoint": exchange.endpoint,
        "model": exchange.model,
        "price_id": exchange.price.id if exchange.price else None,
        "tier": exchange.bound.tier,
        "streamed": exchange.streamed,
    }
    billed = exchange.price is not None
    wish = HoldRequest(
        request_id=exchange.request_id,
        client=exchange.client,
        model=exchange.model,
        bound=exchange.bound,
        budgets=exchange.policy.budgets_for(exchange.client, exchange.model) if billed else (),
        policy_version=exchange.policy.version,
        context=orjson.dumps(context),
    )
    try:
        return gate.keeper.reserve(wish)
    except BudgetRefused as refused:
        raise over_budget(refused, exchange.bound) from None
    except RateRefused as refused:
        raise rate_limited(refused, exchange.client, exchange.bound) from None


def _write_intent(gate: Gate, exchange: Exchange, hold: Hold) -> None:
    """Write down in SQL that the request is about to be sent, where the deployment wants that.

    Without its intent nothing is sent: the hold is released and ApiError raised.
    """
    if gate.intents is None or exchange.price is None:
        return
    try:
        gate.intents.write(hold)
    except IntentNotWritten as error:
        _log.warning("intent.not_written", request_id=exchange.request_id, reason=str(error))
        release(gate, exchange, hold, 503, "no_intent")
        raise StoreUnavailable(
            "The gateway cannot write the request down in its database at the moment, so nothing"
            " was sent and nothing is charged. Try again shortly.",
            headers={**named(exchange), "retry-after": "1"},
        ) from None
    except BaseException:
        release(gate, exchange, hold, 500, "interrupted")
        raise


def forward(gate: Gate, exchange: Exchange, hold: Hold) -> Answer:
    """Send the request as granted. Where that fails the hold is resolved and ApiError raised."""
    payload = _payload(gate, exchange, hold)
    gate.metrics.added_before.observe(perf_counter() - exchange.started)
    try:
        return gate.upstream.send(
            exchange.path or f"/{exchange.endpoint}",
            payload,
            exchange.request_id,
            exchange.headers,
            method=exchange.method,
            accept="text/event-stream" if exchange.streamed else "application/json",
        )
    except NotSent as error:
        status = 504 if error.timed_out else 502
        release(gate, exchange, hold, status, "not_sent")
        _log.warning("upstream.not_sent", request_id=exchange.request_id, reason=str(error))
        kind = UpstreamTimeout if error.timed_out else UpstreamUnreachable
        raise kind(
            "The provider cannot be reached; nothing was sent and nothing is charged. Try again"
            " shortly.",
            headers=named(exchange),
        ) from None
    except AnswerLost as error:
        raise lost(gate, exchange, hold, error) from None
    except BaseException:
        settle(gate, exchange, hold, unknown(exchange, hold, 500, "interrupted"))
        raise


def _payload(gate: Gate, exchange: Exchange, hold: Hold) -> bytes | Payload | None:
    """The body to forward, with what was granted written into it."""
    if exchange.method != "POST":
        return None
    written = exchange.rewrite(exchange.body, exchange.bound, hold.granted_output_tokens)
    if exchange.form is not None:
        return exchange.form.payload({name: _as_field(value) for name, value in written.items()})
    try:
        return orjson.dumps(written)
    except TypeError:
        release(gate, exchange, hold, 400, "not_encodable")
        raise BadRequest("The request body has text that is not valid Unicode.") from None


def _as_field(value: object) -> str:
    """``value`` as a form has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole_body(gate: Gate, exchange: Exchange, hold: Hold, answer: Answer) -> bytes:
    try:
        return answer.body(gate.upstream.read_seconds)
    except AnswerLost as error:
        raise lost(gate, exchange, hold, error) from None
    except BaseException:
        settle(gate, exchange, hold, unknown(exchange, hold, 500, "interrupted"))
        raise


def parsed(body: bytes) -> object:
    """An answer's JSON; None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def note_objects(gate: Gate, exchange: Exchange, payload: object) -> None:
    """Note the owner of what an answer names, before its id reaches the client."""
    if not isinstance(payload, dict):
        return
    try:
        found = exchange.owns(payload)
    except Exception:
        # The answer is paid for. What has no owner is nobody's, so nothing is given away.
        _log.exception("answer.objects_not_read", request_id=exchange.request_id)
        return
    gate.objects.note(owned_by(exchange, found))


def judged(exchange: Exchange, hold: Hold, answer: Answer, reading: Reading) -> Outcome:
    """The outcome of an answer: exact where usage was reported, else an upper bound.

    That is the whole hold where the reading has no upper bound of its own.
    """
    facts = facts_of(exchange, answer)
    if exchange.price is None:
        # What the provider does not bill, such as reading a file's description.
        return Outcome(certainty=Certainty.EXACT, cost_nano=0, **facts)
    if reading.usage is not None:
        tier = reading.service_tier or exchange.bound.tier
        found = outcomes.exact(
            exchange.price, reading.usage, tier, exchange.bound.web_search_calls, **facts
        )
        if found is not None and not reading.certain:
            return replace(found, certainty=Certainty.ESTIMATED, reason="usage_not_reported")
        if found is not None:
            return found
        _log.error("price.missing", request_id=exchange.request_id, model=exchange.model, tier=tier)
    return Outcome(
        certainty=Certainty.ESTIMATED,
        cost_nano=hold.amount_nano,
        usage=reading.usage,
        service_tier=reading.service_tier or exchange.bound.tier,
        reason="usage_not_reported" if reading.usage is None else "not_priced",
        **facts,
    )


def unknown(exchange: Exchange, hold: Hold, status: int, reason: str) -> Outcome:
    """The outcome where the provider may have billed, and nobody can say: the whole hold."""
    return Outcome(
        status=status,
        certainty=Certainty.UNKNOWN,
        cost_nano=hold.amount_nano,
        service_tier=exchange.bound.tier,
        duration_ms=exchange.elapsed_ms,
        reason=reason,
    )


def settle(gate: Gate, exchange: Exchange, hold: Hold, outcome: Outcome) -> Resolution | None:
    """Replace the hold by the cost, and count what happened. None where Redis will get it later."""
    resolution = gate.keeper.settle(
        hold, outcome.cost_nano, outcome.tokens, outcome.output_tokens, outcome.as_json()
    )
    if outcome.cost_nano > hold.amount_nano:
        gate.metrics.overruns.inc()
        _log.error(
            "hold.overrun",
            request_id=exchange.request_id,
            cost_nano=outcome.cost_nano,
            hold_nano=hold.amount_nano,
        )
    priced_as = exchange.price.model if exchange.price else ""
    gate.metrics.settled(exchange.endpoint, priced_as, outcome)
    return resolution


def release(gate: Gate, exchange: Exchange, hold: Hold, status: int, reason: str) -> None:
    """Drop the hold: the provider billed nothing."""
    facts = {"duration_ms": exchange.elapsed_ms, "service_tier": exchange.bound.tier}
    outcome = outcomes.failure(status, reason, facts)
    gate.keeper.release(hold, outcome.as_json())
    priced_as = exchange.price.model if exchange.price else ""
    gate.metrics.settled(exchange.endpoint, priced_as, outcome)


def settle_left_open(gate: Gate, exchange: Exchange, hold: Hold) -> None:
    """Charge a hold that a failure of ours has left behind, since the provider may have billed.

    Its lease would else be renewed for as long as this process lives.
    """
    if gate.keeper.is_open(hold):
        settle(gate, exchange, hold, unknown(exchange, hold, 500, "interrupted"))


def lost(gate: Gate, exchange: Exchange, hold: Hold, error: AnswerLost) -> ApiError:
    """Charge the hold, since the provider may have billed, and say so to the client."""
    timed_out = isinstance(error, AnswerTimeout)
    status = 504 if timed_out else 502
    settle(gate, exchange, hold, unknown(exchange, hold, status, "answer_lost"))
    _log.warning("upstream.answer_lost", request_id=exchange.request_id, reason=str(error))
    cost = usd_from_nano(hold.amount_nano)
    headers = {**named(exchange), "x-faregate-cost-usd": cost}
    what = "did not answer in time" if timed_out else "closed the connection before it answered"
    kind = UpstreamTimeout if timed_out else UpstreamInvalid
    return kind(
        f"The provider {what}. It may have billed this request, so the most it can cost,"
        f" ${cost}, is charged and marked unknown.",
        headers=headers,
    )


def passed_error(gate: Gate, exchange: Exchange, hold: Hold, answer: Answer) -> Reply:
    """An answer that is no success: the provider's own error, status and body intact."""
    try:
        body = answer.body(gate.upstream.read_seconds)
    except AnswerLost:
        body = b""
    headers = {**reply_headers(exchange, hold, answer), "x-faregate-cost-usd": usd_from_nano(0)}
    if _is_refusal(answer.status, body):
        release(gate, exchange, hold, answer.status, "upstream_error")
    else:
        settle(gate, exchange, hold, unknown(exchange, hold, answer.status, "upstream_error"))
        headers["x-faregate-cost-usd"] = usd_from_nano(hold.amount_nano)
    if answer.status == 401:
        # The provider's 401 speaks of the deployment's key, and quotes a part of it.
        _log.error("upstream.unauthorized", request_id=exchange.request_id)
        raise UpstreamInvalid(
            "The provider refused the gateway's own credentials. A platform engineer must check"
            " OPENAI_API_KEY; `faregate doctor` tests it.",
            code="upstream_unauthorized",
            headers=named(exchange),
        )
    if answer.status < 400:
        raise UpstreamInvalid(
            f"The provider answered with status {answer.status}, which is no answer to this"
            " request; redirects are not followed.",
            headers=named(exchange),
        )
    return Reply(answer.status, headers, body)


_NOBODY_KNOWS = frozenset((408, 499, 504, 524))
"""Who answers so gave up waiting, whatever its body says, while the model may have worked on."""


def _is_refusal(status: int, body: bytes) -> bool:
    """Whether the provider itself declined, and so billed nothing.

    A 5xx without the provider's error envelope may come from a proxy before it, and a timeout
    from either.
    """
    if status in _NOBODY_KNOWS:
        return False
    if status < 500:
        return True
    return is_providers_error(parsed(body))


def is_providers_error(payload: object) -> bool:
    """Whether a parsed answer has the provider's error envelope: others before it have none."""
    return isinstance(payload, dict) and isinstance(payload.get("error"), dict)
