"""Admission: the hold of a request, placed before anything of it is sent.

``web/`` has authenticated, parsed and bounded the request; ``relay`` sends it, as granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson
import structlog

from gateway.adapters.intents import IntentNotWritten
from gateway.adapters.policies import PolicyUnavailable
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.core.errors import ApiError, StoreFull, StoreUnavailable
from gateway.core.holds import BudgetRefused, Hold, HoldRequest, Look, PolicyStale, RateRefused
from gateway.core.refusals import over_budget, rate_limited
from gateway.core.tags import NO_TAGS, tags_of
from gateway.exchange import Exchange, Gate, Prepare, named
from gateway.relay import release

_DRAWABLE = frozenset(
    (
        "chat/completions",
        "completions",
        "embeddings",
        "moderations",
        "responses",
        "images/generations",
        "audio/speech",
    )
)
"""Endpoints that an outage allowance may pay for."""

_log = structlog.get_logger(__name__)


def admit(gate: Gate, prepare: Prepare, header: str | None = None) -> tuple[Exchange, Hold]:
    """Prepare a request under the policy in force and place its hold, or raise ApiError.

    ``header`` has the tags that the request came with (``core.tags``).
    """
    _refuse_where_full(gate)
    policy = gate.policies.current
    exchange: Exchange | None = None
    tags = NO_TAGS
    try:
        for _ in range(8):
            try:
                exchange = prepare(policy)
                tags = request_tags(exchange, header)
                hold = _reserve(gate, exchange, tags)
                _write_intent(gate, exchange, hold)
                return exchange, hold
            except PolicyStale:
                policy = gate.policies.catch_up(policy)
    except StoreDown as error:
        _log.warning("redis.unavailable", reason=str(error))
        drawn = None if exchange is None else _draw(gate, exchange, tags)
        if drawn is not None:
            return drawn
    except CountersLost:
        _log.error("redis.counters_lost")
    except PolicyUnavailable as error:
        _log.warning("database.unavailable", reason=str(error))
    else:
        _log.error("policy.never_settles")
    raise _unchecked()


def look(gate: Gate, prepare: Prepare, header: str | None = None) -> tuple[Exchange, Look]:
    """What ``admit`` would do, and why: nothing is held, sent or recorded. Raises ApiError where
    the request itself is at fault, or nobody could be admitted."""
    _refuse_where_full(gate)
    policy = gate.policies.current
    try:
        for _ in range(8):
            try:
                exchange = prepare(policy)
                wish = _wish(exchange, request_tags(exchange, header))
                return exchange, gate.keeper.look(wish)
            except PolicyStale:
                policy = gate.policies.catch_up(policy)
    except (StoreDown, CountersLost, PolicyUnavailable) as error:
        _log.warning("preflight.unavailable", reason=str(error))
    raise _unchecked()


def _refuse_where_full(gate: Gate) -> None:
    reached = gate.watermarks.reached
    if reached is not None:
        raise StoreFull(
            f"The gateway admits nothing at the moment: {reached}. Requests in flight are finished."
            " Try again later; a platform engineer must look after the recorder and its database,"
            f" or raise {reached.mark.setting}.",
            headers={"retry-after": "5"},
        )


def _unchecked() -> StoreUnavailable:
    return StoreUnavailable(
        "The gateway cannot check budgets at the moment, so it admits nothing. Try again shortly.",
        headers={"retry-after": "1"},
    )


def request_tags(exchange: Exchange, header: str | None) -> Mapping[str, str]:
    """The tags that the request is recorded with and that its budgets may be narrowed to.

    Raises BadRequest for a header that is malformed.
    """
    if header is None and not exchange.policy.tags:
        return exchange.own_tags
    fields: Mapping[str, object] = exchange.body
    if exchange.form is not None:
        fields = dict(exchange.form.fields)
    return tags_of(exchange.policy.tags, header, fields, exchange.own_tags)


def _reserve(gate: Gate, exchange: Exchange, tags: Mapping[str, str]) -> Hold:
    """Place one hold against every budget and limit; a refusal becomes its ApiError."""
    try:
        return gate.keeper.reserve(_wish(exchange, tags))
    except (BudgetRefused, RateRefused) as refused:
        raise refusal_of(exchange, refused) from None


def refusal_of(exchange: Exchange, refused: BudgetRefused | RateRefused) -> ApiError:
    """The error that tells the client of a refusal."""
    if isinstance(refused, BudgetRefused):
        return over_budget(refused, exchange.bound)
    return rate_limited(refused, exchange.client, exchange.bound)


def _wish(exchange: Exchange, tags: Mapping[str, str]) -> HoldRequest:
    policy, client, model = exchange.policy, exchange.client, exchange.model
    return HoldRequest(
        request_id=exchange.request_id,
        client=client,
        model=model,
        bound=exchange.bound,
        budgets=() if exchange.price is None else policy.budgets_for(client, model, tags),
        policy_version=policy.version,
        context=_context(exchange, tags),
    )


def _context(exchange: Exchange, tags: Mapping[str, str]) -> bytes:
    """Who asked for what: part of the usage record, also where nobody is left to say it."""
    context: dict[str, object] = {
        "team_id": exchange.client.team_id,
        "client_id": exchange.client.id,
        "key_id": exchange.key.id,
        "endpoint": exchange.endpoint,
        "model": exchange.model,
        "price_id": exchange.price.id if exchange.price else None,
        "tier": exchange.bound.tier,
        "streamed": exchange.streamed,
    }
    if tags:
        context["tags"] = tags
    return orjson.dumps(context)


def _draw(gate: Gate, exchange: Exchange, tags: Mapping[str, str]) -> tuple[Exchange, Hold] | None:
    """Admit a request out of its client's outage allowance, where Redis does not answer.

    Only what ends with its answer: long-lived work could be followed by nobody.
    """
    if exchange.price is None or exchange.endpoint not in _DRAWABLE:
        return None
    if exchange.body.get("background"):
        return None
    policy, client, model = exchange.policy, exchange.client, exchange.model
    covering = policy.budgets_for(client, model, tags)
    context = _context(exchange, tags)
    hold = gate.allowances.draw(client, model, exchange.bound, covering, context)
    if hold is None:
        return None
    _log.info("allowance.drawn", request_id=hold.request_id, amount_nano=hold.amount_nano)
    # The id it came with may be known to Redis, which did not answer: it gets another one.
    return replace(exchange, request_id=hold.request_id), hold


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
